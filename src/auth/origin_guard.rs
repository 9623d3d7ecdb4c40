//! Decides whether the token may be sent to the origin of a request.

use std::sync::Arc;

use http::{HeaderMap, Request, header::HOST, uri::Authority};

use super::{settings::Shared, source::Source};
use crate::{EndpointFilter, Error, ServiceAccess, endpoint::Origin};

/// Returns the origin of an absolute request URI if the token may be sent there.
///
/// # Errors
///
/// Returns [`Error::OriginNotAllowed`] if the origin is not a known one, and [`Error::HostNotAllowed`] if the caller
/// has set a `Host` header (`has_host`) for another host.
#[inline(never)]
pub(super) fn allowed_origin<B, Src: Source>(
    request: &Request<B>,
    has_host: bool,
    filter: Option<&EndpointFilter>,
    access: &ServiceAccess,
    shared: &Shared<Src>,
) -> Result<Arc<Origin>, Error> {
    let uri = request.uri();
    let origin = Origin::from_uri(uri).ok_or_else(|| Error::origin_not_allowed(uri, true))?;
    let origin =
        allowed(&origin, filter, access, shared).ok_or_else(|| Error::origin_not_allowed(uri, false))?;
    if has_host && !matches_host(request.headers(), &origin) {
        return Err(Error::host_not_allowed(uri));
    }
    Ok(origin)
}

/// Returns the origin if it is that of an endpoint in the catalog, of the `auth_url` or of the endpoint override, or if
/// `AuthLayer::allow_origin` allows it.
fn allowed<Src: Source>(
    origin: &Origin,
    filter: Option<&EndpointFilter>,
    access: &ServiceAccess,
    shared: &Shared<Src>,
) -> Option<Arc<Origin>> {
    if let Some(known) = access.known_origin(origin) {
        return Some(Arc::clone(known));
    }
    let endpoint_override = filter.and_then(EndpointFilter::wanted_override);
    let is_allowed = shared.plugin.auth_url().and_then(Origin::from_uri).as_ref() == Some(origin)
        || endpoint_override
            .is_some_and(|url| url.resolve(|| access.ids()).is_ok_and(|url| **url.origin() == *origin))
        || shared.settings.allowed_origins.contains(origin);
    is_allowed.then(|| Arc::new(origin.clone()))
}

/// Returns whether every `Host` header names the host and port of this origin (RFC 9110, section 7.2).
fn matches_host(headers: &HeaderMap, origin: &Origin) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let authority = Authority::try_from(host.as_bytes()).ok();
        authority.and_then(|authority| Origin::from_authority(origin.is_https(), &authority)).as_ref()
            == Some(origin)
    })
}
