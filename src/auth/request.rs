//! Reads from a request which endpoint and which token it needs.

use http::{Extensions, HeaderMap, Request, header::HOST};

use super::{
    extensions::{Microversion, Unauthenticated},
    settings::Settings,
};
use crate::{
    EndpointFilter, Error, ServiceAccess, endpoint::WantsDiscovery, plugin::X_AUTH_TOKEN,
    transport::ObtainsToken,
};

/// What the layer reads from a request.
pub(super) struct RequestInfo {
    /// The filter of the request, if it has one. Otherwise the filter of the layer applies.
    own_filter: Option<EndpointFilter>,
    /// True if the request URI is relative.
    pub(super) is_relative: bool,
    /// True if the layer inserts the token of the plugin.
    pub(super) needs_token: bool,
    /// True if the caller has set a `Host` header.
    pub(super) has_host: bool,
    /// The reason why the request must not be sent if it needs an access.
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy)]
enum Refusal {
    /// It is sent to obtain a token, so it must not wait for one.
    ObtainsToken,
    /// It has no identity, which the layer requires.
    NoIdentity,
}

/// Removes the filter of a request, and completes it from the filter of the layer.
///
/// Most requests have no extension or one. So this lookup comes first, and the others are skipped if none is left.
#[inline(always)]
pub(super) fn remove_filter(extensions: &mut Extensions, settings: &Settings) -> Option<EndpointFilter> {
    if extensions.is_empty() {
        return None;
    }
    let filter = extensions.remove::<EndpointFilter>()?;
    Some(settings.apply_defaults(filter))
}

/// The endpoint filter that applies to a request.
#[derive(Clone, Copy)]
pub(super) struct EffectiveFilter<'a> {
    pub(super) filter: Option<&'a EndpointFilter>,
    /// The same filter, if it needs more than a catalog lookup: it has a version, a microversion or an endpoint
    /// override, or its preferred interface is `Interface::Auth`.
    pub(super) extended: Option<&'a EndpointFilter>,
}

impl RequestInfo {
    /// Reads the request, whose filter and identity have been removed, and removes the other extensions that are meant
    /// for this layer.
    #[inline(always)]
    pub(super) fn extract<B>(
        request: &mut Request<B>,
        mut own_filter: Option<EndpointFilter>,
        has_identity: bool,
        settings: &Settings,
    ) -> Self {
        let extensions = request.extensions_mut();
        let (mut obtains_token, mut unauthenticated) = (false, false);
        if !extensions.is_empty() {
            obtains_token = extensions.remove::<ObtainsToken>().is_some();
            unauthenticated = extensions.remove::<Unauthenticated>().is_some();
            if let Some(microversion) = extensions.remove::<Microversion>() {
                own_filter = Some(microversion.apply_to(own_filter, settings));
            }
        }
        let (has_token, has_host) = has_token_and_host(request.headers());
        let needs_token = !unauthenticated && (!has_token || settings.overwrite_token);
        let refusal = if obtains_token {
            Some(Refusal::ObtainsToken)
        } else if settings.require_identity && needs_token && !has_identity {
            Some(Refusal::NoIdentity)
        } else {
            None
        };
        let is_relative = request.uri().scheme().is_none();
        Self { own_filter, is_relative, needs_token, has_host, refusal }
    }

    /// Checks that the request, which needs an access, may be sent.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.refusal {
            None => Ok(()),
            Some(Refusal::ObtainsToken) => Err(Error::Recursion),
            Some(Refusal::NoIdentity) => Err(Error::NoIdentity),
        }
    }

    /// Returns whether the request needs an access: for the token, for the catalog, or for the ids in an endpoint
    /// override such as `https://host/%(project_id)s`.
    #[inline]
    pub(super) fn needs_access(&self, filter: EffectiveFilter<'_>) -> bool {
        let endpoint_needs_access = |filter: &EndpointFilter| {
            (self.is_relative || filter.wanted_microversion_range().is_some())
                && !filter.uses_auth_url()
                && filter.wanted_override().is_none_or(|url| url.needs_access())
        };
        self.needs_token || filter.extended.map_or(self.is_relative, endpoint_needs_access)
    }

    /// Returns whether version discovery has to find the endpoint.
    pub(super) fn wants_discovery(
        &self,
        filter: &EndpointFilter,
        access: Option<&ServiceAccess>,
    ) -> WantsDiscovery {
        let is_fixed = access.is_some_and(ServiceAccess::has_fixed_endpoint);
        match self.is_relative || filter.wanted_microversion_range().is_some() {
            true => filter.wants_discovery(is_fixed),
            false => WantsDiscovery::No,
        }
    }

    /// Returns the filter of the request, or that of the layer if the request has none.
    #[inline(always)]
    pub(super) fn effective_filter<'a>(&'a self, settings: &'a Settings) -> EffectiveFilter<'a> {
        let filter = self.own_filter.as_ref().or(settings.endpoint.as_ref());
        EffectiveFilter { filter, extended: filter.filter(|filter| !filter.is_catalog_only()) }
    }
}

/// Returns whether the caller has set an `X-Auth-Token` header, and whether a `Host` header.
///
/// A request has few headers, so comparing all names is cheaper than two hash lookups.
#[inline(always)]
fn has_token_and_host(headers: &HeaderMap) -> (bool, bool) {
    let (mut has_token, mut has_host) = (false, false);
    for name in headers.keys() {
        has_token |= *name == X_AUTH_TOKEN;
        has_host |= *name == HOST;
    }
    (has_token, has_host)
}
