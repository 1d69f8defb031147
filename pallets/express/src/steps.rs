//! What the lane does by itself, at the start of a block, as far as the block has room: epochs begin, rosters are frozen, a seed is taken,
//! standings learn, and what is over is forgotten. Owns [`NextToLearn`] and [`NextToForget`].

use crate::{
    audits, channels, charges, earnings, epochs, offences, orders, Config, NextToForget, NextToLearn,
    WeightInfo,
};
use frame_support::weights::WeightMeter;
use frame_system::pallet_prelude::BlockNumberFor;

/// Most entries of each kind that one step forgets.
pub(crate) const FORGOTTEN_AT_ONCE: u32 = 16;

/// Does what there is to do, the most urgent first.
pub(crate) fn service<T: Config>(now: BlockNumberFor<T>, meter: &mut WeightMeter) {
    if meter.try_consume(charges::look::<T>()).is_err() {
        return;
    }
    epochs::begin_if_due::<T>(now);
    while epochs::is_freezing::<T>() && meter.try_consume(<T as Config>::WeightInfo::freeze()).is_ok() {
        epochs::freeze_next::<T>(now);
    }
    epochs::seed_if_there::<T>();
    learn::<T>(meter);
    forget::<T>(meter);
}

/// Standings learn from epochs of which no order can settle any more.
fn learn<T: Config>(meter: &mut WeightMeter) {
    let over = epochs::current::<T>().saturating_sub(1);
    let mut epoch = NextToLearn::<T>::get();
    while epoch < over && meter.try_consume(<T as Config>::WeightInfo::learn()).is_ok() {
        if !earnings::learn_next::<T>(epoch) {
            epoch = epoch.saturating_add(1);
            NextToLearn::<T>::put(epoch);
        }
    }
}

/// What is kept for [`epochs::KEPT`] epochs goes, once all has been learned from it.
pub(crate) fn forget<T: Config>(meter: &mut WeightMeter) {
    let over =
        epochs::current::<T>().saturating_add(1).saturating_sub(epochs::KEPT).min(NextToLearn::<T>::get());
    let mut epoch = NextToForget::<T>::get();
    while epoch < over && meter.try_consume(<T as Config>::WeightInfo::forget()).is_ok() {
        let most = FORGOTTEN_AT_ONCE;
        let gone = [
            epochs::forget::<T>(epoch, most),
            channels::forget::<T>(epoch, most),
            orders::forget::<T>(epoch, most),
            offences::forget::<T>(epoch, most),
            audits::forget::<T>(epoch, most),
        ];
        if gone.into_iter().all(|gone| gone) {
            epoch = epoch.saturating_add(1);
            NextToForget::<T>::put(epoch);
        }
    }
}
