//! The commands of `poq-worker`, one file each.

pub mod calibrate;
