//! Access rules of application credentials, compared with a naive matcher.

use http::{Request, Uri};
use serde_json::json;

use crate::{
    input::next,
    service::{confirming, document, layer, send},
};

/// The first line is the pattern, and the second one the path of the request.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    let (pattern, path) = (next(&mut lines), next(&mut lines));
    if pattern.len() > 300 || path.len() > 300 || !path.starts_with('/') {
        return;
    }
    let Ok(uri) = path.parse::<Uri>() else { return };
    let rules = json!([{"service": "compute", "method": "GET", "path": pattern}]);
    let mut document = document("alice", &[], "2027-01-15T20:00:00Z");
    document["application_credential"] = json!({"id": "c", "access_rules": rules});
    let layer = layer(confirming(&document)).service_type("compute");
    let expected = matches(&tokens(pattern.as_bytes()), &normalize(uri.path().as_bytes()));
    let request = Request::get(uri).header("x-auth-token", "good").body(()).expect("a request");
    let (response, _) = send(&layer, request);
    assert_eq!(response.status(), if expected { 200 } else { 401 }, "{pattern:?} {path:?}");
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    Star,
    TwoStars,
}

fn tokens(mut pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((&first, rest)) = pattern.split_first() {
        let name_end = pattern.iter().position(|byte| *byte == b'}');
        let (token, after) = match (first, name_end) {
            (b'{', Some(end)) => (Token::Star, &pattern[end + 1..]),
            (b'*', _) if rest.first() == Some(&b'*') => (Token::TwoStars, &rest[1..]),
            (b'*', _) => (Token::Star, rest),
            _ => (Token::Byte(first), rest),
        };
        tokens.push(token);
        pattern = after;
    }
    tokens
}

/// Returns whether the tokens match a path, by a table of all their ends and all its starts.
fn matches(tokens: &[Token], path: &[u8]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; path.len() + 1];
        for start in (0..=path.len()).filter(|start| reached[*start]) {
            match token {
                Token::Byte(byte) => {
                    if path.get(start) == Some(byte) {
                        next[start + 1] = true;
                    }
                }
                Token::TwoStars => next[start..].fill(true),
                Token::Star => {
                    let mut end = start;
                    while path.get(end).is_some_and(|byte| *byte != b'/') {
                        end += 1;
                        next[end] = true;
                    }
                }
            }
        }
        reached = next;
    }
    reached[path.len()]
}

fn normalize(path: &[u8]) -> Vec<u8> {
    let mut normalized = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|digits| path[at] == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if escaped.is_some() { 3 } else { 1 };
        let byte = escaped.unwrap_or_else(|| path[at - 1]);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => normalized.push(byte),
            _ if b"-._~/!$&'()*+,;=:@".contains(&byte) => normalized.push(byte),
            _ => normalized.extend(format!("%{byte:02X}").bytes()),
        }
    }
    normalized
}
