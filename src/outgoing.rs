//! One request on its way out: where it goes and whose token it carries.

use std::sync::Arc;

use http::{HeaderMap, Request, Uri};

use crate::{
    Access, EndpointFilter, Error, IdentityPlugin,
    discovery::{Discovered, DiscoveredFuture},
    endpoint::{Origin, WantsDiscovery, check_base, join},
    identity::Obtains,
    layer::{Settings, Shared},
    needs::Found,
    plugin::X_AUTH_TOKEN,
};

/// A request extension: send this request without a token.
///
/// Its endpoint is found as always, which may take an access for its catalog. The answer is never
/// read as a word about the token. An `X-Auth-Token` that the caller has put there is left alone.
/// keystoneauth's `authenticated=False`.
///
/// ```
/// use tower_keystone::Unauthenticated;
///
/// let versions = http::Request::get("/").extension(Unauthenticated).body(()).unwrap();
/// # let _ = versions;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unauthenticated;

/// An extension of a response that is an error: what its request was sent with, for
/// [`RaiseForStatus`](crate::RaiseForStatus) to know what must not be seen.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) Arc<Access>);

/// Whether the caller has put a token there. A look at the few headers that a request has is less work
/// than to hash the name.
#[inline]
fn has_token(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name == X_AUTH_TOKEN)
}

/// What was decided of one request before an access is asked for.
pub(crate) struct Outgoing {
    filter: Option<EndpointFilter>,
    relative: bool,
    token: Token,
    /// Whether an access waits for what this request brings.
    obtains: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Ours,
    Callers,
    None,
}

impl Outgoing {
    /// Reads the request, and takes out of its extensions what is meant for this layer.
    #[inline]
    pub(crate) fn take<B>(request: &mut Request<B>, settings: &Settings) -> Self {
        let extensions = request.extensions_mut();
        let obtains = extensions.remove::<Obtains>().is_some();
        let filter = extensions.remove().or_else(|| settings.endpoint.clone());
        let token = if extensions.remove::<Unauthenticated>().is_some() {
            Token::None
        } else if !settings.overwrite_token && has_token(request.headers()) {
            Token::Callers
        } else {
            Token::Ours
        };
        Self { filter, relative: request.uri().scheme().is_none(), token, obtains }
    }

    /// Whether the request would wait for itself if it had to have an access.
    pub(crate) fn obtains_access(&self) -> bool {
        self.obtains
    }

    #[inline]
    pub(crate) fn carries_our_token(&self) -> bool {
        self.token == Token::Ours
    }

    /// Whether the request cannot be sent without an access: for the token, for the catalog, or for
    /// the ids in an endpoint override.
    #[inline]
    pub(crate) fn needs_access(&self) -> bool {
        let for_endpoint = || {
            (self.relative || self.negotiates())
                && self.filter.as_ref().is_none_or(|filter| {
                    !filter.is_auth() && filter.wanted_override().is_none_or(|url| url.needs_access())
                })
        };
        self.carries_our_token() || for_endpoint()
    }

    /// Whether a microversion is to be found that the service has.
    #[inline]
    fn negotiates(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.wanted_microversions().is_some())
    }

    /// The endpoint of the version that the filter wants, if it wants one: there at once or in time.
    #[inline]
    pub(crate) fn discover<P: IdentityPlugin>(
        &self,
        access: Option<&Arc<Access>>,
        shared: &Shared<P>,
    ) -> Result<Option<Result<Arc<Discovered>, DiscoveredFuture>>, Error> {
        let Some(filter) = self.filter.as_ref().filter(|_| self.relative || self.negotiates()) else {
            return Ok(None);
        };
        let wants = filter.wants_discovery(access.is_some_and(|access| access.fixed_endpoint().is_some()));
        if wants == WantsDiscovery::No {
            return Ok(None);
        }
        let settings = &shared.settings;
        match &settings.discovery {
            Some(discovery) => {
                let may_send_token = !settings.require_https;
                discovery
                    .for_requests(filter, access, shared.plugin.auth_url(), |endpoint| {
                        may_send_token || endpoint.url().starts_with("https://")
                    })
                    .map(Some)
            }
            None if wants == WantsDiscovery::IfThereIs => Ok(None),
            None => Err(Error::NoDiscovery),
        }
    }

    /// Gives the request its URI and its token.
    #[inline]
    pub(crate) fn prepare<B, P: IdentityPlugin>(
        &self,
        request: &mut Request<B>,
        found: &Found,
        shared: &Shared<P>,
    ) -> Result<(), Error> {
        let access = found.access.as_deref();
        let auth_url = shared.plugin.auth_url();
        if self.relative {
            let uri = match &found.discovered {
                Some(discovered) => join(&discovered.base, request.uri())?,
                None => self.absolute(request.uri(), access, auth_url)?,
            };
            *request.uri_mut() = uri;
        }
        let negotiated = found.discovered.as_ref().and_then(|discovered| discovered.microversion.as_ref());
        let wanted = self.filter.as_ref().and_then(EndpointFilter::wanted_microversion);
        if let Some(microversion) = negotiated.or(wanted) {
            microversion.insert(request.headers_mut())?;
        }
        match access {
            Some(access) if self.carries_our_token() => {
                self.guard(request.uri(), access, auth_url, &shared.settings)?;
                access.insert_headers(request.headers_mut());
            }
            _ => {}
        }
        Ok(())
    }

    /// The relative URI joined to its endpoint.
    #[inline]
    fn absolute(
        &self,
        relative: &Uri,
        access: Option<&Access>,
        auth_url: Option<&Uri>,
    ) -> Result<Uri, Error> {
        let filter = self.filter.as_ref();
        if filter.is_some_and(EndpointFilter::is_auth) {
            let auth_url = auth_url.ok_or(Error::NoAuthUrl)?;
            check_base(auth_url).map_err(|reason| Error::InvalidEndpoint { reason })?;
            return join(auth_url, relative);
        }
        if let Some(url) = filter.and_then(EndpointFilter::wanted_override) {
            return join(&url.resolve(access)?, relative);
        }
        let Some(access) = access else { return Err(Error::NoEndpointFilter) };
        join(access.base_url_for(filter)?, relative)
    }

    /// Lets the token out only to an origin that somebody trustworthy has named.
    #[inline]
    fn guard(
        &self,
        uri: &Uri,
        access: &Access,
        auth_url: Option<&Uri>,
        settings: &Settings,
    ) -> Result<(), Error> {
        let known = |origin: &Origin| {
            access.has_origin(origin)
                || auth_url.and_then(Origin::of).as_ref() == Some(origin)
                || self.override_origin(access).as_ref() == Some(origin)
                || settings.allowed_origins.contains(origin)
        };
        if !self.relative && !Origin::of(uri).as_ref().is_some_and(known) {
            return Err(Error::origin_not_allowed(uri));
        }
        if settings.require_https && uri.scheme_str() != Some("https") {
            return Err(Error::https_required(uri));
        }
        Ok(())
    }

    fn override_origin(&self, access: &Access) -> Option<Origin> {
        let url = self.filter.as_ref()?.wanted_override()?.resolve(Some(access)).ok()?;
        Origin::of(&url)
    }
}
