//! Weights of calls and of the agenda's steps.
//!
//! Not measured yet: these are upper estimates, counted by hand from storage accesses and the longest inputs. Measured
//! weights take their place behind the same trait.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// Weights of calls and of the agenda's steps.
pub trait WeightInfo {
    /// [`crate::Pallet::register_model`].
    fn register_model() -> Weight;
    /// [`crate::Pallet::retire_model`].
    fn retire_model() -> Weight;
    /// [`crate::Pallet::bond`].
    fn bond() -> Weight;
    /// [`crate::Pallet::register`].
    fn register() -> Weight;
    /// [`crate::Pallet::chill`].
    fn chill() -> Weight;
    /// [`crate::Pallet::resume`].
    fn resume() -> Weight;
    /// [`crate::Pallet::unbond`].
    fn unbond() -> Weight;
    /// [`crate::Pallet::withdraw`].
    fn withdraw() -> Weight;
    /// [`crate::Pallet::request_inference`] with a prompt of `bytes`.
    fn request_inference(bytes: u32) -> Weight;
    /// [`crate::Pallet::report_work`] with `reports` reports, the check for a free ride included.
    fn report_work(reports: u32) -> Weight;
    /// The dearest step of the agenda: settling the largest request.
    fn step() -> Weight;
    /// Looking at the agenda of one block.
    fn agenda_block() -> Weight;
}

/// Upper estimates, with the database weights of the runtime `T`.
pub struct Estimates<T>(PhantomData<T>);

impl<T: crate::Config> Estimates<T> {
    fn of(micros: u64, reads: u64, writes: u64) -> Weight {
        Weight::from_parts(micros.saturating_mul(1_000_000), 0)
            .saturating_add(T::DbWeight::get().reads_writes(reads, writes))
    }
}

impl<T: crate::Config> WeightInfo for Estimates<T> {
    fn register_model() -> Weight {
        Self::of(20, 1, 1)
    }
    fn retire_model() -> Weight {
        Self::of(20, 1, 1)
    }
    fn bond() -> Weight {
        let models = T::MaxModelsPerOperator::get().into();
        Self::of(100, models, models).saturating_add(Self::of(0, 4, 3))
    }
    fn register() -> Weight {
        let models = u64::from(T::MaxModelsPerOperator::get());
        Self::of(200, models.saturating_mul(3), models.saturating_mul(2)).saturating_add(Self::of(0, 5, 5))
    }
    fn chill() -> Weight {
        let models = T::MaxModelsPerOperator::get().into();
        Self::of(100, models, models).saturating_add(Self::of(0, 1, 1))
    }
    fn resume() -> Weight {
        Self::chill()
    }
    fn unbond() -> Weight {
        Self::chill()
    }
    fn withdraw() -> Weight {
        Self::bond().saturating_add(Self::of(0, 3, 3))
    }
    fn request_inference(bytes: u32) -> Weight {
        let models = u64::from(T::MaxModelsPerRequest::get());
        Self::of(200, models.saturating_mul(2).saturating_add(6), 6)
            .saturating_add(Weight::from_parts(u64::from(bytes).saturating_mul(2_000), 0))
    }
    fn report_work(reports: u32) -> Weight {
        // Checked up to three times: by the pool, by the block builder and by the call.
        Self::of(20, 1, 0).saturating_add(Self::of(80, 8, 5).saturating_mul(reports.into()))
    }
    fn step() -> Weight {
        let parts = u64::from(T::MaxResponders::get()).saturating_add(T::MaxCommittee::get().into());
        Self::of(300, 10, 10).saturating_add(Self::of(30, 5, 5).saturating_mul(parts))
    }
    fn agenda_block() -> Weight {
        Self::of(10, 2, 1)
    }
}
