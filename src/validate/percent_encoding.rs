//! Percent-encoding of paths.

/// Returns the path in the form that access rules are compared with.
///
/// Each byte is decoded once, and escaped again only if it cannot stand in a path as it is. For example,
/// `%2F` becomes `/`, `%c3` becomes `%C3`, and a `%` that does not start an escape becomes `%25`.
pub(super) fn normalize(path: &str) -> String {
    let mut normalized = String::with_capacity(path.len());
    for byte in decode(path) {
        if is_path_character(byte) {
            normalized.push(byte.into());
        } else {
            normalized.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
    normalized
}

/// Returns the bytes of a path, each decoded once. A `%` that does not start an escape is returned as it is.
pub(super) fn decode(path: &str) -> impl Iterator<Item = u8> {
    let mut rest = path.as_bytes();
    std::iter::from_fn(move || {
        let (&first, mut after) = rest.split_first()?;
        let mut byte = first;
        if let (b'%', [high, low, after_escape @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
        {
            (byte, after) = (high << 4 | low, after_escape);
        }
        rest = after;
        Some(byte)
    })
}

/// Returns whether the byte is not escaped in a path: it is unreserved, `/`, or a delimiter that a segment can contain
/// (RFC 3986, section 3.3).
fn is_path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_escaped_again_where_they_must_be() {
        for (path, normalized) in [
            ("/v2/ser%76ers", "/v2/servers"),
            ("/v2/servers%2F1", "/v2/servers/1"),
            ("/v2/%2e%2E/images", "/v2/../images"),
            ("/%c3%a9", "/%C3%A9"),
            ("/\u{e9}", "/%C3%A9"),
            ("/a b\"<>{}|\\^`", "/a%20b%22%3C%3E%7B%7D%7C%5C%5E%60"),
            ("/%25", "/%25"),
            ("/%252F", "/%252F"),
            ("/100%", "/100%25"),
            ("/%4", "/%254"),
            ("/%zz", "/%25zz"),
            ("/%+1", "/%25+1"),
            ("/%%41", "/%25A"),
            ("/%00%0a%ff", "/%00%0A%FF"),
            ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
            ("//a/./../", "//a/./../"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(normalize(path), normalized, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normalized_path_means_the_same_and_stays_as_it_is(path in "[/%a-f0-9é +]{0,24}") {
            let normalized = normalize(&path);
            prop_assert!(decode(&normalized).eq(decode(&path)));
            prop_assert_eq!(normalize(&normalized), normalized);
        }
    }
}
