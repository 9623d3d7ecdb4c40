//! Makes URLs safe to print.

use http::Uri;

/// Returns a URL in printable ASCII: bytes of other characters are percent-encoded, as browsers do it.
///
/// A [`Uri`] has no control characters of ASCII, but others, which a terminal would obey.
pub(super) fn ascii(url: &Uri) -> String {
    let mut text = String::new();
    for byte in url.to_string().bytes() {
        match byte.is_ascii_graphic() {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_ascii_are_encoded() {
        for (url, expected) in [
            ("https://op/a%20b?c=%C3%A9&d", "https://op/a%20b?c=%C3%A9&d"),
            ("https://op/\u{e9}?\u{202e}\u{9b}2J", "https://op/%C3%A9?%E2%80%AE%C2%9B2J"),
        ] {
            assert_eq!(ascii(&url.parse().unwrap()), expected);
        }
    }
}
