use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::block_in_place,
    time::{sleep, timeout},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, retry::Retry};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, Auth, AuthLayer, AuthMethod, Credentials, EndpointFilter,
    GenericCredentials, IdentityPlugin, Interface, ReauthPolicy, RenewalPolicy, Scope, Transport, User,
    V3Credentials,
};

pub(crate) type Body = Full<Bytes>;

/// The running services. They stop when this process ends, because it holds the pipe of their standard input.
pub(crate) struct Real {
    told: Value,
    mortal: Mutex<Mortal>,
    _services: Child,
}

/// Returns the services, which the first call starts, or `None` if these tests are skipped.
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
    let input = services.stdin.take().expect("it is piped");
    let output = BufReader::new(services.stdout.take().expect("it is piped"));
    let mut mortal = Mortal { input, output };
    Real { told: mortal.answer(), mortal: Mutex::new(mortal), _services: services }
}

/// The Keystone that can be killed, and restarted on the same port. Its tokens have a lifetime of 10 s.
///
/// It is controlled through the standard input of boot.py, which documents the commands.
pub(crate) struct Mortal {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Mortal {
    /// Starts the Keystone, waits until it responds, and returns its auth_url.
    pub(crate) fn start(&mut self) -> Uri {
        self.tell("start")["auth_url"].as_str().expect("it was not running").parse().expect("a URL")
    }

    /// Kills the Keystone. Its port then refuses connections.
    pub(crate) fn kill(&mut self) {
        assert_eq!(self.tell("kill"), json!({}));
    }

    fn tell(&mut self, command: &str) -> Value {
        block_in_place(|| {
            writeln!(self.input, "{command}").expect("boot.py listens");
            self.answer()
        })
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its output is text");
        serde_json::from_str(&line).expect("boot.py answers in JSON; its errors are above")
    }
}

impl Real {
    /// Returns a value that boot.py tells, such as `password`.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.told[name].as_str().expect("boot.py says it")
    }

    pub(crate) fn auth_url(&self) -> Uri {
        self.text("auth_url").parse().expect("a URL")
    }

    /// Returns the auth_url of the Keystone whose tokens have a lifetime of 6 s.
    pub(crate) fn short_auth_url(&self) -> Uri {
        self.text("short_auth_url").parse().expect("a URL")
    }

    pub(crate) fn placement_url(&self) -> &str {
        self.text("placement_url")
    }

    /// Returns the Keystone that can be killed. Only one test can use it at a time.
    pub(crate) async fn mortal(&self) -> MutexGuard<'_, Mortal> {
        self.mortal.lock().await
    }

    pub(crate) fn project_scope(&self) -> Scope {
        Scope::new()
            .project_name(self.text("project_name"))
            .project_domain_name(self.text("project_domain_name"))
    }

    /// Returns the credentials of the administrator, scoped to their project.
    pub(crate) fn credentials(&self, auth_url: Uri) -> V3Credentials {
        V3Credentials::new(auth_url, AuthMethod::password(self.user(), self.text("password")))
            .scope(self.project_scope())
    }

    /// Returns the same credentials, for the Identity API version that Keystone offers.
    pub(crate) fn generic_credentials(&self, auth_url: Uri) -> GenericCredentials {
        GenericCredentials::password(auth_url, self.user(), self.text("password")).scope(self.project_scope())
    }

    fn user(&self) -> User {
        User::new().username(self.text("username")).user_domain_name(self.text("user_domain_name"))
    }

    /// Returns an HTTP client that belongs to the runtime of the test.
    pub(crate) fn client(&self) -> Client {
        Client::new()
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::new(self.client())
    }

    /// Logs in as the administrator with this scope.
    pub(crate) async fn token(&self, scope: Scope) -> AccessInfo {
        let credentials = self.credentials(self.auth_url()).scope(scope);
        credentials.get_auth_ref(self.transport()).await.expect("Keystone gives a token")
    }

    /// Logs in as this person.
    pub(crate) async fn login(&self, person: &Person) -> AccessInfo {
        self.login_with(&person.credentials(self.auth_url())).await
    }

    pub(crate) async fn login_with(&self, credentials: &V3Credentials) -> AccessInfo {
        credentials.get_auth_ref(self.transport()).await.expect("Keystone gives a token")
    }

    /// Logs in as this person, to call Keystone.
    pub(crate) async fn caller(&self, person: &Person) -> Caller {
        Caller(self.openstack(&self.login(person).await))
    }

    /// Returns the administrator, to call Keystone.
    pub(crate) async fn admin(&self) -> Caller {
        Caller(self.openstack(&self.token(self.project_scope()).await))
    }

    /// Returns the services, called with this token.
    pub(crate) fn openstack(&self, access_info: &AccessInfo) -> Auth<AccessInfoPlugin, Client> {
        let plugin = AccessInfoPlugin::new(access_info.clone()).auth_url(self.auth_url());
        AuthLayer::new(plugin).layer(self.client())
    }

    /// Returns Placement, with a retry if it rejects a token that can be renewed.
    pub(crate) fn placement<P: IdentityPlugin>(
        &self,
        plugin: P,
    ) -> Retry<ReauthPolicy<Body>, Auth<P, Client>> {
        placement(plugin)
    }
}

/// Returns Placement, with a retry if it rejects a token that can be renewed.
pub(crate) fn placement<P: IdentityPlugin>(plugin: P) -> Retry<ReauthPolicy<Body>, Auth<P, Client>> {
    ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("placement")))
        .service(Client::new())
}

pub(crate) fn keystone() -> EndpointFilter {
    EndpointFilter::default().interface(Interface::Auth)
}

/// Returns a request that Placement accepts from an administrator of any project.
pub(crate) fn providers() -> Request<Body> {
    Request::get("/resource_providers").body(body_of("")).expect("a request")
}

/// Returns a policy for tokens with a lifetime of seconds, many of which are rejected.
pub(crate) fn hasty() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.min_renewal_interval = Duration::ZERO;
    policy.max_rejections = usize::MAX;
    policy
}

/// A client of the Keystone API with a token.
pub(crate) struct Caller(pub(crate) Auth<AccessInfoPlugin, Client>);

impl Caller {
    /// Sends a request that must succeed. Returns the response body, or null if it is empty.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_to_ask(method, path, &body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    async fn try_to_ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .extension(keystone())
            .body(body_of(&if body.is_null() { String::new() } else { body.to_string() }))
            .expect("a request");
        let response = self.0.clone().oneshot(request).await.expect("Keystone answers");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        let answer = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        (status, answer)
    }

    /// Creates an application credential of this person, who must be the caller. Returns its id, or `None` if Keystone
    /// rejects it five times.
    ///
    /// Keystone caches role assignments. If a role is granted during a lookup, Keystone can cache that there is no
    /// role, until the next role is granted.
    pub(crate) async fn application_credential(
        &self,
        admin: &Self,
        person: &Person,
        fields: Value,
    ) -> Option<String> {
        let path = format!("/users/{}/application_credentials", person.id);
        let wanted = json!({"application_credential": fields});
        for _ in 0..5 {
            let (status, answer) = self.try_to_ask(Method::POST, &path, &wanted).await;
            if status != StatusCode::BAD_REQUEST {
                assert!(status.is_success(), "{path}: {status} {answer}");
                return answer["application_credential"]["id"].as_str().map(str::to_owned);
            }
            admin.grant(&format!("projects/{}", person.project_id), person, person.role).await;
        }
        None
    }

    /// Creates a resource and returns its id.
    pub(crate) async fn create(&self, path: &str, kind: &str, fields: Value) -> String {
        let created = self.ask(Method::POST, path, json!({kind: fields})).await;
        created[kind]["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn role_id(&self, role: &str) -> String {
        let found = self.ask(Method::GET, &format!("/roles?name={role}"), Value::Null).await;
        found["roles"][0]["id"].as_str().expect("a role of this name").to_owned()
    }

    /// Grants the user this role on a project, a domain or the system.
    pub(crate) async fn grant(&self, on: &str, user: &Person, role: &str) {
        let role = self.role_id(role).await;
        let path = format!("/{on}/users/{}/roles/{role}", user.id);
        self.ask(Method::PUT, &path, Value::Null).await;
    }

    /// Creates a project, and a user with this role whose default project it is, for one test.
    pub(crate) async fn person(&self, role: &'static str) -> Person {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("person-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let project = json!({"name": name, "domain_id": "default"});
        let project_id = self.create("/projects", "project", project).await;
        let user = json!({
            "name": name,
            "password": PASSWORD,
            "domain_id": "default",
            "default_project_id": project_id,
        });
        let id = self.create("/users", "user", user).await;
        let person = Person { id, name, project_id, role };
        self.grant(&format!("projects/{}", person.project_id), &person, role).await;
        person
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.ask(Method::DELETE, path, Value::Null).await;
    }

    /// Revokes this token.
    pub(crate) async fn revoke(&self, token: &str) {
        let request = Request::delete("/auth/tokens")
            .header("x-subject-token", token)
            .extension(keystone())
            .body(body_of(""))
            .expect("a request");
        let response = self.0.clone().oneshot(request).await.expect("Keystone answers");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    /// Updates a user in Keystone.
    pub(crate) async fn update(&self, person: &Person, fields: Value) {
        self.ask(Method::PATCH, &format!("/users/{}", person.id), json!({"user": fields})).await;
    }
}

pub(crate) const PASSWORD: &str = "of-a-test";

/// A user that was created for one test.
pub(crate) struct Person {
    pub(crate) id: String,
    /// Name of both the user and their project.
    pub(crate) name: String,
    pub(crate) project_id: String,
    role: &'static str,
}

impl Person {
    pub(crate) fn user(&self) -> User {
        User::new().user_id(&*self.id)
    }

    pub(crate) fn password(&self) -> AuthMethod {
        AuthMethod::password(self.user(), PASSWORD)
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::new().project_id(&*self.project_id)
    }

    /// Returns the password credentials of the user, scoped to their project.
    pub(crate) fn credentials(&self, auth_url: Uri) -> V3Credentials {
        V3Credentials::new(auth_url, self.password()).scope(self.scope())
    }
}

pub(crate) fn is_past(time: SystemTime) -> bool {
    SystemTime::now() >= time
}

/// Waits until this time has passed by the system clock, which Keystone uses too.
pub(crate) async fn past(time: SystemTime) {
    while let Ok(left) = time.duration_since(SystemTime::now()) {
        sleep(left + Duration::from_millis(1)).await;
    }
}

/// Waits one second, so that the next token is not revoked by an earlier event. Keystone stores revocations in whole
/// seconds, and they also revoke tokens that are issued in the same second.
pub(crate) async fn next_second() {
    past(SystemTime::now() + Duration::from_secs(1)).await;
}

/// Waits until the condition is true.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(600), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// An HTTP client that counts its requests.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Body>,
    sent: Arc<AtomicUsize>,
}

impl Client {
    pub(crate) fn new() -> Self {
        // Connections are not reused, because the server can close an idle one just before the next request.
        let inner = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { inner, sent: Arc::default() }
    }

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
