//! Migrations of the pallet's storage, one for each version.
//!
//! A runtime that upgrades puts the ones it lacks into its tuple of migrations:
//!
//! ```ignore
//! type Migrations = (
//!     pallet_proof_of_quality::migrations::MigrateV0ToV1<Runtime>,
//!     pallet_proof_of_quality::migrations::MigrateV1ToV2<Runtime>,
//!     pallet_proof_of_quality::migrations::MigrateV2ToV3<Runtime>,
//! );
//! ```
//!
//! Each runs once, on a chain whose stored version is the one before, and does nothing otherwise. To write the next one:
//! copy the types that change into `vN.rs` as they were, translate them there, let the earlier migrations write those, raise
//! `STORAGE_VERSION`, and test it in `tests/migrations.rs` with a state written in the old types.

mod v1;
mod v2;
mod v3;

/// From the first release to the one with standing, audits and parameters in storage.
///
/// Goes through all models, operators and stored requests in one block: for a chain with more of them than a block can
/// hold, retire old requests first.
pub type MigrateV0ToV1<T> = frame_support::migrations::VersionedMigration<
    0,
    1,
    v1::Unversioned<T>,
    crate::Pallet<T>,
    <T as frame_system::Config>::DbWeight,
>;

/// To the one in which duties stand in their operator's record.
///
/// Goes through all operators and open duties in one block. `MaxDuties` must not be less than anybody has open; `try-runtime`
/// checks it.
pub type MigrateV1ToV2<T> = frame_support::migrations::VersionedMigration<
    1,
    2,
    v2::Unversioned<T>,
    crate::Pallet<T>,
    <T as frame_system::Config>::DbWeight,
>;

/// To the one in which draws, pay and capacity are as they are described today.
///
/// Goes through all models, operators, requests and rosters in one block. Parameters that were set stay, new ones are as
/// `DefaultParameters` says. Nobody is an auditor afterwards: [`Pallet::set_auditors`](crate::Pallet::set_auditors). Capacities
/// have to be said anew.
pub type MigrateV2ToV3<T> = frame_support::migrations::VersionedMigration<
    2,
    3,
    v3::Unversioned<T>,
    crate::Pallet<T>,
    <T as frame_system::Config>::DbWeight,
>;

#[cfg(test)]
pub(crate) use {v1::old as version_0, v2::old as version_1, v3::old as version_2};
