//! Device logins (RFC 8628), on a paused clock.

mod exchange;
mod polling;
mod recorded;
mod requests;
mod responses;
mod stub;

use tower_keystone::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
};

/// Returns the failed step of an error.
fn failed(error: &Error) -> &FederatedLoginFailed {
    match error {
        Error::FederatedLoginFailed(failed) => failed,
        other => panic!("{other}"),
    }
}

/// Fails if the error is transient, or of another step or code.
fn assert_definite(error: &Error, step: LoginStep, code: Option<&str>) {
    assert_eq!((failed(error).step, failed(error).error.as_deref()), (step, code), "{error}");
    assert!(!error.is_transient(), "{error}");
}
