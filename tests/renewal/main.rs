//! Keeping a token fresh, against a Keystone that does as it is told, with clocks that are told too.

mod cancellation;
mod code_of_others;
mod flights;
mod late;
mod lifetimes;
mod limits;
mod log;
mod pauses;
mod phases;
mod refusals;
mod reports;
mod runtimes;
mod simulated_days;
mod support;
mod together;
