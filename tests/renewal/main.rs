//! Renewal of tokens, with a scripted Keystone and injected clocks.

mod cancellation;
mod delays;
mod late_waiters;
mod lifetimes;
mod log;
mod logging;
mod phases;
mod policy_limits;
mod rejections;
mod runtimes;
mod sharing;
mod simulated_days;
mod single_flight;
mod slow_requests;
mod support;
mod user_code;
