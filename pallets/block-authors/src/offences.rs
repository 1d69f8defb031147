//! Consequences of an equivocation for its author.

use crate::{Config, Error, Pallet, LOG_TARGET};
use frame_support::weights::Weight;
use sp_runtime::{traits::Get, Perbill};
use sp_staking::{
    offence::{OffenceDetails, OffenceSeverity, OnOffenceHandler},
    SessionIndex,
};

/// The accused author, without further data.
pub type Offender<T> = (<T as frame_system::Config>::AccountId, ());

impl<T: Config> OnOffenceHandler<T::AccountId, Offender<T>, Weight> for Pallet<T> {
    /// Disables the offenders for what is left of the session, as far as `pallet-session` lets so many be disabled at
    /// once, and takes them off the list. Among them may be some that were reported before.
    fn on_offence(
        offenders: &[OffenceDetails<T::AccountId, Offender<T>>],
        severities: &[Perbill],
        session: SessionIndex,
    ) -> Weight {
        for (details, severity) in offenders.iter().zip(severities) {
            let (author, ()) = &details.offender;
            pallet_session::Pallet::<T>::report_offence(author.clone(), OffenceSeverity(*severity));
            match Self::remove(author, true) {
                Ok(()) => {
                    log::warn!(target: LOG_TARGET, "{author:?} equivocated in session {session} and is off the list");
                }
                Err(Error::LastAuthor) => {
                    log::error!(target: LOG_TARGET, "{author:?} equivocated in session {session} and stays: the last one");
                }
                Err(_) => {}
            }
        }
        let count = offenders.len() as u64;
        T::DbWeight::get().reads_writes(count.saturating_mul(4), count.saturating_mul(2))
    }
}
