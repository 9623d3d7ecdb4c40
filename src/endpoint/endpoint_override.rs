use std::{borrow::Cow, fmt};

use super::{BaseUrl, Unusable};
use crate::{Access, Error};

/// A URL that stands in for the catalog's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Override {
    Fixed(BaseUrl),
    /// With ids of the access still to be filled in.
    Template(Box<str>),
    Invalid(Unusable),
}

impl Override {
    pub(super) fn new(url: Box<str>) -> Self {
        if url.contains("%(") {
            return Self::Template(url);
        }
        BaseUrl::parse(&url).map_or_else(Self::Invalid, Self::Fixed)
    }

    /// Whether ids of an access have to be filled in.
    pub(crate) fn needs_access(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// The URL with the ids of this access in it.
    pub(crate) fn resolve(&self, access: Option<&Access>) -> Result<Cow<'_, BaseUrl>, Error> {
        match self {
            Self::Fixed(url) => Ok(Cow::Borrowed(url)),
            Self::Invalid(unusable) => Err((*unusable).into()),
            Self::Template(template) => Ok(Cow::Owned(BaseUrl::parse(&fill_in(template, access)?)?)),
        }
    }
}

fn fill_in(template: &str, access: Option<&Access>) -> Result<String, Error> {
    let mut url = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("%(") {
        let (name, after) = after
            .split_once(")s")
            .ok_or(Error::InvalidEndpoint { reason: "a `%(` in it is not closed by `)s`" })?;
        let value = match name {
            "project_id" => access.and_then(Access::project_id),
            "user_id" => access.and_then(Access::user_id),
            _ => None,
        };
        let value = value.ok_or_else(|| Error::MissingOverrideValue { name: name.into() })?;
        let climbs = matches!(value, "." | "..");
        if climbs || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            return Err(Error::InvalidEndpoint { reason: "an id put into it is not made for URLs" });
        }
        url.push_str(before);
        url.push_str(value);
        rest = after;
    }
    url.push_str(rest);
    Ok(url)
}

/// Hides the URL, which may have been given a password by mistake.
impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Override")
    }
}
