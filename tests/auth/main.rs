//! Requests through `AuthLayer`, alone and in stacks of middleware.

mod bodies;
mod endpoints;
mod errors;
mod filters;
mod hosts;
mod identities;
#[path = "../renewal/log.rs"]
mod log;
mod microversions;
mod origins;
mod readiness;
mod redirects;
mod rejected_tokens;
mod requests;
mod service_tokens;
mod stacks;
mod support;
mod tokens;
mod untouched;
mod waiting;
