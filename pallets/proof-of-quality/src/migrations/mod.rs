//! Migrations of the pallet's storage, one for each version.
//!
//! A runtime that upgrades puts the ones it lacks into its tuple of migrations:
//!
//! ```ignore
//! type Migrations = (pallet_proof_of_quality::migrations::MigrateV0ToV1<Runtime>,);
//! ```
//!
//! Each runs once, on a chain whose stored version is the one before, and does nothing otherwise. To write the next one:
//! copy the types that change into `vN.rs` as they were, translate them there, raise `STORAGE_VERSION`, and test it in
//! `tests/migrations.rs` with a state written in the old types.

mod v1;

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

#[cfg(test)]
pub(crate) use v1::old;
