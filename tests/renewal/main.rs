//! Keeping a token fresh, against a Keystone that does as it is told, with clocks that are told too.

mod cancellation;
mod flights;
mod phases;
mod refusals;
mod simulated_days;
mod support;
