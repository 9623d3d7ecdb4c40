//! The layer as its users meet it: one request through `AuthLayer`, alone and in stacks.

mod bodies;
mod endpoints;
mod errors;
mod filters;
mod hosts;
#[path = "../renewal/log.rs"]
mod log;
mod microversions;
mod origins;
mod readiness;
mod redirects;
mod refusals;
mod requests;
mod stacks;
mod support;
mod tokens;
mod waiting;
