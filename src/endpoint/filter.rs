use std::{fmt, sync::Arc};

use http::Uri;

use super::{Interface, base_url};
use crate::{Access, Error, service_types};

/// Which endpoint a request is for: keystoneauth's `endpoint_filter`.
///
/// What is not said does not restrict, but for the interface, whose default is
/// [`Interface::Public`]. An empty text says nothing. Clones share their parts.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EndpointFilter(Arc<Parts>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    service_type: Option<Box<str>>,
    official_type: Option<&'static str>,
    service_name: Option<Box<str>>,
    service_id: Option<Box<str>>,
    interface: Wanted,
    region_name: Option<Box<str>>,
    endpoint_id: Option<Box<str>>,
    endpoint_override: Option<Override>,
}

/// The interfaces that will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    Default,
    Any,
    /// In order of preference, at least one.
    Preferred(Vec<Interface>),
}

impl EndpointFilter {
    /// The endpoint of the service of this type, by its official name or an alias:
    /// `compute`, `block-storage`, `volumev3`.
    pub fn new(service_type: impl AsRef<str>) -> Self {
        Self::default().with(|parts| {
            parts.official_type = service_types::official(service_type.as_ref());
            parts.service_type = said(service_type);
        })
    }

    /// Only services of this name, as far as the catalog names its services (old ones do not).
    #[must_use]
    pub fn service_name(self, name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_name = said(name))
    }

    /// Only the service with this id, as far as the catalog has service ids (v2.0 has none).
    #[must_use]
    pub fn service_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_id = said(id))
    }

    /// Only this interface.
    #[must_use]
    pub fn interface(self, interface: impl Into<Interface>) -> Self {
        self.interfaces([interface])
    }

    /// These interfaces, the most wanted first: the first one that any matching endpoint has is
    /// taken. An empty list is [`any_interface`](Self::any_interface).
    #[must_use]
    pub fn interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Interface>,
    {
        let preferred: Vec<_> = interfaces.into_iter().map(Into::into).collect();
        self.with(|parts| {
            parts.interface = if preferred.is_empty() { Wanted::Any } else { Wanted::Preferred(preferred) };
        })
    }

    /// Any interface, whichever comes first in the catalog.
    #[must_use]
    pub fn any_interface(self) -> Self {
        self.with(|parts| parts.interface = Wanted::Any)
    }

    /// Only endpoints in this region.
    #[must_use]
    pub fn region(self, region_name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.region_name = said(region_name))
    }

    /// Only the endpoint with this id.
    #[must_use]
    pub fn endpoint_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_id = said(id))
    }

    /// This URL in place of any endpoint of the catalog, which is not asked.
    ///
    /// `%(project_id)s` and `%(user_id)s` stand for the ids of the access in use. A URL that cannot
    /// be used is reported when a request needs it ([`Error::InvalidEndpoint`]), and so is an id
    /// that the access does not have ([`Error::MissingOverrideValue`]). The URL's origin gets the token.
    #[must_use]
    pub fn endpoint_override(self, url: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_override = said(url).map(Override::new))
    }

    pub(crate) fn service_type(&self) -> Option<&str> {
        self.0.service_type.as_deref()
    }

    /// The official name of the service type asked for, if it is known.
    pub(crate) fn official_type(&self) -> Option<&'static str> {
        self.0.official_type
    }

    pub(crate) fn wanted_service_name(&self) -> Option<&str> {
        self.0.service_name.as_deref()
    }

    pub(crate) fn wanted_service_id(&self) -> Option<&str> {
        self.0.service_id.as_deref()
    }

    pub(crate) fn wanted_region(&self) -> Option<&str> {
        self.0.region_name.as_deref()
    }

    pub(crate) fn wanted_endpoint_id(&self) -> Option<&str> {
        self.0.endpoint_id.as_deref()
    }

    pub(crate) fn wanted_interfaces(&self) -> &Wanted {
        &self.0.interface
    }

    pub(crate) fn wanted_override(&self) -> Option<&Override> {
        self.0.endpoint_override.as_ref()
    }

    /// Whether Keystone at the `auth_url` is meant.
    pub(crate) fn is_auth(&self) -> bool {
        matches!(&self.0.interface, Wanted::Preferred(wanted) if wanted.first() == Some(&Interface::Auth))
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

fn said(text: impl AsRef<str>) -> Option<Box<str>> {
    Some(text.as_ref()).filter(|text| !text.is_empty()).map(Into::into)
}

/// As a sentence part: `service type compute, interface public, region RegionOne`.
impl fmt::Display for EndpointFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        match &parts.service_type {
            Some(service_type) => write!(f, "service type {service_type}")?,
            None => f.write_str("any service type")?,
        }
        match &parts.interface {
            Wanted::Default => f.write_str(", interface public")?,
            Wanted::Any => f.write_str(", any interface")?,
            Wanted::Preferred(preferred) => {
                for (index, interface) in preferred.iter().enumerate() {
                    write!(f, "{}{interface}", if index == 0 { ", interface " } else { " or " })?;
                }
            }
        }
        let named = [
            ("region", &parts.region_name),
            ("service name", &parts.service_name),
            ("service id", &parts.service_id),
            ("endpoint id", &parts.endpoint_id),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                write!(f, ", {name} {value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointFilter({self}")?;
        if self.0.endpoint_override.is_some() {
            f.write_str(", endpoint override")?;
        }
        f.write_str(")")
    }
}

/// A URL that stands in for the catalog's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Override {
    Fixed(Uri),
    /// With ids of the access still to be filled in.
    Template(Box<str>),
    /// Not usable, and why.
    Invalid(&'static str),
}

impl Override {
    fn new(url: Box<str>) -> Self {
        if url.contains("%(") {
            return Self::Template(url);
        }
        base_url(&url).map_or_else(Self::Invalid, Self::Fixed)
    }

    /// Whether ids of an access have to be filled in.
    pub(crate) fn needs_access(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// The URL with the ids of this access in it.
    pub(crate) fn resolve(&self, access: Option<&Access>) -> Result<Uri, Error> {
        match self {
            Self::Fixed(url) => Ok(url.clone()),
            Self::Invalid(reason) => Err(Error::InvalidEndpoint { reason }),
            Self::Template(template) => {
                let url = fill_in(template, access)?;
                base_url(&url).map_err(|reason| Error::InvalidEndpoint { reason })
            }
        }
    }
}

fn fill_in(template: &str, access: Option<&Access>) -> Result<String, Error> {
    let missing = |name: &str| Error::MissingOverrideValue { name: name.into() };
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
        let value = value.ok_or_else(|| missing(name))?;
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
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
