use std::{fmt, sync::Arc};

use http::Uri;
use tower_layer::Layer;

use super::{
    Auth,
    settings::{Settings, Shared},
};
use crate::{EndpointFilter, Error, IdentityPlugin, discovery::Discovery, endpoint::Origin};

/// A layer that gives each request the URL of its service and a token.
///
/// The inner service must be `Clone`. Wrap it in tower's `Buffer` if it is not.
///
/// All clones of the layer, and all services that they create, share one plugin. A request with an
/// [`Identity`](crate::Identity) in its extensions is sent with that instead. See the [crate docs](crate) for an
/// example and for the [order of layers](crate#order-of-layers).
pub struct AuthLayer<P> {
    shared: Shared<Arc<P>>,
}

impl<P: IdentityPlugin> AuthLayer<P> {
    /// Creates a layer that authenticates requests with this plugin. `Arc<dyn IdentityPlugin>` is a plugin too.
    ///
    /// It sends nothing before the first request: the plugin logs in then, if it has to.
    pub fn new(plugin: P) -> Self {
        Self { shared: Shared { plugin: Arc::new(plugin), settings: Arc::default() } }
    }
}

impl<P> AuthLayer<P> {
    /// Sets the endpoint filter of all requests.
    ///
    /// A request can override it with an [`EndpointFilter`] in its extensions. Values that the filter of the request
    /// does not set are taken from the filter of the layer: the region and the interfaces always; the service name, the
    /// ids of the service and the endpoint, versions, the microversion, the endpoint override and
    /// [`Interface::Auth`](crate::Interface::Auth) only if both filters are for the same service, or if that of the
    /// request has no service type.
    #[must_use]
    pub fn endpoint(self, filter: EndpointFilter) -> Self {
        self.update(|settings| settings.set_endpoint(filter))
    }

    /// Enables version discovery, for filters that ask for a version.
    ///
    /// It takes a [`Transport`](crate::Transport), or a [`Discovery`] that is shared with other layers. See
    /// [`discovery`](crate::discovery).
    ///
    /// Without it, a request whose filter asks for a version fails with [`Error::NoDiscovery`]. If only the service
    /// type implies a version, as `volumev3` does, the request goes to the endpoint in the catalog.
    #[must_use]
    pub fn discovery(self, discovery: impl Into<Discovery>) -> Self {
        self.update(|settings| settings.discovery = Some(discovery.into())).require_https_for_discovery()
    }

    /// Allows the token to be sent to one more origin: the scheme, host and port of `url`.
    ///
    /// The origins of the service catalog, of the plugin's `auth_url` and of an endpoint override are always allowed.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidEndpoint`] if the URL is not absolute, is neither http nor https, contains a user name,
    /// or has a host or port that HTTP clients may read differently. [`Origin::from_uri`] lists the rules.
    pub fn allow_origin(self, url: &Uri) -> Result<Self, Error> {
        let origin = Origin::from_uri(url).ok_or(Error::InvalidEndpoint {
            what: "the URL of an allowed origin",
            reason: "it must be an absolute http or https URL without a user name, such as `https://host:port`; the \
                     host must be an IPv6 address in brackets, or ASCII letters, digits, `-`, `.` and `_` only",
        })?;
        Ok(self.update(|settings| settings.allowed_origins.push(origin)))
    }

    /// Refuses to send authenticated requests over plain http ([`Error::HttpsRequired`]).
    ///
    /// [`Unauthenticated`](crate::Unauthenticated) requests are still sent, as are requests that keep a token of the
    /// caller. All others are refused, even if the plugin has no token to send. The [`discovery`](Self::discovery) of
    /// the layer sends no token over plain http either, also when it is shared or called directly.
    ///
    /// This does not concern the login: the plugin sends its credentials to the `auth_url` that it was given.
    ///
    /// By default plain http is allowed, because private clouds use it.
    #[must_use]
    pub fn require_https(self) -> Self {
        self.update(|settings| settings.require_https = true).require_https_for_discovery()
    }

    /// Makes the discovery require https if the layer does, because it can be called without the layer.
    fn require_https_for_discovery(self) -> Self {
        let Settings { discovery, require_https, .. } = &*self.shared.settings;
        discovery.iter().filter(|_| *require_https).for_each(Discovery::set_https_only);
        self
    }

    /// Replaces the `X-Auth-Token` of requests that already have one.
    ///
    /// By default such a request keeps its token. The layer then neither checks the origin of an absolute URI nor
    /// reports a 401 to the plugin.
    #[must_use]
    pub fn overwrite_token(self) -> Self {
        self.update(|settings| settings.overwrite_token = true)
    }

    /// Adds the token of the layer's plugin as `X-Service-Token` to requests that have an
    /// [`Identity`](crate::Identity).
    ///
    /// The plugin of the layer is then that of the service account, and the identity is that of the user. The called
    /// service accepts a user token that expired during a long operation if the service token has a service role. Such
    /// a request waits for both tokens.
    ///
    /// A 401 does not say which token was rejected. It is reported to the identity only, because a user with a bad
    /// token must not cause logins of the service account.
    ///
    /// A service token that was revoked is renewed only after a 401 to a request of the service itself, such as the
    /// validation of a token by a `ValidateTokenLayer` with the same plugin.
    ///
    /// The service token goes to the origins in the service catalog of the identity, as the token of the user does. So
    /// use identities of your own cloud only.
    ///
    /// A request without an identity is sent with the token of the plugin, as always, unless
    /// [`require_identity`](Self::require_identity) is set. Requests that are sent without a
    /// token, or with one that the caller has set, get no service token.
    #[must_use]
    pub fn send_service_token(self) -> Self {
        self.update(|settings| settings.send_service_token = true)
    }

    /// Refuses requests that would carry the token of the layer's plugin ([`Error::NoIdentity`]).
    ///
    /// All requests must then have an [`Identity`](crate::Identity), except for
    /// [`Unauthenticated`](crate::Unauthenticated) ones and those that keep a token of the caller. A program that sends
    /// the requests of its users cannot send one with the rights of its own account by mistake.
    ///
    /// The plugin of the layer is still asked for the token that [`send_service_token`](Self::send_service_token) adds,
    /// and for the endpoints of requests that are sent without an identity.
    #[must_use]
    pub fn require_identity(self) -> Self {
        self.update(|settings| settings.require_identity = true)
    }

    fn update(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        self.shared.update(change);
        self
    }
}

impl<P, S> Layer<S> for AuthLayer<P> {
    type Service = Auth<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(self.shared.clone(), inner)
    }
}

impl<P: IdentityPlugin, S> Auth<P, S> {
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

/// Shows the settings. The plugin may hold credentials and is not shown.
impl<P> fmt::Debug for AuthLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
