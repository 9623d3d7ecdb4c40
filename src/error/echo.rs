//! Servers that repeat what they were sent.

use http::HeaderValue;

/// What stands for a character in JSON.
const JSON: [(&str, &str); 2] = [("\\\"", "\""), ("\\\\", "\\")];

/// What stands for a character in HTML. The ampersand comes last: the others may stand in what it begins.
const HTML: [(&str, &str); 9] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#34;", "\""),
    ("&apos;", "'"),
    ("&#39;", "'"),
    ("&#039;", "'"),
    ("&#x27;", "'"),
    ("&amp;", "&"),
];

/// The length of the longest of these, in bytes.
const LONGEST_ESCAPE: usize = 6;

/// Whether a text repeats one of these secrets, as it is or as it stands in JSON or HTML. One that was cut
/// short may do so in part, at its end.
pub(crate) fn repeats<'a>(text: &str, is_cut: bool, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let html = unescaped(text, &HTML);
    let forms = [text, &unescaped(text, &JSON), &unescaped(&html, &JSON), &html];
    secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .any(|secret| forms.iter().any(|form| form.contains(secret) || is_cut && ends_within(form, secret)))
}

/// Whether a text ends with the beginning of a secret; the escape of its next character may have begun.
fn ends_within(text: &str, secret: &str) -> bool {
    let escape = text.rfind(['&', '\\']).filter(|escape| text.len() - escape < LONGEST_ESCAPE);
    let before_escape = escape.and_then(|escape| text.get(..escape)).unwrap_or_default();
    let mut beginnings = secret.char_indices().skip(1).filter_map(|(end, _)| secret.get(..end));
    beginnings.any(|beginning| text.ends_with(beginning) || before_escape.ends_with(beginning))
}

/// What must not be seen of a header: its value, and what is in it after the word `Basic` or `Bearer`.
pub(crate) fn secrets_in(header: &HeaderValue) -> impl Iterator<Item = &str> + Clone {
    let value = str::from_utf8(header.as_bytes()).ok();
    let credentials = value.and_then(|value| {
        let (word, credentials) = value.split_once(' ')?;
        let is_known = word.eq_ignore_ascii_case("basic") || word.eq_ignore_ascii_case("bearer");
        is_known.then(|| credentials.trim_start())
    });
    value.into_iter().chain(credentials)
}

fn unescaped(text: &str, escapes: &[(&str, &str)]) -> String {
    escapes.iter().fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_as_it_is_and_as_json() {
        for (text, found) in [
            ("the password is pw", false),
            (r#"the password is p"w\"#, true),
            (r#"{"password": "p\"w\\"}"#, true),
            ("", false),
        ] {
            assert_eq!(repeats(text, false, ["other", r#"p"w\"#]), found, "{text}");
        }
        assert!(!repeats("anything", true, [""]));
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
            assert!(repeats(text, false, [r#"&<1>'"&lt;"#]), "{text}");
        }
        assert!(!repeats("&amp;lt;", false, ["<"]));
    }

    #[test]
    fn a_text_that_was_cut_short_may_end_within_a_secret() {
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
            assert_eq!(repeats(text, true, ["", "other", "pä\"<word"]), found, "{text}");
            assert!(!repeats(text, false, ["", "other", "pä\"<word"]), "{text}");
        }
    }
}
