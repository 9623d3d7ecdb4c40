use std::{
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{repeats, retry_after};
use crate::Refusal;

/// An answer that is an error: keystoneauth's `HttpError`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpError {
    /// Its status.
    pub status: StatusCode,
    /// What it says, where it is a document that says something. A text that repeats a token or another
    /// secret which was sent is replaced, here and in `details`.
    pub message: Option<String>,
    /// What it says further, at any length. It is not shown with the message, nor in `Debug`.
    pub details: Option<String>,
    /// The id under which the server's logs have the request.
    pub request_id: Option<String>,
    /// How long the server asks to wait (`Retry-After`), as it says it.
    pub retry_after: Option<Duration>,
    /// For a 401 to a request that carried the layer's token: whether it makes sense to send it again.
    pub refusal: Option<Refusal>,
}

impl HttpError {
    /// Whether the same request can succeed later without anybody changing anything: too many
    /// requests, or an error of the server's.
    pub fn is_transient(&self) -> bool {
        let status = self.status;
        status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status.is_server_error()
    }

    /// Takes away what repeats one of the secrets that were sent. `is_cut` says whether the body was cut short.
    pub(crate) fn withhold<'a>(&mut self, is_cut: bool, secrets: impl IntoIterator<Item = &'a str> + Clone) {
        let texts = [(&mut self.message, false), (&mut self.details, is_cut), (&mut self.request_id, false)];
        for (text, is_cut) in texts {
            if text.as_deref().is_some_and(|text| repeats(text, is_cut, secrets.clone())) {
                *text = Some(WITHHELD.to_owned());
            }
        }
    }

    /// Reads an answer, of which the body may be cut short.
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text("content-type").unwrap_or_default();
        let (message, details) = if content_type.starts_with("application/json") {
            serde_json::from_slice(body).map_or((None, None), |body| explanation(&body))
        } else if content_type.starts_with("text/") {
            (None, body.utf8_chunks().next().map(|text| text.valid().to_owned()))
        } else {
            (None, None)
        };
        let request_id = text("x-openstack-request-id").or_else(|| text("x-compute-request-id"));
        Self {
            status,
            message,
            details: details.filter(|details| !details.is_empty()),
            request_id: request_id.map(str::to_owned),
            retry_after: retry_after(headers, SystemTime::now()),
            refusal: None,
        }
    }
}

/// Message and details of an error document: as Keystone writes it, by the API guidelines, or as Nova
/// and its relatives (`{"itemNotFound": {"message": …}}`), Neutron (`{"NeutronError": …}`) and those
/// with pecan or WSME (`faultstring`) do. keystoneauth knows the first two.
fn explanation(body: &Value) -> (Option<String>, Option<String>) {
    let text = |value: &Value, names: &[&str]| {
        names.iter().find_map(|name| value.get(name)?.as_str()).map(str::to_owned)
    };
    if let Some([first, ..]) = body.get("errors").and_then(Value::as_array).map(Vec::as_slice) {
        return (text(first, &["title"]), text(first, &["detail"]));
    }
    let nested = || match body.as_object()?.values().next() {
        Some(only) if body.as_object()?.len() == 1 && only.is_object() => Some(only),
        _ => None,
    };
    let error = body.get("error").filter(|error| error.is_object()).or_else(nested).unwrap_or(body);
    (text(error, &["message", "faultstring"]), text(error, &["details", "detail"]))
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if let Some(message) = &self.message {
            let shown: String = message.chars().take(SHOWN).collect();
            write!(f, ": {}", shown.escape_debug())?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request {})", request_id.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("status", &self.status)
            .field("message", &self.message)
            .field("request_id", &self.request_id)
            .field("retry_after", &self.retry_after)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl StdError for HttpError {}

/// What is said instead of a text that repeats a secret.
const WITHHELD: &str = "(withheld: it repeats a secret that was sent)";

/// How much of a message is shown, in characters.
const SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &'static str, body: impl AsRef<[u8]>) -> (Option<String>, Option<String>) {
        let headers =
            HeaderMap::from_iter([("content-type".parse().unwrap(), content_type.parse().unwrap())]);
        let error = HttpError::read(StatusCode::CONFLICT, &headers, body.as_ref());
        (error.message, error.details)
    }

    #[test]
    fn documents_of_all_services_explain_themselves() {
        for (body, message, details) in [
            (r#"{"error": {"message": "m", "details": "d", "code": 409}}"#, Some("m"), Some("d")),
            (r#"{"errors": [{"title": "m", "detail": "d"}, {"title": "n"}]}"#, Some("m"), Some("d")),
            (r#"{"itemNotFound": {"code": 404, "message": "m"}}"#, Some("m"), None),
            (
                r#"{"NeutronError": {"type": "PortNotFound", "message": "m", "detail": "d"}}"#,
                Some("m"),
                Some("d"),
            ),
            (r#"{"faultcode": "Client", "faultstring": "m", "debuginfo": null}"#, Some("m"), None),
            (r#"{"code": 409, "message": "m"}"#, Some("m"), None),
            (r#"{"error": {"message": 5}}"#, None, None),
            (r#"{"error": "string"}"#, None, None),
            (r#"{"errors": []}"#, None, None),
            (r#"{"errors": {}}"#, None, None),
            (r#"{"errors": ["x"]}"#, None, None),
            (r#"{"teapot": 1}"#, None, None),
            (r#"["message"]"#, None, None),
            ("null", None, None),
            ("not json", None, None),
            ("", None, None),
        ] {
            let expected = (message.map(str::to_owned), details.map(str::to_owned));
            for content_type in ["application/json", "application/json; charset=utf-8"] {
                assert_eq!(read(content_type, body), expected, "{body}");
            }
            assert_eq!(read("application/octet-stream", body), (None, None));
        }
    }

    #[test]
    fn a_text_is_the_details_up_to_where_it_is_cut_short() {
        assert_eq!(read("text/html", "<h1>404</h1>").1.unwrap(), "<h1>404</h1>");
        assert_eq!(read("text/plain", &"naïve".as_bytes()[..3]).1.unwrap(), "na");
        assert_eq!(read("text/plain", b"\xff\xfe").1, None);
        assert_eq!(read("text/plain", "").1, None);
    }
}
