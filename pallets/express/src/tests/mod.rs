//! Tests of the pallet. `crate::mock::run` checks the invariants and the conservation of money after each.

mod channels;
mod endpoints;
mod epochs;
mod offences;
mod orders;
