//! Finds secrets that a server echoes in an error response.

use http::HeaderValue;

/// Maximum length of an escape sequence, in bytes: that of `&#x0010ffff;`.
const MAX_ESCAPE_LEN: usize = 12;

/// Returns whether a text contains one of the secrets, verbatim or as escaped in JSON, HTML or a URL.
///
/// A truncated text also contains a secret if it ends with the beginning of one.
pub(crate) fn contains_secret<'a>(
    text: &str,
    is_truncated: bool,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) -> bool {
    let secrets = || secrets.clone().into_iter().filter(|secret| !secret.is_empty());
    if secrets().next().is_none() {
        return false;
    }
    let is_in = |text: &str| {
        secrets().any(|secret| text.contains(secret) || is_truncated && ends_within(text, secret))
    };
    let is_in_json = |text: &str| {
        let once = unescape(text, '\\', json_escape);
        // JSON within JSON is escaped twice.
        is_in(&once) || is_in(&unescape(&once, '\\', json_escape))
    };
    let is_in_html = || {
        let html = unescape_html(text);
        is_in(&html) || is_in_json(&html)
    };
    // Servers encode what was sent in a form or a URL in several ways.
    let is_in_url = || {
        is_in(&percent_decoded(text))
            || text.contains('+') && is_in(&percent_decoded(&text.replace('+', " ")))
    };
    is_in(text) || is_in_json(text) || is_in_html() || is_in_url()
}

/// Returns whether a text ends with the beginning of a secret, possibly followed by an incomplete escape sequence.
fn ends_within(text: &str, secret: &str) -> bool {
    let escape = text.rfind(['&', '\\', '%']).filter(|escape| text.len() - escape < MAX_ESCAPE_LEN);
    let before_escape = escape.and_then(|escape| text.get(..escape)).unwrap_or_default();
    let mut prefixes = secret.char_indices().skip(1).filter_map(|(end, _)| secret.get(..end));
    prefixes.any(|prefix| text.ends_with(prefix) || before_escape.ends_with(prefix))
}

/// Minimum length of a cookie value that counts as a secret, in bytes. Shorter values occur in many texts by chance.
const MIN_COOKIE_LEN: usize = 8;

/// Returns the secrets in a header: its value, the credentials after `Basic` or `Bearer`, and the value of each cookie.
pub(crate) fn secrets_in(header: &HeaderValue) -> impl Iterator<Item = &str> + Clone {
    let value = str::from_utf8(header.as_bytes()).ok();
    let credentials = value.and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        let is_known = scheme.eq_ignore_ascii_case("basic") || scheme.eq_ignore_ascii_case("bearer");
        is_known.then(|| credentials.trim_start())
    });
    let cookies = value.into_iter().flat_map(|value| value.split(';')).filter_map(|cookie| {
        let (_, value) = cookie.split_once('=')?;
        Some(value.trim()).filter(|value| value.len() >= MIN_COOKIE_LEN)
    });
    value.into_iter().chain(credentials).chain(cookies)
}

/// Replaces the character references of HTML and XML by their characters.
pub(super) fn unescape_html(text: &str) -> String {
    unescape(text, '&', character_reference)
}

/// Replaces each percent-encoded byte. Bytes that are not UTF-8 become replacement characters.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| !digits.starts_with('+'));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Replaces each escape sequence by its character. A sequence starts with `start`, and `read` reads the rest of it.
fn unescape(text: &str, start: char, read: fn(&str) -> Option<(char, &str)>) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(start) {
        unescaped.push_str(before);
        let (character, after) = read(after).unwrap_or((start, after));
        unescaped.push(character);
        rest = after;
    }
    unescaped.push_str(rest);
    unescaped
}

/// Reads a JSON escape sequence after its backslash. Returns its character and the text that follows.
fn json_escape(text: &str) -> Option<(char, &str)> {
    let mut rest = text.chars();
    let character = match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return utf16(rest.as_str()),
        same @ ('"' | '\\' | '/') => same,
        _ => return None,
    };
    Some((character, rest.as_str()))
}

/// Reads one UTF-16 code unit, or two with `\u` in between. Returns their character and the text that follows.
fn utf16(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let (first, rest) = (unit(text)?, text.get(4..)?);
    let second = rest.strip_prefix("\\u").and_then(unit);
    let mut characters = char::decode_utf16([Some(first), second].into_iter().flatten());
    let character = characters.next()?.ok()?;
    let after = if character > '\u{ffff}' { rest.get(6..)? } else { rest };
    Some((character, after))
}

/// Reads an HTML character reference after its ampersand. Returns its character and the text that follows.
fn character_reference(text: &str) -> Option<(char, &str)> {
    let end = text.bytes().take(MAX_ESCAPE_LEN).position(|byte| byte == b';')?;
    let (name, rest) = (text.get(..end)?, text.get(end + 1..)?);
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "amp" => '&',
        other => {
            let number = other.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    Some((character, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_verbatim_and_as_json() {
        for (text, found) in [
            ("the password is pw", false),
            (r#"the password is p"w\"#, true),
            (r#"{"password": "p\"w\\"}"#, true),
            ("", false),
        ] {
            assert_eq!(contains_secret(text, false, ["other", r#"p"w\"#]), found, "{text}");
        }
        assert!(!contains_secret("anything", true, [""]));
    }

    #[test]
    fn a_secret_is_found_in_all_encodings_of_a_url() {
        for text in ["p=s%20p%2f%c3%a9%2b", "p=s+p/%C3%A9%2B", "%73%20%70%2F%c3%A9+", "?p=s%20p/é+&%ff%"] {
            assert!(contains_secret(text, false, ["s p/é+"]), "{text}");
        }
        for text in ["s%2", "%", "%+9", "%zz", "%é"] {
            assert!(!contains_secret(text, false, ["s p/é+", "\t"]), "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_in_all_escapes_of_json() {
        for (secret, text) in [
            ("pässwörd", r#"{"p": "p\u00e4ssw\u00F6rd"}"#),
            ("a<b&c", r#"{"p": "a\u003cb\u0026c"}"#),
            ("a/b\tc", r#"{"p": "a\/b\tc"}"#),
            ("a\u{1f511}b", r#"{"p": "a\ud83d\udd11b"}"#),
            (r#"a"b\c"#, r#"{"error_message": "{\"p\": \"a\\\"b\\\\c\"}"}"#),
        ] {
            assert!(contains_secret(text, false, [secret]), "{text}");
        }
        for text in [r"a\ud83d", r"\ud83d\u0041", r"\u12", r"\x", "\\"] {
            assert!(!contains_secret(text, false, ["secret"]), "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_in_character_references() {
        for (secret, text) in [
            ("gAAAA/B==", "<p>gAAAA&#x2F;B&#x3D;&#61;</p>"),
            ("pässword", "<p>p&#228;ssword</p>"),
            ("it's", "<p>it&#X27;s</p>"),
            ("it's", "<p>it&#0039;s</p>"),
        ] {
            assert!(contains_secret(text, false, [secret]), "{text}");
        }
        for text in ["&#xd800;", "&#99999999;", "&#;", "&;", "&", "&#x110000000000;"] {
            assert!(!contains_secret(text, false, ["secret"]), "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_in_html() {
        for text in [
            r#"<p>&<1>'"&lt;</p>"#,
            "<p>&amp;&lt;1&gt;&#x27;&quot;&amp;lt;</p>",
            "<p>&amp;&lt;1&gt;&#39;&#34;&amp;lt;</p>",
            "<p>&amp;&lt;1>'\"&amp;lt;</p>",
            r"<p>{&quot;password&quot;: &quot;&amp;&lt;1&gt;&#039;\&quot;&amp;lt;&quot;}</p>",
        ] {
            assert!(contains_secret(text, false, [r#"&<1>'"&lt;"#]), "{text}");
        }
        assert!(!contains_secret("&amp;lt;", false, ["<"]));
    }

    #[test]
    fn a_truncated_text_may_end_within_a_secret() {
        for (text, found) in [
            ("the password is p", true),
            ("the password is pä\"<wor", true),
            (r#"{"password": "pä\"#, true),
            (r#"{"password": "pä\"<w"#, true),
            ("the password is pä&quo", true),
            ("the password is pä&quot;&lt;w", true),
            ("the password", false),
            ("p&quot; is not the password", false),
            ("", false),
        ] {
            assert_eq!(contains_secret(text, true, ["", "other", "pä\"<word"]), found, "{text}");
            assert!(!contains_secret(text, false, ["", "other", "pä\"<word"]), "{text}");
        }
    }
}
