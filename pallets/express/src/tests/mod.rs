//! Tests of the pallet. `crate::mock::run` checks the invariants and the conservation of money after each.

mod adversaries;
mod audits;
mod challenges;
mod channels;
mod endpoints;
mod epochs;
mod escalation;
mod offences;
mod orders;
mod random_walk;
