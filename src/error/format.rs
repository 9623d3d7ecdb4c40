//! Formatting helpers for error messages.

use std::{error::Error as StdError, fmt, time::SystemTime};

use http::{Uri, uri::Authority};
use jiff::Timestamp;

/// Maximum length of an untrusted text in a message, in characters.
const MAX_CHARS: usize = 256;

/// Appends the messages of the sources to the message of an error, if the format is `{:#}`.
pub(crate) fn sources(error: &dyn StdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut next = error.source().filter(|_| f.alternate());
    while let Some(source) = next {
        write!(f, ": {source}")?;
        next = source.source();
    }
    Ok(())
}

/// Returns an untrusted text, truncated and with control characters and quotes escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        escaped.push('…');
    }
    escaped
}

/// Returns an untrusted text, truncated and with control characters escaped. Quotes stay as they are, because the message
/// has none around it.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::new();
    for character in text.chars().take(MAX_CHARS) {
        match character {
            '"' | '\'' | '\\' => printable.push(character),
            character => printable.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(MAX_CHARS).is_some() {
        printable.push('…');
    }
    printable
}

/// Truncates an untrusted text to the part that [`escaped`] shows.
pub(crate) fn truncate(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_CHARS).map(|(end, _)| end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Returns the scheme, host and port of a URL, without its user name.
pub(crate) fn origin(uri: &Uri) -> Box<str> {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", Authority::as_str);
    let host = escaped(authority.rsplit('@').next().unwrap_or_default());
    if scheme.is_empty() { host.into() } else { format!("{scheme}://{host}").into() }
}

/// Returns a URL without its user name and query.
pub(crate) fn url(uri: &Uri) -> String {
    format!("{}{}", origin(uri), escaped(uri.path()))
}

/// Returns the position of a syntax error. Lines start at 1; line 0 means that there is no position.
pub(super) fn position(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(" (line {line}, column {column})") }
}

pub(super) fn at(offset: Option<usize>) -> String {
    offset.map(|offset| format!(", offset: {offset}")).unwrap_or_default()
}

pub(super) fn to(location: Option<&str>) -> String {
    location.map(|location| format!(", to {location}")).unwrap_or_default()
}

pub(super) fn methods(methods: &[String]) -> String {
    escaped(&methods.join(" and "))
}

pub(super) fn sets_of_methods(sets: &[Vec<String>]) -> String {
    escaped(&sets.iter().map(|set| set.join(" and ")).collect::<Vec<_>>().join(", or "))
}

/// Returns a time in RFC 3339 format, with a resolution of one second.
pub(super) fn time(time: SystemTime) -> String {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match i64::try_from(since_epoch.as_secs()).map(Timestamp::from_second) {
        Ok(Ok(time)) => time.to_string(),
        _ => format!("{} s after 1970", since_epoch.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped_only_within_quotes() {
        assert_eq!(escaped("a \"b\"\n"), "a \\\"b\\\"\\n");
        assert_eq!(printable("a \"b\"\n"), "a \"b\"\\n");
        assert_eq!(printable(&"x".repeat(1_000_000)), escaped(&"x".repeat(1_000_000)));
    }

    #[test]
    fn a_url_is_shown_without_secrets_and_without_a_scheme_that_it_does_not_have() {
        for (given, shown) in [
            ("https://alice:pw@h:5000/v3?secret", "https://h:5000/v3"),
            ("keystone", "keystone"),
            ("keystone:5000", "keystone:5000"),
            ("/v3", "/v3"),
        ] {
            assert_eq!(url(&given.parse().unwrap()), shown);
        }
    }
}
