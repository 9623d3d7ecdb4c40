//! Parts of messages.

use std::time::SystemTime;

use http::{Uri, uri::Authority};
use jiff::Timestamp;

use crate::version::Version;

/// How much of a text from outside is shown, in characters.
const SHOWN: usize = 256;

/// A text from outside as it is shown: truncated, and without control characters and quotes of its own.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// As much of a text from outside as is shown.
pub(crate) fn truncate(text: &str) -> &str {
    let end = text.char_indices().nth(SHOWN).map(|(end, _)| end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Scheme, host and port of a URL as far as it has them, without a user name that may be in it.
pub(crate) fn origin(uri: &Uri) -> Box<str> {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", Authority::as_str);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{}", escaped(host)).into()
}

/// The same with its path, and without a query.
pub(crate) fn url(uri: &Uri) -> String {
    format!("{}{}", origin(uri), escaped(uri.path()))
}

pub(super) fn at(offset: Option<usize>) -> String {
    offset.map(|offset| format!(", at offset {offset}")).unwrap_or_default()
}

pub(super) fn to(location: Option<&str>) -> String {
    location.map(|location| format!(", to {location}")).unwrap_or_default()
}

pub(super) fn microversions(offered: Option<(Version, Version)>) -> String {
    match offered {
        None => "no microversions that its version document tells".to_owned(),
        Some((oldest, newest)) => format!("microversions {oldest} to {newest}"),
    }
}

pub(super) fn methods(methods: &[String]) -> String {
    escaped(&methods.join(" and "))
}

pub(super) fn sets_of_methods(sets: &[Vec<String>]) -> String {
    escaped(&sets.iter().map(|set| set.join(" and ")).collect::<Vec<_>>().join(", or "))
}

/// To the second, by RFC 3339.
pub(super) fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match i64::try_from(since.as_secs()).map(Timestamp::from_second) {
        Ok(Ok(time)) => time.to_string(),
        _ => format!("{} s after 1970", since.as_secs()),
    }
}
