//! Events that the code rules out, reported if they happen all the same.

use crate::{Config, Event, Pallet};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// An event that the code rules out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, MaxEncodedLen,
)]
pub enum UnexpectedKind {
    /// An amount on hold could not be moved.
    HoldNotMovable,
    /// The agenda names a request that is not stored.
    AgendaWithoutRequest,
    /// A record of an operator is missing.
    OperatorMissing,
    /// An operator's record and a request do not agree on a duty.
    DutyMismatch,
    /// A committee with a quorum has no consensus.
    NoConsensus,
}

/// Says that something impossible happened; the chain goes on.
pub(crate) fn unexpected<T: Config>(kind: UnexpectedKind) {
    log::error!(target: crate::LOG_TARGET, "unexpected: {kind:?}");
    debug_assert!(false, "unexpected: {kind:?}");
    Pallet::<T>::deposit_event(Event::Unexpected { kind });
}
