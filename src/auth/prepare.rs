//! Sets the URI and the headers of a request.

use std::sync::Arc;

use http::{HeaderMap, Request, header::HOST};

use super::{
    origin_guard::allowed_origin,
    request::{EffectiveFilter, RequestInfo},
    request_access::RequestAccess,
    request_url::{CowBaseUrl, base_url},
    resolve::Resolved,
    settings::Shared,
    source::Source,
};
use crate::{
    EndpointFilter, Error, discovery::DiscoveredEndpoint, endpoint::Origin, error_context::Destination,
};

/// The access whose token a request carries, and the origin that the request goes to.
pub(super) struct SentToken<A> {
    pub(super) access: A,
    pub(super) origin: Arc<Origin>,
}

/// Sets the URI and the headers of the request. Returns the token that it carries, if any.
#[inline(always)]
pub(super) fn prepare<B, Src: Source>(
    info: &RequestInfo,
    request: &mut Request<B>,
    resolved: Resolved<Src::Access>,
    filter: EffectiveFilter<'_>,
    shared: &Shared<Src>,
) -> Result<Option<SentToken<Src::Access>>, Error> {
    let Resolved { access, discovered } = resolved;
    let current_access = access.as_ref().map(|access| &**access.access());
    let joined = if info.is_relative {
        if info.has_host {
            // With it, the token would go to a virtual host that the caller chose.
            request.headers_mut().remove(HOST);
        }
        let base = match &discovered {
            Some(discovered) => CowBaseUrl::Borrowed(&discovered.base),
            None => base_url(filter, current_access, shared)?,
        };
        base.join(request.uri_mut())?;
        if let Some(destination) = request.extensions().get::<Destination>() {
            destination.set_resolved(filter.filter, request.uri());
        }
        Some(Arc::clone(base.origin()))
    } else {
        None
    };
    if let Some(filter) = filter.extended {
        insert_microversion(request.headers_mut(), filter, discovered.as_deref())?;
    }
    let (true, Some(access)) = (info.needs_token, access) else { return Ok(None) };
    let origin = match joined {
        Some(origin) => origin,
        None => allowed_origin(request, info.has_host, filter.extended, access.access(), shared)?,
    };
    if shared.settings.require_https && !origin.is_https() {
        return Err(Error::https_required(request.uri()));
    }
    access.access().insert_headers(request.headers_mut());
    if let Some(service_access) = access.service_access() {
        service_access.insert_service_token(access.access(), request.headers_mut());
    }
    Ok(Some(SentToken { access, origin }))
}

/// Inserts the headers of the negotiated microversion, or of the one that the filter asks for.
#[inline(never)]
fn insert_microversion(
    headers: &mut HeaderMap,
    filter: &EndpointFilter,
    discovered: Option<&DiscoveredEndpoint>,
) -> Result<(), Error> {
    let negotiated = discovered.and_then(|discovered| discovered.microversion.as_ref());
    match negotiated.or(filter.wanted_microversion()) {
        Some(microversion) => microversion.insert(headers),
        None => Ok(()),
    }
}
