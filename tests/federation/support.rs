use std::{
    env, fs,
    future::Future,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};
use tower_keystone::{
    BoxError, HttpsClient, Scope, Transport,
    federation::{IdentityProvider, OidcClient},
};
use url::form_urlencoded;

/// The running servers. They stop when this process ends, because it holds the pipe of their standard input.
pub(crate) struct Stack {
    facts: Value,
    _servers: Child,
}

/// Returns the servers, which the first call starts, or `None` if these tests are not wanted.
pub(crate) fn stack() -> Option<&'static Stack> {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    let wanted = || match env::var("TOWER_KEYSTONE_FEDERATION").as_deref() {
        Ok("real") => Some(boot(&[])),
        Ok("kerberos") => Some(boot(&["--kerberos"])),
        Ok(other) => panic!("TOWER_KEYSTONE_FEDERATION is {other}, not `real` or `kerberos`"),
        Err(_) => None,
    };
    STACK.get_or_init(wanted).as_ref()
}

fn boot(arguments: &[&str]) -> Stack {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/federation/stack/boot.py");
    let mut servers = Command::new("python3")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut line = String::new();
    BufReader::new(servers.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("its output is text");
    let facts = serde_json::from_str(&line).expect("boot.py writes JSON; its errors are above");
    Stack { facts, _servers: servers }
}

impl Stack {
    /// Returns a fact that boot.py writes, such as `project_id`.
    pub(crate) fn fact(&self, name: &str) -> &Value {
        self.optional_fact(name).unwrap_or_else(|| panic!("boot.py writes no {name}"))
    }

    pub(crate) fn optional_fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name).filter(|fact| !fact.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.fact(name).as_str().expect("it is a string")
    }

    pub(crate) fn url(&self, name: &str) -> Uri {
        self.text(name).parse().expect("a URL")
    }

    /// Returns the identity provider of OpenID Connect at a Keystone, such as `auth_url`.
    pub(crate) fn identity_provider(&self, keystone: &str) -> IdentityProvider {
        IdentityProvider::new(self.url(keystone), "op", "openid")
    }

    /// Returns a client of the OpenID provider.
    pub(crate) fn oidc_client(&self, name: &str) -> OidcClient {
        let client = OidcClient::new(name).discovery_endpoint(self.url("discovery_endpoint"));
        match self.client_secret(name) {
            Some(secret) => client.secret(secret),
            None => client,
        }
    }

    /// Returns the scope of the project of all groups.
    pub(crate) fn project(&self) -> Scope {
        Scope::new().project_id(self.text("project_id"))
    }

    /// Returns the URL of the federated logins of a Keystone, such as `auth_url`.
    pub(crate) fn federated(&self, keystone: &str, provider: &str, protocol: &str) -> String {
        let v3 = self.text(keystone);
        format!("{v3}/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/auth")
    }

    /// Returns the secret of a client of the OpenID provider, or `None` for a public one.
    pub(crate) fn client_secret(&self, client: &str) -> Option<&str> {
        self.fact("clients")[client].as_str()
    }

    /// Returns a certificate (`.crt`) or a key (`.key`).
    pub(crate) fn key_file(&self, name: &str) -> PathBuf {
        Path::new(self.text("keys")).join(name)
    }

    /// Returns an HTTP client without a certificate. It belongs to the runtime of the test.
    pub(crate) fn client(&self) -> Client {
        self.client_with(None)
    }

    /// Returns an HTTP client with this certificate: `client`, `stranger`, `tokenless` or `foreign`.
    pub(crate) fn client_with(&self, certificate: impl Into<Option<&'static str>>) -> Client {
        // Connections are not reused, because the server can close an idle one just before the next request.
        let mut builder = HttpsClient::builder()
            .without_proxy()
            .ca_file(self.key_file("ca.crt"))
            .pool_idle_timeout(Duration::ZERO);
        if let Some(name) = certificate.into() {
            let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
            builder = builder.client_certificate(self.key_file(&certificate), Some(self.key_file(&key)));
        }
        Client { inner: builder.build().expect("the files are there"), sent: Arc::default() }
    }

    /// Returns the token endpoint's answer to these form fields. A client with a secret sends it by Basic.
    pub(crate) async fn provider_token(&self, client: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask_provider("/token", client, fields).await
    }

    /// Revokes an access token or a refresh token at the provider.
    pub(crate) async fn revoke_at_provider(&self, client: &str, token: &str) {
        let answer = self.ask_provider("/token/revocation", client, &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    pub(crate) async fn ask_provider(&self, path: &str, client: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut request = Request::post(format!("{}{path}", self.text("issuer")))
            .header("content-type", "application/x-www-form-urlencoded");
        match self.client_secret(client) {
            Some(secret) => {
                let basic = STANDARD.encode(format!("{client}:{secret}"));
                request = request.header("authorization", format!("Basic {basic}"));
            }
            None => {
                form.append_pair("client_id", client);
            }
        }
        self.client().ask(request, form.finish()).await
    }

    /// Returns a new token of the administrator of this Keystone.
    async fn admin_token(&self, keystone: &str) -> String {
        let domain = json!({"id": "default"});
        let user = json!({"name": "admin", "password": self.text("admin_password"), "domain": domain});
        let scope = json!({"project": {"name": "admin", "domain": domain}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let request = Request::post(format!("{}/auth/tokens", self.text(keystone)))
            .header("content-type", "application/json");
        let body = json!({"auth": {"identity": identity, "scope": scope}}).to_string();
        let answer = self.client().ask(request, body).await;
        answer.subject_token().to_owned()
    }

    /// Sends a request of the administrator, which must succeed, and returns its body.
    pub(crate) async fn admin(&self, keystone: &str, method: Method, path: &str, body: Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.text(keystone)))
            .header("content-type", "application/json")
            .header("x-auth-token", self.admin_token(keystone).await);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client().ask(request, body).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        serde_json::from_str(&answer.text).unwrap_or_default()
    }

    /// Revokes a token of the service provider, that is the Keystone at `auth_url` and `short_auth_url`.
    pub(crate) async fn revoke(&self, token: &str) {
        self.revoke_at("auth_url", token).await;
    }

    /// Revokes a token at this Keystone.
    pub(crate) async fn revoke_at(&self, keystone: &str, token: &str) {
        let request = Request::delete(format!("{}/auth/tokens", self.text(keystone)))
            .header("x-auth-token", self.admin_token(keystone).await)
            .header("x-subject-token", token);
        let answer = self.client().ask(request, "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }
}

/// Returns the path of a file of the test, with this content.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("federation-{name}"));
    fs::write(&path, content).expect("it can be written");
    path
}

/// A response with its whole body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let Some(value) = self.headers.get(name) else { panic!("no {name}: {} {}", self.status, self.text) };
        value.to_str().expect("text")
    }

    pub(crate) fn subject_token(&self) -> &str {
        self.header("x-subject-token")
    }
}

/// An HTTP client that remembers its requests. Clones share them.
#[derive(Clone)]
pub(crate) struct Client {
    inner: HttpsClient,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Client {
    pub(crate) fn transport(&self) -> Transport {
        Transport::new(self.clone())
    }

    /// Returns the requests since the last call, such as `POST /v3/auth/tokens 201`, in the order of their responses.
    pub(crate) fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// Sends a request, and returns its response.
    pub(crate) async fn ask(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
        let request = request.body(Full::new(body.into())).expect("a request");
        let response = self.clone().oneshot(request).await.expect("the server responds");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(body.into()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

type Body = Full<Bytes>;

impl Service<Request<Body>> for Client {
    type Response = <HttpsClient as Service<Request<Body>>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let what = format!("{} {}", request.method(), request.uri().path());
        let (sent, response) = (self.sent.clone(), self.inner.call(request));
        Box::pin(async move {
            let response: Response<_> = response.await?;
            sent.lock().unwrap().push(format!("{what} {}", response.status().as_u16()));
            Ok(response)
        })
    }
}
