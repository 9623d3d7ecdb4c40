//! Requests through `ValidateTokenLayer`.

mod answers;
mod axum_router;
mod bearer;
mod cached;
#[allow(dead_code, reason = "tests/renewal uses the other items")]
#[path = "../renewal/log.rs"]
mod log;
mod logging;
mod modes;
mod readiness;
mod response_bodies;
mod service_tokens;
mod spoofed;
mod support;
