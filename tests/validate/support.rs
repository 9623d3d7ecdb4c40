use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    mem,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, BoxError, Caller, IdentityStatus, Rejection, Transport, ValidateTokenLayer,
    Validation,
};

pub(crate) const CHALLENGE: &str = r#"Keystone uri="https://public.example.com:5000""#;

/// A Keystone with a table of tokens. It does not know any other token. Clones share one state.
#[derive(Clone)]
pub(crate) struct Keystone(Arc<State>);

struct State {
    answers: Mutex<HashMap<String, Answer>>,
    questions: Mutex<Vec<Question>>,
    gate: Semaphore,
}

#[derive(Clone)]
pub(crate) enum Answer {
    /// The token is valid.
    Token(Value),
    /// The token is valid if expired tokens are allowed.
    Expired(Value),
    Status(u16),
    Unreachable,
}

/// A question about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) token: String,
    pub(crate) allow_expired: bool,
}

impl Keystone {
    /// Creates a Keystone that knows the tokens `good` of `alice`, `service` of a service, and `plain` of a user
    /// without roles.
    pub(crate) fn new() -> Self {
        let keystone = Self(Arc::new(State {
            answers: Mutex::default(),
            questions: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }));
        keystone.add("good", Answer::Token(user("alice", &["member", "reader"])));
        keystone.add(
            "old",
            Answer::Expired(with(user("alice", &["member"]), "expires_at", json!("2020-01-01T00:00:00Z"))),
        );
        keystone.add("service", Answer::Token(user("nova", &["service"])));
        keystone.add("plain", Answer::Token(user("bob", &[])));
        keystone.add("down", Answer::Status(503));
        keystone
    }

    pub(crate) fn add(&self, token: &str, answer: Answer) {
        self.0.answers.lock().unwrap().insert(token.to_owned(), answer);
    }

    /// Makes questions wait until [`release`](Self::release) is called.
    pub(crate) fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets this many questions through.
    pub(crate) fn release(&self, questions: usize) {
        self.0.gate.add_permits(questions);
    }

    pub(crate) fn questions(&self) -> MutexGuard<'_, Vec<Question>> {
        self.0.questions.lock().unwrap()
    }

    /// Returns the tokens that were asked about.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.questions().iter().map(|question| question.token.clone()).collect()
    }

    /// Returns a layer that asks this Keystone.
    pub(crate) fn layer(&self) -> ValidateTokenLayer {
        let catalog = json!([{"type": "identity", "endpoints": [
            {"interface": "internal", "region_id": "R1", "url": "https://identity.example.com/v3"},
        ]}]);
        let own = json!({"token": with(user("own", &["service"]), "catalog", catalog)});
        let plugin = AccessInfoPlugin::new(AccessInfo::new("own-token", own.to_string()).unwrap());
        ValidateTokenLayer::new(plugin, self.transport())
            .www_authenticate_uri("https://public.example.com:5000".parse().unwrap())
            .connect_retries(0)
    }

    fn transport(&self) -> Transport {
        let keystone = self.clone();
        Transport::new(service_fn(move |request: Request<Bytes>| {
            let keystone = keystone.clone();
            async move { keystone.answer(&request).await }
        }))
    }

    async fn answer(&self, request: &Request<Bytes>) -> Result<Response<Full<Bytes>>, BoxError> {
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/v3/auth/tokens"));
        assert_eq!(request.headers()["x-auth-token"], "own-token");
        let token = request.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let allow_expired = request.uri().query().is_some_and(|query| query.contains("allow_expired=1"));
        self.questions().push(Question { token: token.clone(), allow_expired });
        let permit = self.0.gate.acquire().await?;
        permit.forget();
        let answer = self.0.answers.lock().unwrap().get(&token).cloned();
        let (status, body) = match answer {
            Some(Answer::Token(document)) => (200, json!({"token": document})),
            Some(Answer::Expired(document)) if allow_expired => (200, json!({"token": document})),
            Some(Answer::Status(status)) => (status, json!({"error": "canary"})),
            Some(Answer::Unreachable) => return Err("connection refused".into()),
            Some(Answer::Expired(_)) | None => {
                (404, json!({"error": {"message": format!("{token} canary")}}))
            }
        };
        Ok(Response::builder().status(status).body(Full::from(body.to_string()))?)
    }
}

/// Returns the token document of a user in the project `p`.
pub(crate) fn user(name: &str, roles: &[&str]) -> Value {
    let roles: Vec<_> = roles.iter().map(|name| json!({"id": format!("r-{name}"), "name": name})).collect();
    json!({
        "user": {"id": format!("u-{name}"), "name": name, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": roles,
        "expires_at": "2999-01-01T00:00:00Z",
        "issued_at": "2026-01-01T00:00:00Z",
    })
}

pub(crate) fn with(mut document: Value, name: &str, value: Value) -> Value {
    document[name] = value;
    document
}

type Responder = dyn Fn(&Parts) -> Response<Bytes> + Send + Sync;

/// The application. It records the requests that it receives, and responds with 200 or as the test says.
///
/// It panics if a clone is called that was not polled ready.
pub(crate) struct App {
    seen: Arc<Mutex<Vec<Parts>>>,
    responder: Arc<Responder>,
    clones: Arc<Mutex<usize>>,
    is_ready: bool,
}

impl App {
    pub(crate) fn new() -> Self {
        Self::respond_with(|_| Response::default())
    }

    pub(crate) fn respond_with(
        responder: impl Fn(&Parts) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let (seen, clones) = Default::default();
        Self { seen, responder: Arc::new(responder), clones, is_ready: false }
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn clones(&self) -> usize {
        *self.clones.lock().unwrap()
    }

    /// Returns the only request, as the application received it.
    pub(crate) fn request(&self) -> Parts {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }
}

impl Clone for App {
    fn clone(&self) -> Self {
        *self.clones.lock().unwrap() += 1;
        let (seen, responder, clones) = (self.seen.clone(), self.responder.clone(), self.clones.clone());
        Self { seen, responder, clones, is_ready: false }
    }
}

impl Service<Request<Opaque>> for App {
    type Response = Response<Bytes>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Bytes>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Opaque>) -> Self::Future {
        assert!(mem::take(&mut self.is_ready), "called without having been polled ready");
        let (parts, _) = request.into_parts();
        let response = (self.responder)(&parts);
        self.seen.lock().unwrap().push(parts);
        ready(Ok(response))
    }
}

/// Returns a request with these headers. Its body is neither `Default` nor a body.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Request<Opaque> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Opaque).unwrap()
}

/// A body without any properties.
pub(crate) struct Opaque;

/// Sends a request with these headers through the layer.
pub(crate) async fn send(layer: &ValidateTokenLayer, app: &App, headers: &[(&str, &str)]) -> Response<Bytes> {
    send_request(layer, app, get("/servers", headers)).await
}

pub(crate) async fn send_request(
    layer: &ValidateTokenLayer,
    app: &App,
    request: Request<Opaque>,
) -> Response<Bytes> {
    layer.layer(app.clone()).oneshot(request).await.unwrap()
}

/// Sends a request with these headers, which must be let through, and returns it as the application received it.
pub(crate) async fn admitted(layer: &ValidateTokenLayer, headers: &[(&str, &str)]) -> Parts {
    let app = App::new();
    assert_eq!(send(layer, &app, headers).await.status(), StatusCode::OK);
    app.request()
}

/// Sends a request with these headers, which must be rejected.
pub(crate) async fn rejected(layer: &ValidateTokenLayer, headers: &[(&str, &str)]) -> Response<Bytes> {
    let app = App::new();
    let response = send(layer, &app, headers).await;
    assert_eq!(app.count(), 0, "the application was called");
    assert!(response.extensions().get::<Rejection>().is_some());
    response
}

/// Checks that a response is a 401 as Keystone makes it.
pub(crate) fn assert_unauthorized(response: &Response<Bytes>) {
    assert_eq!(response.status(), 401);
    assert_eq!(challenges(response.headers()), [CHALLENGE]);
    assert_eq!(response.headers()["content-type"], "application/json");
    let expected = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;
    assert_eq!(response.body(), expected);
    assert!(!response.headers().contains_key("retry-after"));
}

/// Checks that a response is a 503 that says when to try again, and returns when.
pub(crate) fn assert_unavailable(response: &Response<Bytes>) -> u64 {
    assert_eq!(response.status(), 503);
    assert!(challenges(response.headers()).is_empty());
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["error"]["code"], 503);
    assert!(!body.to_string().contains("canary"));
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

pub(crate) fn challenges(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

pub(crate) fn validation(parts: &Parts) -> &Validation {
    Validation::from_extensions(&parts.extensions).unwrap()
}

/// Returns how sure the layer was about the user and the service.
pub(crate) fn statuses(parts: &Parts) -> (IdentityStatus, IdentityStatus) {
    (validation(parts).status(), validation(parts).service_status())
}

/// Returns the name of the confirmed user.
pub(crate) fn username(parts: &Parts) -> Option<&str> {
    Caller::from_extensions(&parts.extensions).ok()?.access_info().username()
}
