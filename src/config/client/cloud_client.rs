use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    ResponseFuture,
    stack::{Stack, auth_mut, stack},
};
use crate::{
    BoxError, CloudConfig, Error, HttpsClient, IdentityPlugin, ReauthPolicy, RetryPolicy,
    config::connection::{timeout::at_api_timeout, tls::ca_file_setting},
    error::ConfigError,
    transport::{HttpsBody, HttpsClientBuilder},
};

/// A client for all services of a cloud, as a tower service.
///
/// It adds a token to each request, and sends it to the URL of an OpenStack service. This service is the one that the
/// [`EndpointFilter`](crate::EndpointFilter) in the extensions of the request names, otherwise the one that
/// [`service`](Self::service) has set.
///
/// [`CloudConfig::client`] creates it. All clones share one token and the connections, so clone a client instead of
/// creating another one. See the [module docs](super) for an example and for its layers.
pub struct CloudClient<B = Full<Bytes>> {
    stack: Stack<B>,
    plugin: Arc<dyn IdentityPlugin>,
}

impl CloudConfig {
    /// Creates a client for all services of this cloud.
    ///
    /// Nothing is sent before its first request. See [`client`](super) for an example.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidClientSetting`] if a certificate or a key cannot be read, and [`Error::Config`] if
    /// `api_timeout` is 0.
    pub fn client(&self) -> Result<CloudClient, Error> {
        let https = self.https().build().map_err(|error| self.with_ca_file_setting(error))?;
        let retry = RetryPolicy::new().connect_failure(HttpsClient::is_connect_failure);
        self.build_client(https.clone(), https, ReauthPolicy::new(), retry)
    }

    /// Creates a client with an HTTPS client and retry policies of your own, for example to send streams.
    ///
    /// Whether a request is sent again depends on its body and the policies; see [`retry`](crate::retry). The numbers
    /// of retries and delays that the configuration sets for a service take precedence over those of the policy.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::combinators::BoxBody;
    /// use tower_keystone::{BoxError, CloudConfig, HttpsClient, ReauthPolicy, ReplayBody, RetryPolicy, config::CloudClient};
    ///
    /// /// A body of any length. The first bytes are buffered, so that a request can be sent again.
    /// type Upload = ReplayBody<BoxBody<Bytes, BoxError>>;
    ///
    /// fn upload_client(config: &CloudConfig) -> Result<CloudClient<Upload>, BoxError> {
    ///     let https = config.https().user_agent("my-program/1.0").build()?.with_body();
    ///     let retry = RetryPolicy::replaying().connect_failure(HttpsClient::is_connect_failure);
    ///     Ok(config.client_with(https, ReauthPolicy::replaying(), retry)?)
    /// }
    /// # let _ = upload_client;
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if `api_timeout` is 0.
    pub fn client_with<B>(
        &self,
        https: HttpsClient<B>,
        reauth: ReauthPolicy<B>,
        retry: RetryPolicy<B>,
    ) -> Result<CloudClient<B>, Error> {
        let keystone = https.with_body();
        self.build_client(https, keystone, reauth, retry)
    }

    /// Returns a builder of an HTTPS client, with the TLS settings of this cloud and `force_ipv4`.
    ///
    /// It reads the proxies from the environment of the process, or from the one that
    /// [`CloudConfigBuilder::environment`](crate::config::CloudConfigBuilder::environment) has set.
    pub fn https(&self) -> HttpsClientBuilder {
        let tls = self.tls();
        let mut https = HttpsClient::builder().force_ipv4(self.force_ipv4());
        if !tls.verify {
            https = https.accept_invalid_certificates();
        }
        if let Some(cacert) = &tls.cacert {
            https = https.ca_file(cacert);
        }
        if let Some(cert) = &tls.cert {
            https = https.client_certificate(cert, tls.key.clone());
        }
        if let Some(variables) = self.proxy_variables() {
            https = https.proxy_from(|name| variables.get(name));
        }
        https
    }

    /// Adds to an error about the CA file which setting has its path, and where it was written.
    fn with_ca_file_setting(&self, error: Error) -> Error {
        match (error, ca_file_setting(self.settings())) {
            (Error::InvalidClientSetting { setting, reason }, Some((name, location)))
                if setting.starts_with("CA file ") =>
            {
                Error::invalid_client_setting(&format!("{location}: {name}: {setting}"), reason)
            }
            (error, _) => error,
        }
    }

    fn build_client<B>(
        &self,
        https: HttpsClient<B>,
        keystone: HttpsClient,
        reauth: ReauthPolicy<B>,
        retry: RetryPolicy<B>,
    ) -> Result<CloudClient<B>, Error> {
        if self.api_timeout() == Some(Duration::ZERO) {
            let reason = "with a timeout of 0 s every request fails; remove the setting for no timeout";
            return Err(at_api_timeout(ConfigError::conflict(reason), self.settings()).into());
        }
        let (stack, plugin) = stack(self, https, keystone, reauth, retry);
        Ok(CloudClient { stack, plugin })
    }
}

impl<B> CloudClient<B> {
    /// Returns a clone of the client that sends requests to this service, such as `compute`.
    ///
    /// An [`EndpointFilter`](crate::EndpointFilter) with a service type in the extensions of a request takes
    /// precedence.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a setting of the service is wrong.
    pub fn service(&self, service_type: &str) -> Result<Self, Error> {
        let mut client = self.clone();
        client.stack.set_service(service_type)?;
        Ok(client)
    }

    /// Adds the token of the client as `X-Service-Token` to requests that have an [`Identity`](crate::Identity).
    ///
    /// The services of the returned client and its clones do so too. See [`AuthLayer::send_service_token`].
    ///
    /// [`AuthLayer::send_service_token`]: crate::AuthLayer::send_service_token
    #[must_use]
    pub fn send_service_token(mut self) -> Self {
        auth_mut(&mut self.stack).set_send_service_token();
        self
    }

    /// Refuses requests that would carry the token of the client: they must have an [`Identity`](crate::Identity).
    ///
    /// This applies to the services of the returned client and to its clones too. See
    /// [`AuthLayer::require_identity`](crate::AuthLayer::require_identity).
    #[must_use]
    pub fn require_identity(mut self) -> Self {
        auth_mut(&mut self.stack).set_require_identity();
        self
    }

    /// Returns the identity plugin of the client. All clones of the client share it.
    ///
    /// Its access has the token, the project and the service catalog. The first one causes a login, as a request does:
    ///
    /// ```
    /// use tower_keystone::{BoxError, CloudConfig, IdentityPlugin};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let cloud = tower_keystone::fixture::Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    /// # let _served = cloud.serve().await?;
    /// # let config = CloudConfig::builder().load_files(false).environment(cloud.environment()).build()?;
    /// let client = config.client()?;
    /// let access = client.plugin().access().await?;
    /// let auth_ref = access.auth_ref().ok_or("this auth type has no Keystone")?;
    /// println!("project {}", auth_ref.project_id().ok_or("the token is for no project")?);
    /// let compute = config.service("compute")?.endpoint(); // with the configured region and interface
    /// println!("compute at {}", auth_ref.service_catalog().url_for(&compute)?);
    /// # assert!(auth_ref.project_id().is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An access can expire, so get it again for each use instead of keeping it.
    pub fn plugin(&self) -> &Arc<dyn IdentityPlugin> {
        &self.plugin
    }
}

impl<B> Service<Request<B>> for CloudClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<HttpsBody>;
    type Error = BoxError;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.stack.call(request))
    }
}

impl<B> Clone for CloudClient<B> {
    fn clone(&self) -> Self {
        Self { stack: self.stack.clone(), plugin: Arc::clone(&self.plugin) }
    }
}

impl<B> fmt::Debug for CloudClient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloudClient")
    }
}
