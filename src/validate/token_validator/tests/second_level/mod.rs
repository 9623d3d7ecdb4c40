//! Validations that replicas share through a store.

mod fleet;

mod bad_records;
mod clocks;
mod outages;
mod schedules;
mod sharing;
mod unknown;
