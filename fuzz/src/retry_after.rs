//! Reading `Retry-After`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{Error, RaiseForStatusLayer};

use crate::requests::now;

/// The input is a `Retry-After`.
pub fn run(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let asked = value.to_str().map(str::trim).unwrap_or_default().to_owned();
    let service = service_fn(move |_: Request<()>| {
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer.headers_mut().insert("retry-after", value.clone());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let error = now(RaiseForStatusLayer::new().layer(service).oneshot(Request::new(()))).expect_err("a 503");
    let Some(Error::Service(error)) = Error::find(&*error) else { panic!("{error:?}") };
    if let Ok(seconds) = asked.parse::<u64>()
        && !asked.starts_with('+')
    {
        assert_eq!(error.retry_after.map(|pause| pause.as_secs()), Some(seconds), "{asked}");
    }
    if error.retry_after.is_some() {
        assert!(asked.bytes().any(|byte| byte.is_ascii_digit()), "{asked}");
    }
}
