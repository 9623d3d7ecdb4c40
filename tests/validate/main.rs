//! Requests through `ValidateTokenLayer`.

mod answers;
mod axum_router;
mod bearer;
mod cached;
mod logging;
mod modes;
mod readiness;
mod response_bodies;
mod service_tokens;
mod spoofed;
mod support;
