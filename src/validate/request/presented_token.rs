//! The tokens that a request presents.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, GetAll},
};

use crate::{
    plugin::{X_AUTH_TOKEN, X_SERVICE_TOKEN},
    validate::settings::Settings,
};

const X_STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");

/// The token of the user and the token of the calling service.
#[derive(Debug)]
pub(in crate::validate) struct PresentedTokens {
    pub(in crate::validate) user: PresentedToken,
    pub(in crate::validate) service: PresentedToken,
}

/// What a request presents as a token.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::validate) enum PresentedToken {
    /// No token.
    Absent,
    /// Something that cannot be a token.
    Malformed,
    /// A token, without blanks around it. It may contain bytes that are not ASCII.
    Token(HeaderValue),
}

impl PresentedTokens {
    /// Reads the tokens from the headers of a request.
    ///
    /// The user's token is in `Authorization: Bearer`, if such tokens are accepted, or in `X-Auth-Token`, or in
    /// `X-Storage-Token`. The first of these headers counts, even if it is empty. The token of the service is in
    /// `X-Service-Token`.
    pub(in crate::validate) fn read(headers: &HeaderMap, settings: &Settings) -> Self {
        let max_length = settings.max_token_length;
        let bearer = settings.bearer_tokens.then(|| bearer_token(headers.get_all(AUTHORIZATION))).flatten();
        let user = bearer.unwrap_or_else(|| {
            let name = if headers.contains_key(X_AUTH_TOKEN) { X_AUTH_TOKEN } else { X_STORAGE_TOKEN };
            header_token(headers.get_all(name))
        });
        let service = header_token(headers.get_all(X_SERVICE_TOKEN));
        Self { user: user.limited_to(max_length), service: service.limited_to(max_length) }
    }
}

/// Returns whether a header has the scheme `Bearer`, in any case.
pub(in crate::validate) fn has_bearer_token(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(is_bearer)
}

impl PresentedToken {
    fn limited_to(self, max_length: usize) -> Self {
        match self {
            Self::Token(token) if token.len() > max_length => Self::Malformed,
            token => token,
        }
    }
}

/// Returns the token in a header that contains nothing else.
///
/// An empty header is no token, but blanks are a malformed one. A repeated header must have equal values.
fn header_token(values: GetAll<'_, HeaderValue>) -> PresentedToken {
    let mut values = values.iter();
    let Some(first) = values.next() else { return PresentedToken::Absent };
    let token = first.as_bytes().trim_ascii();
    if values.any(|value| value.as_bytes().trim_ascii() != token) {
        return PresentedToken::Malformed;
    }
    match first.is_empty() {
        true => PresentedToken::Absent,
        false => token_value(first, token),
    }
}

/// Returns the token in an `Authorization` header, or `None` if the header has another scheme.
///
/// A `Bearer` scheme that is not spelt so, or has no token, is a malformed token. So is a repeated header if one of its
/// different values has this scheme.
fn bearer_token(values: GetAll<'_, HeaderValue>) -> Option<PresentedToken> {
    if !values.iter().any(is_bearer) {
        return None;
    }
    let mut values = values.iter();
    let first = values.next()?;
    let text = first.as_bytes().trim_ascii();
    let token = text.strip_prefix(BEARER).filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace));
    Some(match token {
        Some(token) if values.all(|value| value.as_bytes().trim_ascii() == text) => {
            token_value(first, token.trim_ascii())
        }
        _ => PresentedToken::Malformed,
    })
}

const BEARER: &[u8] = b"Bearer";

fn is_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().trim_ascii_start().split(u8::is_ascii_whitespace).next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(BEARER))
}

/// Returns a part of a header value as a token. The value is copied only if the part is not the whole of it.
fn token_value(value: &HeaderValue, token: &[u8]) -> PresentedToken {
    if token.is_empty() {
        return PresentedToken::Malformed;
    }
    let token = match token.len() == value.len() {
        true => Ok(value.clone()),
        false => HeaderValue::from_bytes(token),
    };
    match token {
        Ok(mut token) => {
            token.set_sensitive(true);
            PresentedToken::Token(token)
        }
        Err(_) => PresentedToken::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_map(headers: &[(&'static str, &[u8])]) -> HeaderMap {
        let value = |value| HeaderValue::from_bytes(value).unwrap();
        headers.iter().map(|&(name, bytes)| (HeaderName::from_static(name), value(bytes))).collect()
    }

    fn read(headers: &[(&'static str, &[u8])], bearer_tokens: bool) -> PresentedTokens {
        let settings = Settings { bearer_tokens, max_token_length: 20, ..Settings::default() };
        PresentedTokens::read(&header_map(headers), &settings)
    }

    fn user(headers: &[(&'static str, &[u8])]) -> PresentedToken {
        read(headers, false).user
    }

    fn service(value: &[u8]) -> PresentedToken {
        read(&[("x-service-token", value)], false).service
    }

    fn bearer(headers: &[(&'static str, &[u8])]) -> PresentedToken {
        read(headers, true).user
    }

    fn token(text: &[u8]) -> PresentedToken {
        PresentedToken::Token(HeaderValue::from_bytes(text).unwrap())
    }

    use PresentedToken::{Absent, Malformed};

    #[test]
    fn the_storage_token_counts_only_without_an_auth_token() {
        assert_eq!(user(&[]), Absent);
        assert_eq!(user(&[("x-auth-token", b"t")]), token(b"t"));
        assert_eq!(user(&[("x-storage-token", b"s")]), token(b"s"));
        assert_eq!(user(&[("x-storage-token", b"s"), ("x-auth-token", b"t")]), token(b"t"));
        assert_eq!(user(&[("x-storage-token", b"s"), ("x-auth-token", b"")]), Absent);
        assert_eq!(user(&[("x-storage-token", b"s"), ("x-auth-token", b" ")]), Malformed);
        assert_eq!(user(&[("x-subject-token", b"t"), ("x-service-token", b"s")]), Absent);
        assert_eq!(user(&[("authorization", b"Bearer t")]), Absent);
    }

    #[test]
    fn an_empty_header_is_no_token_and_blanks_are_a_malformed_one() {
        assert_eq!((service(b""), service(b" "), service(b"\t ")), (Absent, Malformed, Malformed));
        assert_eq!((user(&[("x-auth-token", b"")]), user(&[("x-auth-token", b"\t")])), (Absent, Malformed));
        assert_eq!(service(b"\ts "), token(b"s"));
        assert_eq!(user(&[("x-auth-token", b" \"quoted\"\t")]), token(b"\"quoted\""));
        assert_eq!(user(&[("x-auth-token", b"a b,c")]), token(b"a b,c"));
    }

    #[test]
    fn bytes_that_are_not_ascii_are_part_of_the_token() {
        assert_eq!(user(&[("x-auth-token", b" t\xe9  ")]), token(b"t\xe9"));
        assert_eq!(user(&[("x-auth-token", b"\xc3\xa9")]), token(b"\xc3\xa9"));
        // U+00A0 in latin-1 is not a blank.
        assert_eq!(user(&[("x-auth-token", b"\xa0")]), token(b"\xa0"));
        assert_eq!(bearer(&[("authorization", b"Bearer t\xe9")]), token(b"t\xe9"));
    }

    #[test]
    fn repeated_headers_must_be_equal() {
        let twice = |name, one: &'static [u8], other| [(name, one), (name, other)];
        assert_eq!(user(&twice("x-auth-token", b"t", b"t")), token(b"t"));
        assert_eq!(user(&twice("x-auth-token", b"t ", b" t")), token(b"t"));
        assert_eq!(user(&twice("x-auth-token", b"", b"")), Absent);
        for (one, other) in [(&b"t"[..], &b"u"[..]), (b"t", b""), (b"", b"t"), (b"t", b"T")] {
            assert_eq!(user(&twice("x-auth-token", one, other)), Malformed);
            assert_eq!(user(&twice("x-storage-token", one, other)), Malformed);
            assert_eq!(read(&twice("x-service-token", one, other), false).service, Malformed);
        }
        assert_eq!(bearer(&twice("authorization", b"Bearer t", b"Bearer t")), token(b"t"));
        assert_eq!(bearer(&twice("authorization", b"Bearer t", b"Bearer u")), Malformed);
        assert_eq!(bearer(&twice("authorization", b"Basic t", b"Bearer t")), Malformed);
        assert_eq!(bearer(&twice("authorization", b"Bearer t", b"Basic t")), Malformed);
        assert_eq!(bearer(&twice("authorization", b"Basic t", b"Basic u")), Absent);
    }

    #[test]
    fn a_bearer_token_replaces_the_other_headers() {
        let with_auth_token = |value| bearer(&[("authorization", value), ("x-auth-token", b"t")]);
        assert_eq!(with_auth_token(b"Bearer b"), token(b"b"));
        assert_eq!(with_auth_token(b" Bearer \t b "), token(b"b"));
        assert_eq!(with_auth_token(b"Bearer t,u"), token(b"t,u"));
        for malformed in [&b"Bearer"[..], b"Bearer ", b"bearer b", b"BEARER b", b"bearer"] {
            assert_eq!(with_auth_token(malformed), Malformed);
        }
        for other in [&b"Basic b"[..], b"Bearerb", b"Digest Bearer b", b""] {
            assert_eq!(with_auth_token(other), token(b"t"));
            assert_eq!(bearer(&[("authorization", other)]), Absent);
        }
        assert_eq!(bearer(&[("x-storage-token", b"s")]), token(b"s"));
    }

    #[test]
    fn a_long_token_is_malformed() {
        let longest = [b'A'; 20];
        assert_eq!(user(&[("x-auth-token", &longest)]), token(&longest));
        assert_eq!(service(&longest), token(&longest));
        assert_eq!(user(&[("x-auth-token", &[b'A'; 21])]), Malformed);
        assert_eq!(service(&[b'A'; 21]), Malformed);
        assert_eq!(
            bearer(&[("authorization", &[b"Bearer ".as_slice(), &longest].concat())]),
            token(&longest)
        );
        assert_eq!(bearer(&[("authorization", b"Bearer AAAAAAAAAAAAAAAAAAAAA")]), Malformed);
    }

    #[test]
    fn tokens_are_sensitive() {
        for value in [&b"canary"[..], b" canary "] {
            let tokens = read(&[("x-auth-token", value), ("x-service-token", value)], false);
            assert!(!format!("{tokens:?}").contains("canary"), "{tokens:?}");
        }
    }
}
