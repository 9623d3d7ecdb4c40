//! Reads the error code and its description from an error response.

use bytes::Bytes;
use http::{HeaderMap, Response, header::WWW_AUTHENTICATE};
use serde_json::value::RawValue;

use crate::{json, transport::MAX_ERROR_BODY};

/// What an error response says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorCode {
    pub(super) error: Option<Box<str>>,
    pub(super) description: Option<String>,
    /// Whether the body is an error document of Keystone.
    pub(super) is_keystone: bool,
    /// Whether the texts may be truncated.
    pub(super) is_truncated: bool,
}

/// The error codes of RFC 6749 (sections 4.1.2.1 and 5.2), RFC 6750 (section 3.1) and RFC 8628 (section 3.5).
///
/// They are shown even if they contain a short secret, because they decide how a login goes on.
const STANDARD_CODES: [&str; 14] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "invalid_token",
    "insufficient_scope",
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
];

pub(super) fn is_standard(code: &str) -> bool {
    STANDARD_CODES.contains(&code)
}

/// Maximum length of an error code, in bytes. Codes can be URLs (RFC 6749, section 8.5).
const MAX_CODE: usize = 256;

impl ErrorCode {
    /// Reads the body, and `WWW-Authenticate` if the body has no error code: a web server in front of Keystone returns a
    /// page in HTML, and says only there what is wrong with a bearer.
    pub(super) fn read(response: &Response<Bytes>) -> Self {
        let body = response.body();
        let is_truncated = body.len() >= MAX_ERROR_BODY;
        let body = body.get(..MAX_ERROR_BODY).unwrap_or(body);
        let body = str::from_utf8(json::without_bom(body)).unwrap_or_default();
        let found = Self { is_truncated, ..Self::from_json(body) };
        if found.error.is_some() || found.is_keystone {
            return found;
        }
        Self::from_challenges(response.headers()).unwrap_or(found)
    }

    /// Reads an error of OAuth 2.0 (RFC 6749, section 5.2), or an error document of Keystone.
    fn from_json(body: &str) -> Self {
        let (mut error, mut description) = (None, None);
        let read = json::for_each_member(body, |name, value| match name {
            "error" => error = Some(value),
            "error_description" => description = json::text(value),
            _ => {}
        });
        match (read, error) {
            (Ok(()), Some(document)) if json::is_object(document) => Self::from_keystone(document),
            (Ok(()), Some(error)) => {
                Self { error: json::text(error).and_then(code), description, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn from_keystone(document: &RawValue) -> Self {
        let mut message = None;
        let _ = json::for_each_member(document.get(), |name, value| {
            if name == "message" {
                message = json::text(value);
            }
        });
        Self { is_keystone: message.is_some(), description: message, ..Self::default() }
    }

    /// Reads the parameters of the first challenge that has an error code (RFC 6750, section 3).
    fn from_challenges(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(WWW_AUTHENTICATE).iter().find_map(|challenge| {
            let challenge = challenge.to_str().ok()?;
            let error = parameter(challenge, "error").and_then(code)?;
            let description = parameter(challenge, "error_description");
            Some(Self { error: Some(error), description, ..Self::default() })
        })
    }
}

/// Returns an error code if it has the characters of one (RFC 6749, section 5.2) and is not too long.
fn code(text: String) -> Option<Box<str>> {
    let is_allowed = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    let is_code = !text.is_empty() && text.len() <= MAX_CODE && text.bytes().all(is_allowed);
    is_code.then(|| text.into())
}

/// Returns a parameter of a challenge: a token, or a quoted string without its quotes and backslashes.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let (before, value) = rest.split_once('=')?;
        let found = before.rsplit([' ', ',', '\t']).next()?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => {
                let (value, after) = value.split_at(value.find([',', ' ']).unwrap_or(value.len()));
                (value.to_owned(), after)
            }
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// Returns the value of a quoted string whose opening quote was removed, and what follows it.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_challenge_are_read() {
        for (challenge, error, description) in [
            (
                r#"Bearer error="invalid_token", error_description="the \"token\", expired""#,
                Some("invalid_token"),
                Some(r#"the "token", expired"#),
            ),
            (r#"Basic realm="a=b, error=no", error="invalid_client""#, Some("invalid_client"), None),
            (r#"Bearer realm=x,error=invalid_token,Error_Description=y"#, Some("invalid_token"), Some("y")),
            (r#"Keystone uri="http://h/v3""#, None, None),
            (r#"Bearer error="#, Some(""), None),
            (r#"Bearer error="open"#, Some("open"), None),
            ("", None, None),
        ] {
            assert_eq!(parameter(challenge, "error").as_deref(), error, "{challenge}");
            assert_eq!(parameter(challenge, "error_description").as_deref(), description, "{challenge}");
        }
    }
}
