//! Responses to requests that are not let through.

mod challenge;
mod respond;

pub use respond::{JsonDocument, RawResponse, Respond};

pub(super) use challenge::challenge;
pub(super) use respond::respond_with;

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

/// The response to a request that is not let through, as data.
///
/// - 401: the request has no token, or the token is malformed, unknown, expired, or not allowed for this request. The
///   reason is logged, but the client does not learn it.
/// - 403: the caller is known and may not send this request.
/// - 503: the token cannot be validated, because Keystone is unavailable.
/// - 500: the application asks for the caller, but has no [`ValidateTokenLayer`](crate::ValidateTokenLayer).
///
/// The layer also inserts it into the extensions of the response, for layers outside.
///
/// ```
/// use tower_keystone::Rejection;
///
/// let response = Rejection::forbidden().respond(|json| json.to_vec());
/// assert_eq!(response.status(), 403);
/// assert!(response.body().starts_with(br#"{"error": {"code": 403, "title": "Forbidden", "#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
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

    /// Returns the challenge of a 401: `Keystone uri="https://keystone.example.com/v3"`.
    pub fn www_authenticate(&self) -> Option<&HeaderValue> {
        self.www_authenticate.as_ref()
    }

    /// Returns the time after which to send the request again, for a 503. The header has it in seconds, rounded up.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the JSON document that describes the error, as Keystone writes it.
    pub fn document(&self) -> Bytes {
        Bytes::from_static(match self.status {
            StatusCode::UNAUTHORIZED => {
                br#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#
            }
            StatusCode::FORBIDDEN => {
                br#"{"error": {"code": 403, "title": "Forbidden", "message": "You are not authorized to perform the requested action."}}"#
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                br#"{"error": {"code": 503, "title": "Service Unavailable", "message": "The Keystone service is temporarily unavailable."}}"#
            }
            _ => {
                br#"{"error": {"code": 500, "title": "Internal Server Error", "message": "An unexpected error prevented the server from fulfilling your request."}}"#
            }
        })
    }

    /// Returns the response, with a body that this function makes from the JSON document.
    ///
    /// It has the status, `Content-Type`, and `WWW-Authenticate` or `Retry-After`.
    pub fn respond<R>(self, body: impl FnOnce(Bytes) -> R) -> Response<R> {
        let mut response = Response::new(body(self.document()));
        self.apply_to(&mut response);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Sets the status and the headers of a response.
    fn apply_to<R>(&self, response: &mut Response<R>) {
        *response.status_mut() = self.status;
        let retry_after = self.retry_after.map(|time| {
            let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
            HeaderValue::from(seconds.max(1))
        });
        set(response.headers_mut(), WWW_AUTHENTICATE, self.www_authenticate.clone());
        set(response.headers_mut(), RETRY_AFTER, retry_after);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn respond(rejection: Rejection) -> (u16, HeaderMap, Value) {
        let response = rejection.respond(|json| serde_json::from_slice(&json).unwrap());
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers["content-type"], "application/json");
        (parts.status.as_u16(), parts.headers, body)
    }

    #[test]
    fn a_401_has_the_document_of_keystone() {
        let rejection = Rejection::unauthorized(HeaderValue::from_static("Keystone uri=\"x\""));
        assert_eq!(
            rejection.document(),
            "{\"error\": {\"code\": 401, \"title\": \"Unauthorized\", \"message\": \"The request you have made \
             requires authentication.\"}}"
        );
        let (status, headers, _) = respond(rejection);
        assert_eq!(
            (status, headers.len(), &headers["www-authenticate"]),
            (401, 2, &"Keystone uri=\"x\"".parse().unwrap())
        );
    }

    #[test]
    fn each_status_has_its_document() {
        let unavailable = Rejection::unavailable(Duration::ZERO);
        for (rejection, title) in [
            (Rejection::forbidden(), "Forbidden"),
            (Rejection::missing_layer(), "Internal Server Error"),
            (unavailable, "Service Unavailable"),
        ] {
            let (status, headers, body) = respond(rejection);
            assert_eq!(body["error"]["code"], json!(status));
            assert_eq!(body["error"]["title"], title);
            assert!(body["error"]["message"].is_string());
            assert!(!headers.contains_key("www-authenticate"));
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_rounded_up() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
            let (_, headers, _) = respond(Rejection::unavailable(Duration::from_millis(millis)));
            assert_eq!(headers["retry-after"], seconds);
        }
        let (_, headers, _) = respond(Rejection::unavailable(Duration::MAX));
        assert_eq!(headers["retry-after"], u64::MAX.to_string());
    }
}
