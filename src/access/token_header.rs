//! A token as the header value it is sent as.

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::Error;

/// Maximum size of a token, in bytes.
///
/// Public clouds issue tokens of up to 100,000 characters; how long a header may be is up to the HTTP client.
const MAX_TOKEN_LEN: usize = 128 * 1024;

/// Makes the sensitive header value of a token; its memory is wiped when the last clone is dropped.
///
/// `HeaderValue` by itself takes non-ASCII bytes and blanks around the token, which servers then read
/// in ways of their own. So only visible ASCII is a token here.
pub(crate) fn header_value(token: &str) -> Result<HeaderValue, Error> {
    let refused = |reason, offset| Error::InvalidToken { reason, length: token.len(), offset };

    if token.is_empty() {
        return Err(refused("it is empty", None));
    }
    if token.len() > MAX_TOKEN_LEN {
        return Err(refused("it is longer than 128 KiB", None));
    }
    if let Some(offset) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(refused("a byte of it is not visible ASCII", Some(offset)));
    }

    let bytes = Bytes::from_owner(Zeroizing::new(token.as_bytes().to_vec()));
    let mut value =
        HeaderValue::from_maybe_shared(bytes).map_err(|_| refused("it cannot be sent in a header", None))?;
    value.set_sensitive(true);
    Ok(value)
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
    fn what_is_no_token_is_refused_without_being_shown() {
        let long = "x".repeat(MAX_TOKEN_LEN + 1);
        let bad = [
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
        for token in bad {
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
