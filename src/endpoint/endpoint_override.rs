use std::{borrow::Cow, fmt};

use super::{BaseUrl, InvalidBaseUrl};
use crate::{Error, error::truncate};

/// A URL that replaces the one in the catalog.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum EndpointOverride {
    Fixed(BaseUrl),
    /// A URL that contains `%(...)s`, to be replaced by an id of the access.
    Template(Box<str>),
    Invalid(InvalidBaseUrl),
}

/// The ids of an access that can be filled into a template.
#[derive(Clone, Copy, Default)]
pub(crate) struct OverrideIds<'a> {
    pub(crate) project_id: Option<&'a str>,
    pub(crate) user_id: Option<&'a str>,
}

impl EndpointOverride {
    pub(super) fn new(url: Box<str>) -> Self {
        if url.contains("%(") {
            return Self::Template(url);
        }
        BaseUrl::parse(&url.replace("%%", "%")).map_or_else(Self::Invalid, Self::Fixed)
    }

    /// Returns the approximate length of the override, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Fixed(url) => url.url().path().len(),
            Self::Template(template) => template.len(),
            Self::Invalid(_) => 0,
        }
    }

    /// Returns whether an access is needed to fill in its ids.
    pub(crate) fn needs_access(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// Returns the URL. If it is a template, `ids` is called, and its ids are filled in.
    pub(crate) fn resolve<'a>(
        &self,
        ids: impl FnOnce() -> OverrideIds<'a>,
    ) -> Result<Cow<'_, BaseUrl>, Error> {
        match self {
            Self::Fixed(url) => Ok(Cow::Borrowed(url)),
            Self::Invalid(invalid) => Err((*invalid).into()),
            Self::Template(template) => Ok(Cow::Owned(BaseUrl::parse(&fill_in(template, ids())?)?)),
        }
    }
}

/// Replaces the placeholders of a template with ids, and `%%` with `%`, as Python's `%` operator does.
fn fill_in(template: &str, ids: OverrideIds<'_>) -> Result<String, Error> {
    let mut url = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        url.push_str(before);
        rest = match after.strip_prefix('(') {
            Some(after) => {
                let (name, after) = after.split_once(")s").ok_or(Error::InvalidEndpoint {
                    what: "the endpoint override",
                    reason: "a `%(` in it is not closed by `)s`",
                })?;
                url.push_str(id_for(name, ids)?);
                after
            }
            None => {
                url.push('%');
                after.strip_prefix('%').unwrap_or(after)
            }
        };
    }
    url.push_str(rest);
    Ok(url)
}

/// Returns the id for a placeholder, if the access has it and it needs no escaping in a URL.
fn id_for<'a>(name: &str, ids: OverrideIds<'a>) -> Result<&'a str, Error> {
    let value = match name {
        "project_id" => ids.project_id,
        "user_id" => ids.user_id,
        _ => None,
    };
    let value = value.ok_or_else(|| Error::MissingOverrideValue { name: truncate(name).into() })?;
    let is_dots = matches!(value, "." | "..");
    if is_dots || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return Err(Error::InvalidEndpoint {
            what: "the endpoint override",
            reason: "the id that replaces a placeholder is `.` or `..`, or has a character other than letters, digits \
                     and `-._~`; use a URL without placeholders",
        });
    }
    Ok(value)
}

/// Redacts the URL, because it may contain a password by mistake.
impl fmt::Debug for EndpointOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointOverride")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str) -> Result<String, Error> {
        let ids = OverrideIds { project_id: Some("p1"), user_id: Some("u1") };
        EndpointOverride::new(url.into()).resolve(|| ids).map(|base| base.url().to_string())
    }

    #[test]
    fn ids_are_filled_in_and_a_double_percent_sign_becomes_one() {
        for (template, expected) in [
            ("https://h/%(project_id)s/%(user_id)s", "https://h/p1/u1"),
            ("https://h/AUTH_%(project_id)s", "https://h/AUTH_p1"),
            ("https://h/a%%20b", "https://h/a%20b"),
            ("https://h/a%%20b/%(project_id)s", "https://h/a%20b/p1"),
            ("https://h/a%20b", "https://h/a%20b"),
            ("https://h/a%20b/%(project_id)s", "https://h/a%20b/p1"),
            ("https://h/%%%%2F", "https://h/%%2F"),
            (" https://h/%(project_id)s\n", "https://h/p1"),
            ("\thttps://h/v3 ", "https://h/v3"),
        ] {
            assert_eq!(resolved(template).unwrap(), expected, "{template}");
        }
        for template in ["https://h/%(project_id", "https://h/%%(project_id)s"] {
            assert!(matches!(resolved(template), Err(Error::InvalidEndpoint { .. })), "{template}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_truncated_and_escaped_in_the_error() {
        let Err(error) = resolved(&format!("https://h/%(\u{1b}[31m{})s", "x".repeat(10_000))) else {
            panic!()
        };
        let text = error.to_string();
        assert!(text.contains(r"%(\u{1b}[31mxxx") && text.len() < 600, "{text}");
    }
}
