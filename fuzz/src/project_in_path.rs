//! Which paths belong to the project of a caller.

use http::{Request, Uri};
use tower::layer::util::Stack;
use tower_keystone::{RequireLayer, ValidateTokenLayer};
use url::Url;

use crate::{
    input::next,
    service::{confirming, document, layer, send},
};

thread_local! {
    /// Everyone is a user of the project `p1`.
    static VALIDATED: ValidateTokenLayer =
        layer(confirming(&document("alice", &[], "2027-01-15T20:00:00Z")));
}

/// The first line is the pattern, and the second one the path of the request.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    let (pattern, path) = (next(&mut lines), next(&mut lines));
    let is_name = |segment: &&str| segment.starts_with('{') && segment.ends_with('}');
    let segments: Vec<_> = pattern.split('/').collect();
    let Some(project) = segments.iter().rposition(|segment| is_name(&segment)) else { return };
    if !pattern.starts_with('/') || !path.starts_with('/') {
        return;
    }
    let Ok(uri) = path.parse::<Uri>() else { return };
    let request = Request::get(uri.clone()).header("x-auth-token", "good").body(()).expect("a request");
    let layer = Stack::new(RequireLayer::project_in_path(pattern), VALIDATED.with(Clone::clone));
    let (response, _) = send(&layer, request);
    if response.status() != 200 {
        assert_eq!(response.status(), 403);
        return;
    }

    let segments_of_path: Vec<_> = uri.path().split('/').map(decode).collect();
    assert!(segments_of_path.len() >= segments.len());
    assert_eq!(segments_of_path[project], b"p1");
    for (segment, text) in segments.iter().zip(&segments_of_path) {
        assert!(is_name(&segment) && !text.is_empty() || segment.as_bytes() == text, "{pattern:?} {path:?}");
    }
    // Those that resolve the path, or decode it before they split it, must find the project in the same place.
    let has_odd_literal = segments.iter().any(|segment| {
        !is_name(&segment) && (matches!(*segment, "." | "..") || segment.contains(['%', '\\', '?', '#']))
    });
    if has_odd_literal {
        return;
    }
    let decoded = String::from_utf8_lossy(&decode(uri.path())).replace(['?', '#'], "_");
    for path in [uri.path(), &decoded] {
        let Ok(url) = Url::parse(&format!("https://h{path}")) else { continue };
        let found = url.path().split('/').nth(project).map(decode);
        assert_eq!(found.as_deref(), Some(&b"p1"[..]), "{pattern:?} {path:?} is {url}");
    }
}

fn decode(text: &str) -> Vec<u8> {
    let (text, mut decoded) = (text.as_bytes(), Vec::new());
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits =
            digits.filter(|digits| text[at] == b'%' && digits.bytes().all(|d| d.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (decoded.push(byte), at += 3).1,
            None => (decoded.push(text[at]), at += 1).1,
        }
    }
    decoded
}
