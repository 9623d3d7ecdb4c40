use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[cfg(feature = "rustls")]
use super::connection::proxy_variables::ProxyVariables;
#[cfg(feature = "federation")]
use super::identity::Identity;
use super::{
    connection::tls::TlsConfig, identity::ConfiguredIdentity, service::service_config::ServiceConfig,
    settings::Settings,
};
#[cfg(feature = "store")]
use crate::SharedTokens;
#[cfg(feature = "federation")]
use crate::error::ConfigError;
use crate::{
    AuthLayer, Credentials, EndpointFilter, Error, IdentityPlugin, Interface, RenewalPolicy, RenewingPlugin,
    Transport,
};

/// The configuration of one cloud in one region.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct CloudConfig {
    inner: Arc<Inner>,
    renewal_policy: Arc<RenewalPolicy>,
}

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) name: Option<Box<str>>,
    pub(super) region_name: Option<Box<str>>,
    pub(super) config_file: Option<PathBuf>,
    pub(super) secure_file: Option<PathBuf>,
    pub(super) settings: Settings,
    pub(super) identity: ConfiguredIdentity,
    /// The error if secrets of the user must not be used with the files.
    #[cfg(feature = "federation")]
    pub(super) user_trust: Result<(), ConfigError>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) tls: TlsConfig,
    pub(super) api_timeout: Option<Duration>,
    pub(super) force_ipv4: bool,
    #[cfg(feature = "store")]
    pub(super) shared_tokens: Option<SharedTokens>,
    #[cfg(feature = "rustls")]
    pub(super) proxy_variables: Option<ProxyVariables>,
}

impl CloudConfig {
    pub(super) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), renewal_policy: Arc::default() }
    }

    /// Returns an error if a person must not log in with the files, because others can write to them.
    #[cfg(feature = "federation")]
    pub(super) fn check_user_trust(&self) -> Result<(), Error> {
        Ok(self.inner.user_trust.clone()?)
    }

    /// Returns the identity that the settings configure.
    #[cfg(feature = "federation")]
    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity.identity
    }

    /// Replaces the identity.
    #[cfg(feature = "federation")]
    pub(super) fn with_identity(mut self, identity: Identity) -> Self {
        #[cfg(feature = "store")]
        let identity = identity.store(self.inner.shared_tokens.as_ref());
        Arc::make_mut(&mut self.inner).identity.identity = identity;
        self
    }

    /// Returns the name of the cloud. `None` if all settings come from the program.
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Returns the name of the region. `None` if the configuration names no region.
    pub fn region_name(&self) -> Option<&str> {
        self.inner.region_name.as_deref()
    }

    /// Returns the path of the clouds file (`clouds.yaml`). `None` if there is none.
    pub fn config_file(&self) -> Option<&Path> {
        self.inner.config_file.as_deref()
    }

    /// Returns the path of the secure file (`secure.yaml`). `None` if there is none.
    pub fn secure_file(&self) -> Option<&Path> {
        self.inner.secure_file.as_deref()
    }

    /// Returns the auth type, such as `password` or `v3applicationcredential`.
    pub fn auth_type(&self) -> &str {
        self.inner.identity.auth_type
    }

    /// Returns the interfaces of endpoints, in order of preference: `public` if none is configured.
    pub fn interfaces(&self) -> &[Interface] {
        &self.inner.interfaces
    }

    #[cfg(feature = "rustls")]
    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Returns the TLS settings.
    pub fn tls(&self) -> &TlsConfig {
        &self.inner.tls
    }

    /// Returns the timeout of a request (`api_timeout`). `None` if it is not set.
    pub fn api_timeout(&self) -> Option<Duration> {
        self.inner.api_timeout
    }

    /// Returns whether connections use IPv4 only (`force_ipv4`).
    pub fn force_ipv4(&self) -> bool {
        self.inner.force_ipv4
    }

    /// Returns the store of the tokens. `None` if they are not stored.
    ///
    /// It is the one that the program [sets](super::CloudConfigBuilder::shared_tokens), or the files of the user
    /// (`cache.auth`). Before a program ends that uses a store in a network, it should [close](SharedTokens::close) the
    /// store.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub fn shared_tokens(&self) -> Option<&SharedTokens> {
        self.inner.shared_tokens.as_ref()
    }

    /// Returns the proxies of an environment that replaces the one of the process.
    #[cfg(feature = "rustls")]
    pub(super) fn proxy_variables(&self) -> Option<&ProxyVariables> {
        self.inner.proxy_variables.as_ref()
    }

    /// Returns the credentials. `None` if the auth type needs no token of Keystone (`none`, `admin_token`, `http_basic`,
    /// `v3tokenlessauth`).
    pub fn credentials(&self) -> Option<Arc<dyn Credentials>> {
        self.inner.identity.identity.credentials().ok()
    }

    /// Sets when to renew the token, how long requests wait for one, and when to retry a login.
    ///
    /// It applies to what this configuration creates from now on: the [`plugin`](Self::plugin), the
    /// [`layer`](Self::layer) and the client. With the default, requests wait for up to 30 s while Keystone cannot be
    /// reached. A command line program can tell its user at once instead:
    ///
    /// ```
    /// use tower_keystone::{CloudConfig, Error, RenewalPolicy};
    ///
    /// fn config() -> Result<CloudConfig, Error> {
    ///     let mut policy = RenewalPolicy::default();
    ///     policy.fail_fast = true;
    ///     Ok(CloudConfig::from_env()?.renewal_policy(policy))
    /// }
    /// # let _ = config;
    /// ```
    ///
    /// It has no effect if the auth type needs no Keystone (`none`, `admin_token`, `http_basic`).
    #[must_use]
    pub fn renewal_policy(self, policy: RenewalPolicy) -> Self {
        Self { renewal_policy: Arc::new(policy), ..self }
    }

    /// Creates the identity plugin, which sends its logins through this transport.
    ///
    /// It is a [`RenewingPlugin`] with the [`credentials`](Self::credentials), the
    /// [`renewal_policy`](Self::renewal_policy) and, if tokens are stored, the store; or it is a plugin without Keystone.
    pub fn plugin(&self, transport: Transport) -> Arc<dyn IdentityPlugin> {
        match self.inner.identity.identity.credentials() {
            Ok(credentials) => {
                let plugin = RenewingPlugin::new(credentials, transport);
                let plugin = plugin.policy(RenewalPolicy::clone(&self.renewal_policy));
                #[cfg(feature = "store")]
                if let Some(shared_tokens) = &self.inner.shared_tokens {
                    return Arc::new(plugin.store(shared_tokens.clone()));
                }
                Arc::new(plugin)
            }
            Err(plugin) => Arc::clone(plugin),
        }
    }

    /// Returns the settings of one service, such as `compute`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a setting of the service is wrong.
    pub fn service(&self, service_type: &str) -> Result<ServiceConfig, Error> {
        Ok(ServiceConfig::new(
            &self.inner.settings,
            self.auth_type(),
            self.region_name(),
            &self.inner.interfaces,
            service_type,
        )?)
    }

    /// Returns the layer, with an identity plugin, version discovery, and the region and interfaces of this cloud.
    ///
    /// Its logins and discovery requests are sent through this transport. It does not use the settings of single
    /// services, such as `compute_endpoint_override`: add [`service_layer`](Self::service_layer) for them.
    pub fn layer(&self, transport: Transport) -> AuthLayer<Arc<dyn IdentityPlugin>> {
        self.layer_with_plugin(self.plugin(transport.clone()), transport)
    }

    /// Returns the layer with this plugin. Its discovery requests are sent through the transport.
    pub(super) fn layer_with_plugin(
        &self,
        plugin: Arc<dyn IdentityPlugin>,
        transport: Transport,
    ) -> AuthLayer<Arc<dyn IdentityPlugin>> {
        let mut filter = EndpointFilter::default().interfaces(self.inner.interfaces.iter().cloned());
        if let Some(region_name) = self.region_name() {
            filter = filter.region(region_name);
        }
        AuthLayer::new(plugin).endpoint(filter).discovery(transport)
    }
}

impl fmt::Debug for CloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudConfig")
            .field("name", &self.name())
            .field("region_name", &self.region_name())
            .field("auth_type", &self.auth_type())
            .field("config_file", &self.config_file())
            .field("secure_file", &self.secure_file())
            .finish_non_exhaustive()
    }
}
