//! The URL that a relative request URI is joined to.

use std::{borrow::Cow, ops::Deref};

use super::{request::EffectiveFilter, settings::Shared};
use crate::{EndpointFilter, Error, IdentityPlugin, ServiceAccess, endpoint::BaseUrl};

/// The URL that a relative URI is joined to. An owned URL is boxed, so that the value stays small.
pub(super) enum JoinBase<'a> {
    Borrowed(&'a BaseUrl),
    Owned(Box<BaseUrl>),
}

impl<'a> From<Cow<'a, BaseUrl>> for JoinBase<'a> {
    fn from(url: Cow<'a, BaseUrl>) -> Self {
        match url {
            Cow::Borrowed(url) => Self::Borrowed(url),
            Cow::Owned(url) => Self::Owned(url.into()),
        }
    }
}

impl Deref for JoinBase<'_> {
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
pub(super) fn base_url<'a, P: IdentityPlugin>(
    filter: EffectiveFilter<'a>,
    access: Option<&'a ServiceAccess>,
    shared: &'a Shared<P>,
) -> Result<JoinBase<'a>, Error> {
    match (filter.beyond_catalog, access) {
        (Some(filter), access) => beyond_catalog(filter, access, shared),
        (None, Some(access)) => access.base_url_for(filter.filter).map(JoinBase::Borrowed),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}

/// Returns the same for a filter that may name `auth_url` or an endpoint override.
#[inline(never)]
fn beyond_catalog<'a, P: IdentityPlugin>(
    filter: &'a EndpointFilter,
    access: Option<&'a ServiceAccess>,
    shared: &'a Shared<P>,
) -> Result<JoinBase<'a>, Error> {
    if filter.uses_auth_url() {
        let auth_url = shared.plugin.auth_url().ok_or(Error::NoAuthUrl)?;
        return Ok(match shared.settings.auth_base.get().filter(|known| known.url() == auth_url) {
            Some(known) => JoinBase::Borrowed(known),
            None => {
                let url = BaseUrl::new(auth_url.clone())?;
                // Only the first URL is kept: a plugin usually has one.
                let _ = shared.settings.auth_base.set(url.clone());
                JoinBase::Owned(url.into())
            }
        });
    }
    match (filter.wanted_override(), access) {
        (Some(url), access) => {
            url.resolve(access.map(ServiceAccess::ids).unwrap_or_default()).map(JoinBase::from)
        }
        (None, Some(access)) => access.base_url_for(Some(filter)).map(JoinBase::Borrowed),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}
