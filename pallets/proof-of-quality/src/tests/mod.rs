//! Tests of the pallet in a mock runtime, by topic. Each ends with a check of all invariants.

mod agenda;
mod audits;
mod bad_days;
mod cheating;
mod draws;
mod driver;
mod floors;

mod inference;
mod life;
mod migrations;
mod noise;
mod operators;
mod parameters;
mod random_walk;
mod reports;
mod requests;
mod reward;
mod slashing;
mod standing;
mod views;
mod windows;
