use std::{
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};

use super::{FailedLogin, contains_secret, error_body::explanation, escaped, retry_after, truncate};

/// An answer that is an error: keystoneauth's `HttpError`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpError {
    /// Its status.
    pub status: StatusCode,
    /// What it says, if it is a document in one of the forms that services write: JSON of OpenStack, OAuth 2.0 or
    /// RFC 9457, or XML of the S3 API. A text that repeats a token or another secret which was sent is replaced, here
    /// and in `details`.
    pub message: Option<String>,
    /// What it says further, or the whole of a text in no such form, up to 64 KiB. It is not shown with the message,
    /// nor in `Debug`.
    pub details: Option<String>,
    /// The id under which the server's logs have the request.
    pub request_id: Option<String>,
    /// How long the server asks to wait (`Retry-After`), as it says it.
    pub retry_after: Option<Duration>,
    /// For a 401 to a request that carried the layer's token: whether the plugin can renew the token, so that the request
    /// can be sent again. The same as in [`TokenRejected`](crate::TokenRejected).
    pub token_renewable: Option<bool>,
    /// The login that was answered so, if it was one.
    pub(crate) login: Option<Box<FailedLogin>>,
}

impl HttpError {
    /// Whether the same request can succeed later without anybody changing anything: too many
    /// requests, or an error of the server's; for a login also an error that is not Keystone's own but that of a proxy
    /// in front of it.
    pub fn is_transient(&self) -> bool {
        if let Some(login) = &self.login {
            return login.is_transient;
        }
        let status = self.status;
        status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status.is_server_error()
    }

    /// Takes away what repeats one of the secrets that were sent. `is_cut` says whether the body was cut short.
    fn withhold<'a>(&mut self, is_cut: bool, secrets: impl IntoIterator<Item = &'a str> + Clone) {
        let texts = [(&mut self.message, false), (&mut self.details, is_cut), (&mut self.request_id, false)];
        for (text, is_cut) in texts {
            if text.as_deref().is_some_and(|text| contains_secret(text, is_cut, secrets.clone())) {
                *text = Some(WITHHELD.to_owned());
            }
        }
    }

    /// Reads an answer, without what repeats one of the secrets that were sent. `is_cut` says whether the body was cut
    /// short.
    pub(crate) fn read<'a>(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        is_cut: bool,
        secrets: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let said = explanation(text("content-type").unwrap_or_default(), body);
        // A message that only repeats the status says less than the details.
        let repeats_status = |message: &String| {
            status.canonical_reason().is_some_and(|reason| message.eq_ignore_ascii_case(reason))
        };
        let (message, details) = match said.details {
            Some(details) if said.message.as_ref().is_some_and(repeats_status) => (Some(details), None),
            details => (said.message, details),
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
        // What is no UTF-8 ends the text, perhaps within a secret in another encoding.
        error.withhold(is_cut || str::from_utf8(body).is_err(), secrets);
        error
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

/// Maximum length of a request id, in bytes; a longer text is none.
const MAX_REQUEST_ID: usize = 1024;

/// What is said instead of a text that repeats a secret.
const WITHHELD: &str = "(withheld: it repeats a secret that was sent)";

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
