use std::{fmt, sync::Arc};

use http::Uri;
use tower_layer::Layer;

use super::{
    Auth,
    settings::{Settings, Shared},
};
use crate::{EndpointFilter, Error, discovery::Discovery, endpoint::Origin};

/// Gives every request an endpoint and a token: the [`Layer`] of [`Auth`].
///
/// The service inside has to be `Clone`; put tower's `Buffer` around one that is not.
///
/// Clones, and the services made of them, share the plugin. See the [crate docs](crate) for an
/// example and for the order of layers.
pub struct AuthLayer<P> {
    shared: Shared<P>,
}

impl<P> AuthLayer<P> {
    /// A layer that authenticates requests by this plugin. Nothing is sent until a request comes.
    pub fn new(plugin: P) -> Self {
        Self { shared: Shared { plugin: Arc::new(plugin), settings: Arc::default() } }
    }

    /// Sets the endpoint of requests.
    ///
    /// A request can have an [`EndpointFilter`] in its extensions. What that leaves open is taken from this one: the
    /// region and the interfaces always, names, ids, versions, the microversion and the endpoint override only if it is
    /// for the same service. keystoneauth's `Adapter` does the same.
    #[must_use]
    pub fn endpoint(self, filter: EndpointFilter) -> Self {
        self.with(|settings| settings.set_endpoint(filter))
    }

    /// How services are asked for their versions, for filters that want one: a
    /// [`Transport`](crate::Transport), or a [`Discovery`] that others use too.
    ///
    /// Without it, such a request is [`Error::NoDiscovery`]. A filter that only its service type ties to a
    /// version, such as `volumev3`, goes to the catalog's endpoint then. See [`discovery`](crate::discovery).
    #[must_use]
    pub fn discovery(self, discovery: impl Into<Discovery>) -> Self {
        self.with(|settings| settings.discovery = Some(discovery.into())).https_for_discovery()
    }

    /// Sends the token to this origin too: the scheme, host and port of `url`.
    ///
    /// Origins of the catalog, of the plugin's `auth_url` and of an endpoint override need no word.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if the URL is not absolute, not http or https, or has a user name.
    pub fn allow_origin(self, url: &Uri) -> Result<Self, Error> {
        let origin = Origin::from_uri(url).ok_or(Error::InvalidEndpoint {
            what: "the URL of an allowed origin",
            reason: "an origin is `https://host:port` and nothing in it is ambiguous",
        })?;
        Ok(self.with(|settings| settings.allowed_origins.push(origin)))
    }

    /// Refuses plain http ([`Error::HttpsRequired`]) for all requests but those with a token of their own and those
    /// that are [`Unauthenticated`](crate::Unauthenticated), whether or not the plugin has a token. The
    /// [`discovery`](Self::discovery) of the layer sends no token over plain http either, whoever asks it.
    ///
    /// Without it, http endpoints that the catalog, `auth_url` or an override names are used, since
    /// private clouds have them.
    #[must_use]
    pub fn require_https(self) -> Self {
        self.with(|settings| settings.require_https = true).https_for_discovery()
    }

    /// Lets the discovery, which may be asked without the layer too, do as the layer does.
    fn https_for_discovery(self) -> Self {
        let Settings { discovery, require_https, .. } = &*self.shared.settings;
        discovery.iter().filter(|_| *require_https).for_each(Discovery::refuse_http);
        self
    }

    /// Replaces an `X-Auth-Token` that the request already has.
    ///
    /// Without it, such a request is the caller's own affair: it keeps its token, its absolute URI
    /// is not checked against the known origins, and a 401 to it says nothing about our token.
    #[must_use]
    pub fn overwrite_token(self) -> Self {
        self.with(|settings| settings.overwrite_token = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.shared.settings));
        self
    }
}

impl<P, S> Layer<S> for AuthLayer<P> {
    type Service = Auth<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(self.shared.clone(), inner)
    }
}

impl<P, S> Auth<P, S> {
    /// Returns a layer that wraps services in `Auth`: [`AuthLayer::new`].
    pub fn layer(plugin: P) -> AuthLayer<P> {
        AuthLayer::new(plugin)
    }
}

impl<P> Clone for AuthLayer<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

/// The settings; the plugin may hold credentials and is not shown.
impl<P> fmt::Debug for AuthLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
