//! The extensions of requests and responses.

use std::{fmt, sync::Arc};

use http::Uri;

use super::settings::Settings;
use crate::{AccessFuture, EndpointFilter, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// A request extension that replaces the plugin of the layer for this request.
///
/// One client stack can then send the requests of many users:
///
/// ```
/// use http::Request;
/// use tower_keystone::{AccessInfo, AccessInfoPlugin, Identity};
///
/// /// Returns a request that is sent with the token of a user.
/// fn servers_of(user: AccessInfo) -> Result<Request<()>, http::Error> {
///     let identity = Identity::new(AccessInfoPlugin::new(user));
///     Request::get("/servers").extension(identity).body(())
/// }
/// # let _ = servers_of;
/// ```
///
/// The token, the service catalog, the ids in an endpoint override and the `auth_url` are those of this plugin. A 401
/// is reported to it alone. The plugin of the layer is not asked, except for a token to send as `X-Service-Token` if
/// [`AuthLayer::send_service_token`](crate::AuthLayer::send_service_token) is set. The settings of the layer apply to
/// the request as they do to others.
///
/// Without the extension, a request is sent with the plugin of the layer, or fails if
/// [`AuthLayer::require_identity`](crate::AuthLayer::require_identity) is set. So layers outside of `AuthLayer` must keep the
/// extensions of a request, also of one that they send again. The layers of this crate do.
///
/// Clones share the plugin. If a plugin logs in by itself, as [`RenewingPlugin`](crate::RenewingPlugin) does, keep it
/// for all requests of the user, for example in a [`PluginPool`](crate::PluginPool), which can hold identities too.
#[derive(Clone)]
pub struct Identity(Arc<dyn IdentityPlugin>);

impl Identity {
    /// Creates the extension from a plugin.
    pub fn new(plugin: impl IdentityPlugin) -> Self {
        Self::from_arc(Arc::new(plugin))
    }

    /// Creates the extension from a plugin that is shared, without an allocation.
    pub(crate) fn from_arc(plugin: Arc<dyn IdentityPlugin>) -> Self {
        Self(plugin)
    }
}

impl IdentityPlugin for Identity {
    #[inline]
    fn access(&self) -> AccessFuture {
        self.0.access()
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        self.0.invalidate(access, origin)
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.0.auth_url()
    }
}

/// The plugin may hold credentials and is not shown.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A request extension that sends the request without the token of the plugin.
///
/// The endpoint is still looked up in the service catalog, so the request may have to wait for a login. A 401 is not
/// reported to the plugin. An `X-Auth-Token` that the caller has set is kept. This is keystoneauth's
/// `authenticated=False`.
///
/// ```
/// use tower_keystone::Unauthenticated;
///
/// let versions = http::Request::get("/").extension(Unauthenticated).body(()).unwrap();
/// # let _ = versions;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unauthenticated;

/// A request extension that asks the service for a microversion of its API, such as `2.79` or `latest`.
///
/// It replaces the microversion of the [`EndpointFilter`] of the request or the layer. The service type of that filter
/// determines the headers. This is keystoneauth's `microversion`.
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
    /// Creates the extension. See [`EndpointFilter::microversion`] for the headers and the errors.
    pub fn new(microversion: impl Into<Box<str>>) -> Self {
        Self { microversion: microversion.into(), service_type: None }
    }

    /// Sets the service type for the microversion headers: keystoneauth's `microversion_service_type`.
    ///
    /// Use it if the filter has no service type, or if the headers need another one.
    #[must_use]
    pub fn service_type(mut self, service_type: impl Into<Box<str>>) -> Self {
        self.service_type = Some(service_type.into());
        self
    }

    /// Returns the filter of the request, or of the layer, with this microversion.
    #[inline(never)]
    pub(super) fn apply_to(&self, filter: Option<EndpointFilter>, settings: &Settings) -> EndpointFilter {
        let filter = filter.or_else(|| settings.endpoint.clone()).unwrap_or_default();
        match &self.service_type {
            Some(service_type) => filter.microversion_for(service_type, &self.microversion),
            None => filter.microversion(&self.microversion),
        }
    }
}

/// A response extension that marks a 401, and says whether to send the request again.
///
/// The layer inserts it only if the request carried the token of its plugin or of an [`Identity`]. It does not read the
/// body of the response.
///
/// ```
/// use tower_keystone::TokenRejected;
///
/// fn explain<B>(response: &http::Response<B>) -> String {
///     match response.extensions().get::<TokenRejected>() {
///         Some(rejected) => format!("{}: {rejected}", response.status()),
///         None => response.status().to_string(),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRejected {
    /// The plugin can renew the token. Send the request once more; it gets the token that is current then.
    Renewable,
    /// The plugin cannot renew the token. Sending the request again does not help.
    Final,
}

impl TokenRejected {
    pub(super) fn new(renewable: bool) -> Self {
        if renewable { Self::Renewable } else { Self::Final }
    }

    /// Returns true for [`Final`](Self::Final): the plugin cannot renew the token.
    pub fn is_final(self) -> bool {
        self == Self::Final
    }
}

impl fmt::Display for TokenRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewable => {
                "the service rejected the token; send the request once more to use the current token"
            }
            Self::Final => {
                "the service rejected the token, and the identity plugin cannot renew it; obtain a new token"
            }
        })
    }
}
