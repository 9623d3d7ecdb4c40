use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};
use tower_keystone::{AccessInfo, AuthMethod, GenericAuth, Scope, User, V3Auth};

type Body = Full<Bytes>;

/// The running services. They end when this process does: their standard input is a pipe from here.
pub(crate) struct Real {
    told: Value,
    _services: Child,
}

/// The services, booted by the first test that asks; `None` if they are not wanted.
pub(crate) fn real() -> Option<&'static Real> {
    static REAL: OnceLock<Real> = OnceLock::new();
    if env::var_os("TOWER_KEYSTONE_NO_CLOUD").is_some() {
        return None;
    }
    Some(REAL.get_or_init(boot))
}

fn boot() -> Real {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cloud/boot.py");
    let mut services = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts; TOWER_KEYSTONE_NO_CLOUD=1 does without");
    let mut line = String::new();
    let output = services.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("its output is text");
    let told =
        serde_json::from_str(&line).expect("boot.py says where the services are; its errors are above");
    Real { told, _services: services }
}

impl Real {
    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().expect("boot.py says it")
    }

    pub(crate) fn auth_url(&self) -> Uri {
        self.text("auth_url").parse().expect("a URL")
    }

    pub(crate) fn placement_url(&self) -> &str {
        self.text("placement_url")
    }

    pub(crate) fn project_scope(&self) -> Value {
        let domain = json!({"name": self.text("project_domain_name")});
        json!({"project": {"name": self.text("project_name"), "domain": domain}})
    }

    /// Where tokens are issued that live for 6 s.
    pub(crate) fn short_auth_url(&self) -> Uri {
        self.text("short_auth_url").parse().expect("a URL")
    }

    /// The credentials of the administrator in their project.
    pub(crate) fn credentials(&self, auth_url: Uri) -> V3Auth {
        V3Auth::new(auth_url, AuthMethod::password(self.user(), self.text("password"))).scope(self.scope())
    }

    /// The same for whichever version there is.
    pub(crate) fn generic_credentials(&self, auth_url: Uri) -> GenericAuth {
        GenericAuth::password(auth_url, self.user(), self.text("password")).scope(self.scope())
    }

    fn user(&self) -> User {
        User::new().username(self.text("username")).user_domain_name(self.text("user_domain_name"))
    }

    fn scope(&self) -> Scope {
        Scope::new()
            .project_name(self.text("project_name"))
            .project_domain_name(self.text("project_domain_name"))
    }

    /// A client of this test's runtime.
    pub(crate) fn client(&self) -> Client {
        // No connection is kept: one that the server is about to close would fail the next request.
        let inner = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Client { inner, sent: Arc::default() }
    }

    /// A token of the administrator with this scope.
    pub(crate) async fn token(&self, scope: &Value) -> AccessInfo {
        let user = json!({
            "name": self.text("username"),
            "password": self.text("password"),
            "domain": {"name": self.text("user_domain_name")},
        });
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": scope,
        }});
        let request = Request::post(format!("{}/auth/tokens", self.auth_url()))
            .header("content-type", "application/json")
            .body(body_of(&body.to_string()))
            .expect("a request");
        let response = self.client().oneshot(request).await.expect("Keystone answers");
        assert_eq!(response.status(), StatusCode::CREATED);
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        AccessInfo::from_response(&headers, body).expect("a token document")
    }
}

/// An HTTP client that counts what it sends.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Body>,
    sent: Arc<AtomicUsize>,
}

impl Client {
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

pub(crate) fn body_of(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) async fn json_of(response: Response<Incoming>) -> Value {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
