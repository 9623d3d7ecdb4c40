//! Converts a token to a header value.

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::Error;

/// Maximum size of a token, in bytes.
///
/// Public clouds issue tokens of up to 100,000 bytes. The HTTP client may have a lower limit for a header.
const MAX_TOKEN_LEN: usize = 128 * 1024;

/// Returns the header value of a token, marked sensitive. Its memory is wiped when the last clone is dropped.
///
/// A token must be visible ASCII. `HeaderValue` also allows spaces and non-ASCII bytes, but servers differ in how they
/// read these.
///
/// # Errors
///
/// [`Error::InvalidToken`] if the token is empty, is longer than 128 KiB, or contains a byte that is not visible ASCII.
pub(crate) fn header_value(token: &str) -> Result<HeaderValue, Error> {
    header_value_with("", token)
}

/// The authentication scheme of RFC 6750, and the space after it.
#[cfg(feature = "federation")]
pub(super) const BEARER: &str = "Bearer ";

/// Returns the value of `Authorization` for an OAuth 2.0 access token, as [`header_value`] does.
#[cfg(feature = "federation")]
pub(crate) fn bearer_value(access_token: &str) -> Result<HeaderValue, Error> {
    header_value_with(BEARER, access_token)
}

/// Returns the value of `Authorization` for HTTP basic authentication with these credentials, which are base64 already.
#[cfg(feature = "federation")]
pub(crate) fn basic_value(credentials: &str) -> Result<HeaderValue, Error> {
    header_value_with("Basic ", credentials)
}

fn header_value_with(scheme: &str, token: &str) -> Result<HeaderValue, Error> {
    let invalid = |reason, offset| Error::InvalidToken { reason, length: token.len(), offset };

    if token.is_empty() {
        return Err(invalid("it is empty", None));
    }
    if token.len() > MAX_TOKEN_LEN {
        return Err(invalid("it is longer than 128 KiB", None));
    }
    if let Some(offset) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(invalid("it contains a byte that is not visible ASCII", Some(offset)));
    }

    let bytes = Bytes::from_owner(Zeroizing::new([scheme.as_bytes(), token.as_bytes()].concat()));
    let mut value =
        HeaderValue::from_maybe_shared(bytes).map_err(|_| invalid("it cannot be sent in a header", None))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Appends a token as a JSON string. A token is visible ASCII, of which JSON escapes only two characters.
pub(super) fn push_json(token: &str, result: &mut String) {
    result.push('"');
    for character in token.chars() {
        if matches!(character, '"' | '\\') {
            result.push('\\');
        }
        result.push(character);
    }
    result.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_a_sensitive_value() {
        let value = header_value("gAAAA-token_~!").unwrap();
        assert!(value.is_sensitive());
        assert_eq!(value.to_str().unwrap(), "gAAAA-token_~!");
        assert!(header_value(&"x".repeat(MAX_TOKEN_LEN)).is_ok());
    }

    #[test]
    fn an_invalid_token_is_an_error_that_does_not_show_it() {
        let long = "x".repeat(MAX_TOKEN_LEN + 1);
        let invalid = [
            "",
            "can ary",
            "canary\r\n",
            "canary\0",
            " canary",
            "canary\t",
            "canaryé",
            "canary\u{7f}",
            &long,
        ];
        for token in invalid {
            let error = header_value(token).unwrap_err();
            let Error::InvalidToken { length, .. } = error else { panic!("{error:?}") };
            assert_eq!(length, token.len());
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        assert!(header_value(&long).unwrap_err().to_string().contains("longer than 128 KiB"));
        let error = header_value("can ary").unwrap_err();
        assert!(matches!(error, Error::InvalidToken { offset: Some(3), .. }));
    }
}
