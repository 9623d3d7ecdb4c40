//! Keeping a token fresh, against a Keystone that does as it is told, with clocks that are told too.

mod cancellation;
mod flights;
mod lifetimes;
mod log;
mod phases;
mod refusals;
mod reports;
mod simulated_days;
mod support;
mod together;
