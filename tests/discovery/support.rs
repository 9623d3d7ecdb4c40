use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::time::sleep;
use tower::{BoxError, Service};
use tower_keystone::{
    AccessFuture, AccessInfo, IdentityPlugin, ServiceAccess, Transport,
    discovery::Discovery,
    endpoint::Origin,
    fixture::{CatalogService, Discovery as Versions, V3Token},
};

pub(crate) type Body = Full<Bytes>;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The response to a request for one URL.
#[derive(Clone)]
pub(crate) struct StubResponse {
    status: u16,
    body: String,
    location: Option<&'static str>,
    retry_after: Option<&'static str>,
    delay: Duration,
    /// Whether a request without a token is rejected.
    any_token_required: bool,
    /// The only token that is accepted.
    required_token: Option<&'static str>,
    refuses_connection: bool,
}

impl StubResponse {
    pub(crate) fn status(status: u16) -> Self {
        let (body, delay) = (String::new(), Duration::ZERO);
        Self {
            status,
            body,
            location: None,
            retry_after: None,
            delay,
            any_token_required: false,
            required_token: None,
            refuses_connection: false,
        }
    }

    pub(crate) fn document(document: &Value) -> Self {
        Self { body: document.to_string(), ..Self::status(200) }
    }

    pub(crate) fn text(body: &str) -> Self {
        Self { body: body.to_owned(), ..Self::status(200) }
    }

    pub(crate) fn redirect(location: &'static str) -> Self {
        Self { location: Some(location), ..Self::status(302) }
    }

    pub(crate) fn refused_connection() -> Self {
        Self { refuses_connection: true, ..Self::status(200) }
    }

    pub(crate) fn retry_after(self, seconds: &'static str) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Responds with 401 to a request without this token.
    pub(crate) fn requires_token(self, token: &'static str) -> Self {
        Self { required_token: Some(token), ..self }
    }

    /// Responds with 401 to a request without a token.
    pub(crate) fn requires_any_token(self) -> Self {
        Self { any_token_required: true, ..self }
    }
}

/// All servers of a cloud. They respond with 404 to an unknown URL. Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Servers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    responses: HashMap<String, StubResponse>,
    requests: Vec<String>,
}

impl Servers {
    /// Sets the response to each request for `url`.
    pub(crate) fn respond_at(&self, url: &str, response: StubResponse) -> &Self {
        self.0.lock().unwrap().responses.insert(url.to_owned(), response);
        self
    }

    /// Returns and forgets the requests so far, as URLs, with ` +token` appended if the request had a token.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }

    pub(crate) fn discovery(&self) -> Discovery {
        Discovery::new(Transport::new(self.clone()))
    }
}

impl Service<Request<Body>> for Servers {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let has_token = request.headers().contains_key("x-auth-token");
        let url = request.uri().to_string();
        let mut state = self.0.lock().unwrap();
        state.requests.push(if has_token { format!("{url} +token") } else { url.clone() });
        let mut stub = state.responses.get(&url).cloned().unwrap_or(StubResponse::status(404));
        let matches = |token| request.headers().get("x-auth-token").is_some_and(|sent| sent == token);
        if stub.any_token_required && !has_token || stub.required_token.is_some_and(|token| !matches(token)) {
            stub = StubResponse::status(401);
        }
        Box::pin(async move {
            sleep(stub.delay).await;
            if stub.refuses_connection {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
            let mut response = Response::builder().status(stub.status);
            if let Some(location) = stub.location {
                response = response.header(header::LOCATION, location);
            }
            if let Some(seconds) = stub.retry_after {
                response = response.header(header::RETRY_AFTER, seconds);
            }
            Ok(response.body(stub.body.into())?)
        })
    }
}

/// Returns the version document at the root of Nova, which lists 2.0 and 2.1.
pub(crate) fn nova_versions() -> StubResponse {
    let versions = Versions::new()
        .version("v2.0", "SUPPORTED", "https://nova.example.com/v2/")
        .microversions("v2.1", "CURRENT", "https://nova.example.com/v2.1/", "2.1", "2.96");
    StubResponse::document(&versions.document())
}

/// Returns an access info of project `p1` whose catalog lists services at these URLs.
pub(crate) fn access_info(services: &[(&str, &str)]) -> AccessInfo {
    services
        .iter()
        .fold(V3Token::new("u1", "alice").project("p1", "demo"), |token, (service_type, url)| {
            token.service(&CatalogService::new(*service_type).standard_endpoints("RegionOne", url))
        })
        .access_info("the-token")
        .unwrap()
}

/// A plugin that records which origins reject its tokens. It renews to the next of its tokens until the last.
pub(crate) struct RecordingPlugin {
    accesses: Vec<Arc<ServiceAccess>>,
    rejected_by: Mutex<Vec<String>>,
}

impl RecordingPlugin {
    pub(crate) fn new(access_infos: impl IntoIterator<Item = AccessInfo>) -> Arc<Self> {
        let access = |access_info| Arc::new(ServiceAccess::from_auth_ref(access_info).unwrap());
        let accesses = access_infos.into_iter().map(access).collect();
        Arc::new(Self { accesses, rejected_by: Mutex::default() })
    }

    /// Returns the origins that have rejected a token so far.
    pub(crate) fn rejected_by(&self) -> Vec<String> {
        self.rejected_by.lock().unwrap().clone()
    }
}

impl IdentityPlugin for RecordingPlugin {
    fn access(&self) -> AccessFuture {
        let rejected = self.rejected_by.lock().unwrap().len();
        AccessFuture::ready(Ok(Arc::clone(&self.accesses[rejected.min(self.accesses.len() - 1)])))
    }

    fn invalidate(&self, _used: &Arc<ServiceAccess>, by: &Origin) -> bool {
        let mut rejected_by = self.rejected_by.lock().unwrap();
        rejected_by.push(by.to_string());
        rejected_by.len() < self.accesses.len()
    }
}

/// Returns an access info with this token, whose catalog lists one service at this URL.
pub(crate) fn token_for(token: &str, service_type: &str, url: &str) -> AccessInfo {
    let service = CatalogService::new(service_type).standard_endpoints("RegionOne", url);
    V3Token::new("u", token).service(&service).access_info(token).unwrap()
}
