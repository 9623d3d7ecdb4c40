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

/// Whether a text repeats one of these secrets, as it is or as it stands in JSON or HTML.
pub(crate) fn repeats<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> bool {
    let html = unescaped(text, &HTML);
    let forms = [text, &unescaped(text, &JSON), &unescaped(&html, &JSON), &html];
    secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .any(|secret| forms.iter().any(|form| form.contains(secret)))
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
            assert_eq!(repeats(text, ["other", r#"p"w\"#]), found, "{text}");
        }
        assert!(!repeats("anything", [""]));
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
            assert!(repeats(text, [r#"&<1>'"&lt;"#]), "{text}");
        }
        assert!(!repeats("&amp;lt;", ["<"]));
    }
}
