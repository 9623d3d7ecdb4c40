//! Asks Keystone about a token, with the client layers of this crate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header::ACCEPT};
use tokio::time::timeout;
use tower::retry::Retry;
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "store")]
use super::answer::ValidAnswer;
use super::{
    Asker, ValidatorSettings,
    answer::{Answer, Failure, Unreachable},
};
use crate::{
    AccessFuture, Auth, AuthLayer, AuthUrl, BoxError, EndpointFilter, Error, IdentityPlugin, Interface,
    ReauthPolicy, RetryPolicy, ServiceAccess, Transport,
    access::{SharedCatalogs, X_SUBJECT_TOKEN},
    endpoint::Origin,
    identity::send_within_origin,
    plugin::X_AUTH_TOKEN,
};

/// Tells Keystone that the asker enforces access rules. Without it, Keystone does not confirm tokens that have any.
static ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// The path of the question, after the URL of the Identity API v3.
const PATH: &str = "/auth/tokens";

type KeystoneService =
    Retry<ReauthPolicy<Bytes>, Retry<RetryPolicy<Bytes>, Auth<Arc<dyn IdentityPlugin>, TransportService>>>;

/// Asks Keystone about tokens.
pub(super) struct Keystone {
    plugin: Arc<dyn IdentityPlugin>,
    service: KeystoneService,
    catalogs: SharedCatalogs,
    include_service_catalog: bool,
    /// The URL of Keystone, if the token in question is sent as the token of the asker too.
    by_itself_at: Option<AuthUrl>,
}

impl Keystone {
    pub(super) fn new(settings: &ValidatorSettings) -> Self {
        let filter = EndpointFilter::new("identity").version(3, 0);
        let (plugin, filter, by_itself_at) = match &settings.asker {
            Asker::Plugin(plugin) => {
                let filter = filter.interface(settings.interface.clone());
                let filter = match &settings.region_name {
                    Some(region_name) => filter.region(region_name),
                    None => filter,
                };
                (Arc::clone(plugin), filter, None)
            }
            Asker::TokenItself(auth_url) => {
                let plugin = Arc::new(NoAccount { auth_url: auth_url.clone().into_uri() });
                let filter = filter.interface(Interface::Auth);
                (plugin as Arc<dyn IdentityPlugin>, filter, Some(auth_url.clone()))
            }
        };
        let transport = settings.transport.clone();
        let retries = RetryPolicy::new()
            .connect_retries(settings.connect_retries)
            .connect_failure(|error| error.is::<Unreachable>())
            .retriable_status_codes([])
            .without_jitter();
        let layer = AuthLayer::new(Arc::clone(&plugin)).endpoint(filter).discovery(transport.clone());
        let service = Retry::new(retries, layer.layer(TransportService(transport)));
        Self {
            plugin,
            service: Retry::new(ReauthPolicy::new(), service),
            catalogs: SharedCatalogs::default(),
            include_service_catalog: settings.include_service_catalog,
            by_itself_at,
        }
    }

    /// Asks Keystone about a token.
    pub(super) async fn ask(&self, token: &HeaderValue, allow_expired: bool) -> Answer {
        if let Some(Err(error)) = self.by_itself_at.as_ref().map(AuthUrl::valid_uri) {
            return Answer::Unavailable(Failure::new(error.to_string()));
        }
        let response = self.send(self.question(token, allow_expired)).await;
        Answer::read(token, self.by_itself_at.is_some(), &self.catalogs, response)
    }

    /// Reads the document of a token that Keystone has confirmed to another process.
    #[cfg(feature = "store")]
    pub(super) fn read_document(&self, token: &HeaderValue, document: &[u8]) -> Result<ValidAnswer, Error> {
        ValidAnswer::read(token, document, &self.catalogs)
    }

    /// Returns why a question has no answer after this time.
    ///
    /// The first part of the time is spent on the token of the service's account, if there is none yet.
    pub(super) async fn timed_out(&self, limit: Duration) -> Failure {
        let what = match &self.by_itself_at {
            Some(_) => "Keystone did not answer",
            None => match timeout(Duration::ZERO, self.plugin.access()).await {
                Ok(Ok(_)) => "Keystone did not answer",
                Ok(Err(error)) => return Failure::new(error.to_string()),
                Err(_) => "the login of the service's account did not end",
            },
        };
        Failure::new(format!("{what} within {} ms", limit.as_millis()))
    }

    /// Returns the URL of Keystone.
    pub(super) fn auth_url(&self) -> Option<&Uri> {
        self.plugin.auth_url()
    }

    fn question(&self, token: &HeaderValue, allow_expired: bool) -> Request<Bytes> {
        let mut token = token.clone();
        token.set_sensitive(true);
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = Uri::from_static(match (self.include_service_catalog, allow_expired) {
            (true, false) => "/auth/tokens",
            (true, true) => "/auth/tokens?allow_expired=1",
            (false, false) => "/auth/tokens?nocatalog",
            (false, true) => "/auth/tokens?nocatalog&allow_expired=1",
        });
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(&ACCESS_RULES, HeaderValue::from_static("1"));
        if self.by_itself_at.is_some() {
            headers.insert(X_AUTH_TOKEN, token.clone());
        }
        headers.insert(&X_SUBJECT_TOKEN, token);
        request
    }

    /// Sends a question.
    ///
    /// The service is always ready: a [`Transport`] waits for its client in the future of the request.
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let mut service = self.service.clone();
        Box::pin(service.call(request))
    }
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, BoxError>> + Send>>;

/// A [`Transport`] as a service.
#[derive(Clone)]
struct TransportService(Transport);

impl Service<Request<Bytes>> for TransportService {
    type Response = Response<Bytes>;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let transport = self.0.clone();
        Box::pin(async move {
            if !is_version_3(request.uri()) {
                let reason = "it is not the URL of the Identity API v3, and no version document names one";
                return Err(Error::InvalidEndpoint { what: "the endpoint of Keystone", reason }.into());
            }
            send_within_origin(&transport, request).await.map_err(|error| match &error {
                Error::ConnectFailure { .. } if error.is_transient() => Unreachable(error).into(),
                _ => error.into(),
            })
        })
    }
}

/// Returns whether a question goes to the Identity API v3. A 404 of another URL would say nothing about the token.
fn is_version_3(uri: &Uri) -> bool {
    let base = uri.path().strip_suffix(PATH).unwrap_or_default();
    let version = base.rsplit('/').next().unwrap_or_default();
    version == "v3" || version.starts_with("v3.")
}

/// The plugin of a service without an account: all it has is the URL of Keystone.
struct NoAccount {
    auth_url: Uri,
}

impl IdentityPlugin for NoAccount {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Err(Error::NoToken))
    }

    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        Some(&self.auth_url)
    }
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keystone")
    }
}
