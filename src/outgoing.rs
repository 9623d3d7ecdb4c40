//! One request on its way out: where it goes and whose token it carries.

use std::{borrow::Cow, ops::Deref, sync::Arc};

use http::{HeaderMap, Request, header::HOST, uri::Authority};

use crate::{
    Access, EndpointFilter, Error, IdentityPlugin,
    discovery::Discovered,
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

    #[inline(never)]
    fn ask_by(&self, filter: Option<EndpointFilter>, settings: &Settings) -> EndpointFilter {
        let filter = filter.or_else(|| settings.endpoint.clone()).unwrap_or_default();
        match &self.service_type {
            Some(service_type) => filter.microversion_for(service_type, &self.microversion),
            None => filter.microversion(&self.microversion),
        }
    }
}

/// Whether the caller has set an `X-Auth-Token`, and whether a `Host`. A look at the few headers that a request has
/// is less work than to hash the names.
#[inline(always)]
fn has_token_and_host(headers: &HeaderMap) -> (bool, bool) {
    let (mut token, mut host) = (false, false);
    for name in headers.keys() {
        token |= *name == X_AUTH_TOKEN;
        host |= *name == HOST;
    }
    (token, host)
}

/// What was decided of one request before an access is asked for.
pub(crate) struct Outgoing {
    /// What the request asks for; without it, what the layer does.
    own_filter: Option<EndpointFilter>,
    relative: bool,
    carries_our_token: bool,
    /// Whether the caller has set a `Host`.
    has_host: bool,
    /// Whether an access waits for what this request brings.
    obtains: bool,
}

/// The endpoint that a request is for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) filter: Option<&'a EndpointFilter>,
    /// The same filter, if it asks for more than an endpoint of the catalog.
    pub(crate) special: Option<&'a EndpointFilter>,
}

/// The token that a request carries, and where it goes.
pub(crate) struct Carried {
    pub(crate) access: Arc<Access>,
    pub(crate) origin: Arc<Origin>,
}

impl Outgoing {
    /// Reads the request, and takes out of its extensions what is meant for this layer.
    #[inline(always)]
    pub(crate) fn take<B>(request: &mut Request<B>, settings: &Settings) -> Self {
        let extensions = request.extensions_mut();
        // Most have none or one, and need not be asked for each.
        let mut own_filter = if extensions.is_empty() { None } else { extensions.remove::<EndpointFilter>() };
        if let Some(filter) = own_filter {
            own_filter = Some(settings.fill_in(filter));
        }
        let (mut obtains, mut unauthenticated) = (false, false);
        if !extensions.is_empty() {
            obtains = extensions.remove::<Obtains>().is_some();
            unauthenticated = extensions.remove::<Unauthenticated>().is_some();
            if let Some(microversion) = extensions.remove::<Microversion>() {
                own_filter = Some(microversion.ask_by(own_filter, settings));
            }
        }
        let (has_token, has_host) = has_token_and_host(request.headers());
        let carries_our_token = !unauthenticated && (!has_token || settings.overwrite_token);
        Self { own_filter, relative: request.uri().scheme().is_none(), carries_our_token, has_host, obtains }
    }

    /// Whether the request would wait for itself if it had to have an access.
    pub(crate) fn obtains_access(&self) -> bool {
        self.obtains
    }

    /// Whether the request cannot be sent without an access: for the token, for the catalog, or for
    /// the ids in an endpoint override.
    #[inline]
    pub(crate) fn needs_access(&self, asked: Asked<'_>) -> bool {
        let by_endpoint = |filter: &EndpointFilter| {
            (self.relative || filter.wanted_microversion_range().is_some())
                && !filter.is_auth()
                && filter.wanted_override().is_none_or(|url| url.needs_access())
        };
        self.carries_our_token || asked.special.map_or(self.relative, by_endpoint)
    }

    /// Whether the endpoint is not that of the catalog as it is, but the one of a version.
    pub(crate) fn wants_discovery(&self, filter: &EndpointFilter, access: Option<&Access>) -> WantsDiscovery {
        let is_fixed = access.is_some_and(|access| access.fixed_endpoint().is_some());
        match self.relative || filter.wanted_microversion_range().is_some() {
            true => filter.wants_discovery(is_fixed),
            false => WantsDiscovery::No,
        }
    }

    /// The endpoint that is asked for: by the request, or else by the layer.
    #[inline(always)]
    pub(crate) fn asked<'a>(&'a self, settings: &'a Settings) -> Asked<'a> {
        let filter = self.own_filter.as_ref().or(settings.endpoint.as_ref());
        Asked { filter, special: filter.filter(|filter| !filter.is_simple()) }
    }

    /// Gives the request its URI and its headers, and returns the token that it carries.
    #[inline(always)]
    pub(crate) fn prepare<B, P: IdentityPlugin>(
        &self,
        request: &mut Request<B>,
        found: Found,
        asked: Asked<'_>,
        shared: &Shared<P>,
    ) -> Result<Option<Carried>, Error> {
        let Found { access, discovered } = found;
        let joined = if self.relative {
            if self.has_host {
                // The token would go to a virtual host of the caller's choice.
                request.headers_mut().remove(HOST);
            }
            let base = match &discovered {
                Some(discovered) => Base::Known(&discovered.base),
                None => base_url(asked, access.as_deref(), shared)?,
            };
            base.join(request.uri_mut())?;
            if let Some(destination) = request.extensions().get::<Destination>() {
                destination.resolved(asked.filter, request.uri());
            }
            Some(Arc::clone(base.origin()))
        } else {
            None
        };
        if let Some(filter) = asked.special {
            insert_microversion(request.headers_mut(), filter, discovered.as_deref())?;
        }
        let (true, Some(access)) = (self.carries_our_token, access) else { return Ok(None) };
        let origin = match joined {
            Some(origin) => origin,
            None => self.known_origin(request, asked.special, &access, shared)?,
        };
        if shared.settings.require_https && !origin.is_https() {
            return Err(Error::https_required(request.uri()));
        }
        access.insert_headers(request.headers_mut());
        Ok(Some(Carried { access, origin }))
    }

    /// Returns the origin of an absolute URI, if somebody trustworthy has named it: the token goes nowhere else.
    #[inline(never)]
    fn known_origin<B, P: IdentityPlugin>(
        &self,
        request: &Request<B>,
        filter: Option<&EndpointFilter>,
        access: &Access,
        shared: &Shared<P>,
    ) -> Result<Arc<Origin>, Error> {
        let uri = request.uri();
        let origin = Origin::of(uri).and_then(|origin| known(&origin, filter, access, shared));
        let origin = origin.ok_or_else(|| Error::origin_not_allowed(uri))?;
        if self.has_host && !is_host_of(request.headers(), &origin) {
            return Err(Error::host_not_allowed(uri));
        }
        Ok(origin)
    }
}

/// Asks for the microversion that was found, or for the one that the filter says.
#[inline(never)]
fn insert_microversion(
    headers: &mut HeaderMap,
    filter: &EndpointFilter,
    discovered: Option<&Discovered>,
) -> Result<(), Error> {
    let negotiated = discovered.and_then(|discovered| discovered.microversion.as_ref());
    match negotiated.or(filter.wanted_microversion()) {
        Some(microversion) => microversion.insert(headers),
        None => Ok(()),
    }
}

/// Returns the origin if somebody trustworthy has named it: the token goes nowhere else.
fn known<P: IdentityPlugin>(
    origin: &Origin,
    filter: Option<&EndpointFilter>,
    access: &Access,
    shared: &Shared<P>,
) -> Option<Arc<Origin>> {
    if let Some(known) = access.known_origin(origin) {
        return Some(Arc::clone(known));
    }
    let by_override = filter.and_then(EndpointFilter::wanted_override);
    let is_known = shared.plugin.auth_url().and_then(Origin::of).as_ref() == Some(origin)
        || by_override
            .is_some_and(|url| url.resolve(Some(access)).is_ok_and(|url| **url.origin() == *origin))
        || shared.settings.allowed_origins.contains(origin);
    is_known.then(|| Arc::new(origin.clone()))
}

/// The URL that a relative URI is joined to. Boxed if it is made for the request, so that it is small to hand on.
enum Base<'a> {
    Known(&'a BaseUrl),
    Made(Box<BaseUrl>),
}

impl<'a> From<Cow<'a, BaseUrl>> for Base<'a> {
    fn from(url: Cow<'a, BaseUrl>) -> Self {
        match url {
            Cow::Borrowed(url) => Self::Known(url),
            Cow::Owned(url) => Self::Made(url.into()),
        }
    }
}

impl Deref for Base<'_> {
    type Target = BaseUrl;

    #[inline(always)]
    fn deref(&self) -> &BaseUrl {
        match self {
            Self::Known(url) => url,
            Self::Made(url) => url,
        }
    }
}

/// Returns the URL that a relative URI is joined to.
#[inline(always)]
fn base_url<'a, P: IdentityPlugin>(
    asked: Asked<'a>,
    access: Option<&'a Access>,
    shared: &'a Shared<P>,
) -> Result<Base<'a>, Error> {
    match (asked.special, access) {
        (Some(filter), access) => base_url_of(filter, access, shared),
        (None, Some(access)) => access.base_url_for(asked.filter).map(Base::Known),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}

/// The same for a filter that need not mean the catalog.
#[inline(never)]
fn base_url_of<'a, P: IdentityPlugin>(
    filter: &'a EndpointFilter,
    access: Option<&'a Access>,
    shared: &'a Shared<P>,
) -> Result<Base<'a>, Error> {
    if filter.is_auth() {
        let auth_url = shared.plugin.auth_url().ok_or(Error::NoAuthUrl)?;
        return Ok(match shared.settings.auth_base.get().filter(|known| known.url() == auth_url) {
            Some(known) => Base::Known(known),
            None => {
                let url = BaseUrl::new(auth_url.clone())?;
                // The first one is kept; as a rule, it is the only one that the plugin has.
                let _ = shared.settings.auth_base.set(url.clone());
                Base::Made(url.into())
            }
        });
    }
    match (filter.wanted_override(), access) {
        (Some(url), access) => url.resolve(access).map(Base::from),
        (None, Some(access)) => access.base_url_for(Some(filter)).map(Base::Known),
        (None, None) => Err(Error::NoEndpointFilter),
    }
}

/// Whether each `Host` of the caller is that of the URI (RFC 9110, section 7.2).
fn is_host_of(headers: &HeaderMap, origin: &Origin) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let authority = Authority::try_from(host.as_bytes()).ok();
        authority.and_then(|authority| Origin::at(origin.is_https(), &authority)).as_ref() == Some(origin)
    })
}
