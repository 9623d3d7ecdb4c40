use std::{
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};

use super::{FailedLogin, contains_secret, error_body::ErrorBody, escaped, retry_after, truncate};

/// An error response of a service: keystoneauth's `HttpError`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpError {
    /// The status of the response.
    pub status: StatusCode,
    /// The error message of the response body, if the body is in a known format: JSON of OpenStack, OAuth 2.0 or
    /// RFC 9457, or XML of the S3 API.
    ///
    /// It is redacted as a whole if it contains a token or another secret that was sent. The same applies to `details`
    /// and `request_id`.
    pub message: Option<String>,
    /// Further details in the response body, or the whole body if it is a text in an unknown format, up to 64 KiB.
    ///
    /// `Display` and `Debug` do not show them.
    pub details: Option<String>,
    /// The id of the request in the logs of the server.
    pub request_id: Option<String>,
    /// The delay that the server requests (`Retry-After`), without an upper limit.
    pub retry_after: Option<Duration>,
    /// Whether the request can be sent once more after a 401, because the plugin can renew the rejected token.
    ///
    /// This is the value of [`TokenRejected`](crate::TokenRejected). `None` if the status is not 401, or if the layer
    /// did not add a token to the request.
    pub token_renewable: Option<bool>,
    /// The failed login, if the request was a login.
    pub(crate) login: Option<Box<FailedLogin>>,
}

impl HttpError {
    /// Returns whether the error is transient: the same request can succeed later without any change.
    ///
    /// The statuses 408, 429 and all from 500 are transient. For a login, the rules of
    /// [`Error::Keystone`](super::Error::Keystone) apply.
    pub fn is_transient(&self) -> bool {
        if let Some(login) = &self.login {
            return login.is_transient;
        }
        let status = self.status;
        status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status.is_server_error()
    }

    /// Reads an error response, and redacts each text that contains a secret that was sent.
    ///
    /// `is_truncated` says whether the body was truncated.
    pub(crate) fn read<'a>(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        is_truncated: bool,
        secrets: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let body_error = ErrorBody::read(text("content-type").unwrap_or_default(), body);
        // Some services repeat the status in the message. The details are more useful then.
        let repeats_status = |message: &String| {
            status.canonical_reason().is_some_and(|reason| message.eq_ignore_ascii_case(reason))
        };
        let (message, details) = match body_error.details {
            Some(details) if body_error.message.as_ref().is_some_and(repeats_status) => (Some(details), None),
            details => (body_error.message, details),
        };
        let request_id = text("x-openstack-request-id").or_else(|| text("x-compute-request-id"));
        let mut error = Self {
            status,
            message,
            details,
            request_id: request_id.filter(|id| id.len() <= MAX_REQUEST_ID).map(str::to_owned),
            retry_after: retry_after(headers, SystemTime::now()),
            token_renewable: None,
            login: None,
        };
        // A body that is not UTF-8 is cut off at the first invalid byte. That byte can be part of a secret, so that the
        // text ends with the beginning of the secret.
        error.redact(is_truncated || str::from_utf8(body).is_err(), secrets);
        error
    }

    /// Redacts each text that contains a secret that was sent. `is_truncated` says whether the body was truncated.
    fn redact<'a>(&mut self, is_truncated: bool, secrets: impl IntoIterator<Item = &'a str> + Clone) {
        let texts =
            [(&mut self.message, false), (&mut self.details, is_truncated), (&mut self.request_id, false)];
        for (text, is_truncated) in texts {
            if text.as_deref().is_some_and(|text| contains_secret(text, is_truncated, secrets.clone())) {
                *text = Some(REDACTED.to_owned());
            }
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if let Some(message) = &self.message {
            write!(f, ": {}", escaped(message))?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request {})", escaped(request_id))?;
        }
        Ok(())
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("status", &self.status)
            .field("message", &self.message.as_deref().map(truncate))
            .field("request_id", &self.request_id.as_deref().map(truncate))
            .field("retry_after", &self.retry_after)
            .field("token_renewable", &self.token_renewable)
            .finish_non_exhaustive()
    }
}

impl StdError for HttpError {}

/// Maximum length of a request id, in bytes. A longer one is ignored.
const MAX_REQUEST_ID: usize = 1024;

/// Replaces a text that contains a secret.
pub(super) const REDACTED: &str = "(redacted: it contains a secret that was sent)";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &'static str, body: impl AsRef<[u8]>) -> (Option<String>, Option<String>) {
        let headers =
            HeaderMap::from_iter([("content-type".parse().unwrap(), content_type.parse().unwrap())]);
        let error = HttpError::read(StatusCode::CONFLICT, &headers, body.as_ref(), false, []);
        (error.message, error.details)
    }

    #[test]
    fn a_message_that_only_repeats_the_status_gives_way_to_the_details() {
        let barbican =
            |title| read("application/json", format!(r#"{{"title": "{title}", "description": "d"}}"#));
        assert_eq!(barbican("Conflict"), (Some("d".into()), None));
        assert_eq!(barbican("conflict"), (Some("d".into()), None));
        assert_eq!(barbican("m"), (Some("m".into()), Some("d".into())));
        assert_eq!(read("application/json", r#"{"title": "Conflict"}"#), (Some("Conflict".into()), None));
    }
}
