//! Waits for the browser, for a limited time.

use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

use super::{loopback::Loopback, page::Page, request::Request, serve::serve};
use crate::{
    Error,
    error::{FederatedLoginFailed, LoginStep},
};

/// Returns what the first request has brought that `judge` accepts. The status is that of the response to another one.
///
/// # Errors
///
/// [`Error::FederatedLoginFailed`] after `limit`.
pub(super) async fn wait_for_browser<T: Send>(
    loopback: Loopback,
    origin: Box<str>,
    limit: Duration,
    judge: impl Fn(&Request<'_>) -> Result<(T, Page), StatusCode> + Sync,
) -> Result<T, Error> {
    timeout(limit, serve(loopback, judge)).await.map_err(|_| {
        let hint = "the browser did not come back in time; start the login again";
        FederatedLoginFailed::new(LoginStep::Browser, origin, hint, false).into()
    })
}
