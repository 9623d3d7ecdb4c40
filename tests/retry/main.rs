//! Sending requests again after a 401, a connect failure, a 429 or a 503.

mod policy;
mod reauth;
mod replay;
mod support;
