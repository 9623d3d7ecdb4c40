//! Classifies error responses that may come from a proxy in front of the service.

use http::{StatusCode, Uri};

/// Returns whether a retry cannot change this error status, even if it comes from a proxy.
///
/// Such a status depends on the request and on what the server implements. 407 means that the proxy requires its own
/// credentials.
pub(crate) fn is_permanent(status: StatusCode) -> bool {
    matches!(status.as_u16(), 405 | 406 | 407 | 411 | 414 | 415 | 417 | 426 | 431 | 501 | 505)
}

/// Returns whether a plain http request was sent to a TLS port. Web servers report that in the body of a 400.
pub(crate) fn requires_tls(uri: &Uri, status: StatusCode, body: &[u8]) -> bool {
    let phrases = ["https port", "https server", "ssl-enabled", "requires tls", "plain http"];
    let is_http = uri.scheme_str() == Some("http");
    is_http && status == StatusCode::BAD_REQUEST && {
        let body = String::from_utf8_lossy(body).to_ascii_lowercase();
        phrases.iter().any(|phrase| body.contains(phrase))
    }
}
