//! Error responses that are not the word of the service, but of what stands in front of it.

use http::{StatusCode, Uri};

/// Whether no waiting changes such a response: it tells what a server implements, or that a proxy wants credentials of
/// its own.
pub(crate) fn is_permanent(status: StatusCode) -> bool {
    matches!(status.as_u16(), 405 | 406 | 407 | 411 | 414 | 415 | 417 | 426 | 431 | 501 | 505)
}

/// Whether a server says that it was spoken to without TLS at a port with TLS. Web servers say it by 400 and a text.
pub(crate) fn requires_tls(uri: &Uri, status: StatusCode, body: &[u8]) -> bool {
    let words = ["https port", "https server", "ssl-enabled", "requires tls", "plain http"];
    let is_plain = uri.scheme_str() == Some("http") && status == StatusCode::BAD_REQUEST;
    is_plain && {
        let told = String::from_utf8_lossy(body).to_ascii_lowercase();
        words.iter().any(|words| told.contains(words))
    }
}
