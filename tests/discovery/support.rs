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

/// What a server does with a request for one URL.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    body: String,
    location: Option<&'static str>,
    after: Duration,
    token_wanted: bool,
    /// The only token that will do.
    token: Option<&'static str>,
    broken: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        let (body, after) = (String::new(), Duration::ZERO);
        Self { status, body, location: None, after, token_wanted: false, token: None, broken: false }
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

    pub(crate) fn no_connection() -> Self {
        Self { broken: true, ..Self::status(200) }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// 401 without this token.
    pub(crate) fn with_token(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// 401 without a token.
    pub(crate) fn with_a_token(self) -> Self {
        Self { token_wanted: true, ..self }
    }
}

/// All servers of a cloud; what they do not know is 404. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Servers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
}

impl Servers {
    pub(crate) fn at(&self, url: &str, answer: Answer) -> &Self {
        self.0.lock().unwrap().answers.insert(url.to_owned(), answer);
        self
    }

    /// What was asked for since the last time, `+token` at its end if a token came along.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
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
        state.asked.push(if has_token { format!("{url} +token") } else { url.clone() });
        let mut answer = state.answers.get(&url).cloned().unwrap_or(Answer::status(404));
        let good = |token| request.headers().get("x-auth-token").is_some_and(|sent| sent == token);
        if answer.token_wanted && !has_token || answer.token.is_some_and(|token| !good(token)) {
            answer = Answer::status(401);
        }
        Box::pin(async move {
            sleep(answer.after).await;
            if answer.broken {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
            let mut response = Response::builder().status(answer.status);
            if let Some(location) = answer.location {
                response = response.header(header::LOCATION, location);
            }
            Ok(response.body(answer.body.into())?)
        })
    }
}

/// What Nova says at its root.
pub(crate) fn nova_versions() -> Answer {
    let versions = Versions::new()
        .version("v2.0", "SUPPORTED", "https://nova.example.com/v2/")
        .microversions("v2.1", "CURRENT", "https://nova.example.com/v2.1/", "2.1", "2.96");
    Answer::document(&versions.document())
}

/// A token of project `p1` whose catalog has services at these URLs.
pub(crate) fn access_info(services: &[(&str, &str)]) -> AccessInfo {
    services
        .iter()
        .fold(V3Token::new("u1", "alice").project("p1", "demo"), |token, (service_type, url)| {
            token.service(&CatalogService::new(*service_type).standard_endpoints("RegionOne", url))
        })
        .access_info("the-token")
        .unwrap()
}

/// A plugin that notes who refuses its tokens, and has a few of them, one after the other.
pub(crate) struct Told {
    accesses: Vec<Arc<ServiceAccess>>,
    refused_by: Mutex<Vec<String>>,
}

impl Told {
    pub(crate) fn new(access_infos: impl IntoIterator<Item = AccessInfo>) -> Arc<Self> {
        let access = |access_info| Arc::new(ServiceAccess::from_auth_ref(access_info).unwrap());
        let accesses = access_infos.into_iter().map(access).collect();
        Arc::new(Self { accesses, refused_by: Mutex::default() })
    }

    /// Who has refused a token so far.
    pub(crate) fn refused_by(&self) -> Vec<String> {
        self.refused_by.lock().unwrap().clone()
    }
}

impl IdentityPlugin for Told {
    fn access(&self) -> AccessFuture {
        let refused = self.refused_by.lock().unwrap().len();
        AccessFuture::ready(Ok(Arc::clone(&self.accesses[refused.min(self.accesses.len() - 1)])))
    }

    fn invalidate(&self, _used: &Arc<ServiceAccess>, by: &Origin) -> bool {
        let mut refused_by = self.refused_by.lock().unwrap();
        refused_by.push(by.to_string());
        refused_by.len() < self.accesses.len()
    }
}

/// A token whose catalog has a service at this URL.
pub(crate) fn token_of(token: &str, service_type: &str, url: &str) -> AccessInfo {
    let service = CatalogService::new(service_type).standard_endpoints("RegionOne", url);
    V3Token::new("u", token).service(&service).access_info(token).unwrap()
}
