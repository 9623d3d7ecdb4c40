//! The URL that a relative request URI is joined to.

use std::{borrow::Cow, ops::Deref};

use super::{request::EffectiveFilter, settings::Shared, source::Source};
use crate::{EndpointFilter, Error, ServiceAccess, endpoint::BaseUrl};

/// A borrowed or owned [`BaseUrl`], like [`Cow`]. The owned one is boxed, so that the value stays small.
pub(super) enum CowBaseUrl<'a> {
    Borrowed(&'a BaseUrl),
    Owned(Box<BaseUrl>),
}

impl<'a> From<Cow<'a, BaseUrl>> for CowBaseUrl<'a> {
    fn from(url: Cow<'a, BaseUrl>) -> Self {
        match url {
            Cow::Borrowed(url) => Self::Borrowed(url),
            Cow::Owned(url) => Self::Owned(url.into()),
        }
    }
}

impl Deref for CowBaseUrl<'_> {
    type Target = BaseUrl;

    #[inline(always)]
    fn deref(&self) -> &BaseUrl {
        match self {
            Self::Borrowed(url) => url,
            Self::Owned(url) => url,
        }
    }
}

/// Returns the URL that a relative URI is joined to.
#[inline(always)]
pub(super) fn base_url<'a, Src: Source>(
    filter: EffectiveFilter<'a>,
    access: Option<&'a ServiceAccess>,
    shared: &'a Shared<Src>,
) -> Result<CowBaseUrl<'a>, Error> {
    match (filter.extended, access) {
        (Some(filter), access) => extended_base_url(filter, access, shared),
        (None, Some(access)) => access.base_url_for(filter.filter).map(CowBaseUrl::Borrowed),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}

/// Returns the URL for a filter that may select the `auth_url` (`Interface::Auth`) or have an endpoint override.
#[inline(never)]
fn extended_base_url<'a, Src: Source>(
    filter: &'a EndpointFilter,
    access: Option<&'a ServiceAccess>,
    shared: &'a Shared<Src>,
) -> Result<CowBaseUrl<'a>, Error> {
    if filter.uses_auth_url() {
        let auth_url = shared.plugin.auth_url().ok_or(Error::NoAuthUrl)?;
        return Ok(match shared.settings.auth_base_url.get().filter(|cached| cached.url() == auth_url) {
            Some(cached) => CowBaseUrl::Borrowed(cached),
            None => {
                let url = BaseUrl::new(auth_url.clone())?;
                // Only the first URL is cached: all plugins usually have the same one.
                let _ = shared.settings.auth_base_url.set(url.clone());
                CowBaseUrl::Owned(url.into())
            }
        });
    }
    match (filter.wanted_override(), access) {
        (Some(url), access) => {
            url.resolve(|| access.map(ServiceAccess::ids).unwrap_or_default()).map(CowBaseUrl::from)
        }
        (None, Some(access)) => access.base_url_for(Some(filter)).map(CowBaseUrl::Borrowed),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}
