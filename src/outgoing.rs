//! One request on its way out: where it goes and whose token it carries.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::HOST,
    uri::{Authority, Scheme},
};

use crate::{
    Access, EndpointFilter, Error, IdentityPlugin,
    endpoint::{BaseUrl, Origin, WantsDiscovery},
    error_context::Destination,
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

/// A request extension: ask the service for this microversion of its API, such as `2.79` or `latest`.
///
/// It goes with the service of the request's [`EndpointFilter`], or else of the layer's, and replaces the microversion
/// that they ask for. keystoneauth's `microversion`.
///
/// ```
/// use tower_keystone::Microversion;
///
/// let servers = http::Request::get("/servers").extension(Microversion::new("2.79")).body(()).unwrap();
/// # let _ = servers;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Microversion {
    microversion: Box<str>,
    service_type: Option<Box<str>>,
}

impl Microversion {
    /// Asks for a microversion. See [`EndpointFilter::microversion`] for the headers and the errors.
    pub fn new(microversion: impl Into<Box<str>>) -> Self {
        Self { microversion: microversion.into(), service_type: None }
    }

    /// Names the service that the microversion is one of, where the filter does not: keystoneauth's
    /// `microversion_service_type`.
    #[must_use]
    pub fn service_type(mut self, service_type: impl Into<Box<str>>) -> Self {
        self.service_type = Some(service_type.into());
        self
    }

    fn ask_by(&self, filter: EndpointFilter) -> EndpointFilter {
        match &self.service_type {
            Some(service_type) => filter.microversion_for(service_type, &self.microversion),
            None => filter.microversion(&self.microversion),
        }
    }
}

/// The headers of the caller that matter here. A look at the few headers that a request has is less work
/// than to hash their names.
#[inline]
fn callers(headers: &HeaderMap) -> (bool, bool) {
    headers
        .keys()
        .fold((false, false), |(token, host), name| (token || name == X_AUTH_TOKEN, host || name == HOST))
}

/// What was decided of one request before an access is asked for.
pub(crate) struct Outgoing {
    filter: Option<EndpointFilter>,
    relative: bool,
    token: Token,
    /// Whether the caller has set a `Host`.
    has_host: bool,
    /// Whether an access waits for what this request brings.
    obtains: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Ours,
    Callers,
    None,
}

/// The token that a request carries, and where it goes.
pub(crate) struct Carried {
    pub(crate) access: Arc<Access>,
    pub(crate) https: bool,
    pub(crate) authority: Authority,
}

impl Outgoing {
    /// Reads the request, and takes out of its extensions what is meant for this layer.
    #[inline(always)]
    pub(crate) fn take<B>(request: &mut Request<B>, settings: &Settings) -> Self {
        let extensions = request.extensions_mut();
        // Most have none or one, and need not be asked for each.
        let mut filter = if extensions.is_empty() { None } else { extensions.remove::<EndpointFilter>() };
        filter = match filter {
            Some(filter) => Some(settings.fill_in(filter)),
            None => settings.endpoint.clone(),
        };
        let (mut obtains, mut unauthenticated) = (false, false);
        if !extensions.is_empty() {
            obtains = extensions.remove::<Obtains>().is_some();
            unauthenticated = extensions.remove::<Unauthenticated>().is_some();
            if let Some(microversion) = extensions.remove::<Microversion>() {
                filter = Some(microversion.ask_by(filter.unwrap_or_default()));
            }
        }
        let (has_token, has_host) = callers(request.headers());
        let token = if unauthenticated {
            Token::None
        } else if !settings.overwrite_token && has_token {
            Token::Callers
        } else {
            Token::Ours
        };
        Self { filter, relative: request.uri().scheme().is_none(), token, has_host, obtains }
    }

    /// Refuses a filter that no endpoint can satisfy, before an access is asked for.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.filter.as_ref().map_or(Ok(()), EndpointFilter::check)
    }

    /// Whether the request would wait for itself if it had to have an access.
    pub(crate) fn obtains_access(&self) -> bool {
        self.obtains
    }

    #[inline]
    fn carries_our_token(&self) -> bool {
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
        self.filter.as_ref().is_some_and(|filter| filter.wanted_microversion_range().is_some())
    }

    /// Whether the endpoint is not that of the catalog as it is, but the one of a version.
    #[inline]
    pub(crate) fn wants_discovery(&self, access: Option<&Access>) -> WantsDiscovery {
        let filter = self.filter.as_ref().filter(|_| self.relative || self.negotiates());
        let fixed = || access.is_some_and(|access| access.fixed_endpoint().is_some());
        filter.map_or(WantsDiscovery::No, |filter| filter.wants_discovery(fixed()))
    }

    /// What the endpoint of the request is to be; whatever the catalog has, if nothing was said.
    pub(crate) fn filter(&self) -> EndpointFilter {
        self.filter.clone().unwrap_or_default()
    }

    /// Gives the request its URI and its headers, and returns the token that it carries.
    #[inline(always)]
    pub(crate) fn prepare<B, P: IdentityPlugin>(
        &self,
        request: &mut Request<B>,
        found: Found,
        shared: &Shared<P>,
    ) -> Result<Option<Carried>, Error> {
        let Found { access, discovered } = found;
        if self.relative {
            if self.has_host {
                // The token would go to a virtual host of the caller's choice.
                request.headers_mut().remove(HOST);
            }
            match &discovered {
                Some(discovered) => discovered.base.join(request.uri_mut())?,
                None => self.join_endpoint(request.uri_mut(), access.as_deref(), &*shared.plugin)?,
            }
            if let Some(destination) = request.extensions().get::<Destination>() {
                destination.resolved(self.filter.as_ref(), request.uri());
            }
        }
        let negotiated = discovered.as_ref().and_then(|discovered| discovered.microversion.as_ref());
        let wanted = self.filter.as_ref().and_then(EndpointFilter::wanted_microversion);
        if let Some(microversion) = negotiated.or(wanted) {
            microversion.insert(request.headers_mut())?;
        }
        let Some(access) = access.filter(|_| self.carries_our_token()) else { return Ok(None) };
        if !self.relative && !self.is_known(request.uri(), &access, shared) {
            return Err(Error::origin_not_allowed(request.uri()));
        }
        if !self.relative && self.has_host {
            check_host(request)?;
        }
        let https = request.uri().scheme() == Some(&Scheme::HTTPS);
        if shared.settings.require_https && !https {
            return Err(Error::https_required(request.uri()));
        }
        // Each URI that was joined or is known has an authority.
        let Some(authority) = request.uri().authority().cloned() else { return Err(Error::NotAPath) };
        access.insert_headers(request.headers_mut());
        Ok(Some(Carried { access, https, authority }))
    }

    /// Joins a relative URI to its endpoint.
    #[inline(always)]
    fn join_endpoint<P: IdentityPlugin>(
        &self,
        uri: &mut Uri,
        access: Option<&Access>,
        plugin: &P,
    ) -> Result<(), Error> {
        let filter = self.filter.as_ref();
        if filter.is_some_and(EndpointFilter::is_auth) {
            let auth_url = plugin.auth_url().ok_or(Error::NoAuthUrl)?;
            return BaseUrl::new(auth_url.clone())?.join(uri);
        }
        if let Some(url) = filter.and_then(EndpointFilter::wanted_override) {
            return url.resolve(access)?.join(uri);
        }
        let Some(access) = access else { return Err(Error::NoEndpointFilter) };
        access.base_url_for(filter)?.join(uri)
    }

    /// Whether somebody trustworthy has named the origin of an absolute URI: the token goes nowhere else.
    fn is_known<P: IdentityPlugin>(&self, uri: &Uri, access: &Access, shared: &Shared<P>) -> bool {
        let Some(origin) = Origin::of(uri) else { return false };
        access.has_origin(&origin)
            || shared.plugin.auth_url().and_then(Origin::of).as_ref() == Some(&origin)
            || self.override_origin(access).as_ref() == Some(&origin)
            || shared.settings.allowed_origins.contains(&origin)
    }

    fn override_origin(&self, access: &Access) -> Option<Origin> {
        let url = self.filter.as_ref()?.wanted_override()?.resolve(Some(access)).ok()?;
        Origin::of(url.url())
    }
}

/// Refuses a `Host` of the caller's that is not the host of the URI (RFC 9110, section 7.2).
fn check_host<B>(request: &Request<B>) -> Result<(), Error> {
    let uri = request.uri();
    let https = uri.scheme() == Some(&Scheme::HTTPS);
    let origin = Origin::of(uri);
    let is_same = |host: &HeaderValue| {
        let authority = Authority::try_from(host.as_bytes()).ok();
        authority.is_some_and(|authority| Origin::at(https, &authority) == origin)
    };
    match request.headers().get_all(HOST).iter().all(is_same) {
        true => Ok(()),
        false => Err(Error::host_not_allowed(uri)),
    }
}
