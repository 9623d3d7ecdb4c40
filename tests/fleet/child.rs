//! A process of the fleet: makes requests when the test says so, and tells how they ended.

use std::{
    env,
    io::{self, BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, AuthMethod, AuthRefFuture, Credentials, EndpointFilter, ReauthPolicy, RenewingPlugin, Scope,
    Transport, User, V3Credentials,
};

use crate::place;

/// The variable that makes the test program a process of the fleet. Its value is the settings, in JSON.
pub(crate) const VARIABLE: &str = "TOWER_KEYSTONE_FLEET";

/// Writes a line to the test.
fn tell(line: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()).expect("the test reads");
}

/// Credentials that tell the test when a login begins.
struct Told {
    credentials: V3Credentials,
    logins: Arc<AtomicUsize>,
}

impl Credentials for Told {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.logins.fetch_add(1, Ordering::Relaxed);
        tell("login");
        self.credentials.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.credentials.cache_id()
    }

    fn can_lock_account(&self) -> bool {
        self.credentials.can_lock_account()
    }
}

/// Runs until its standard input ends.
///
/// Each line is a command: `get N` makes N requests to the compute service, one after another, and is answered by
/// `done SUCCEEDED LONGEST_MS LOGINS`.
pub(crate) fn run() {
    let settings: Value = serde_json::from_str(&env::var(VARIABLE).unwrap()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let logins = Arc::new(AtomicUsize::new(0));
    let password = settings["password"].as_str().unwrap();
    let credentials = credentials(settings["auth_url"].as_str().unwrap(), password);
    let credentials = Told { credentials, logins: Arc::clone(&logins) };
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(HttpConnector::new());
    let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
    let answer_timeout = Duration::from_millis(settings["answer_timeout"].as_u64().unwrap());
    let plugin = {
        let _entered = runtime.enter();
        plugin.store(place::open(&settings["store"], answer_timeout))
    };
    let mut nova = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(client);
    tell("ready");
    for command in io::stdin().lock().lines() {
        let command = command.unwrap();
        let count = command.strip_prefix("get ").unwrap().parse().unwrap();
        let (succeeded, longest) = get(&runtime, &mut nova, count);
        tell(format!("done {succeeded} {longest} {}", logins.load(Ordering::Relaxed)));
    }
}

/// Creates the credentials of all processes.
pub(crate) fn credentials(auth_url: &str, password: &str) -> V3Credentials {
    let alice = User::new().username("alice").user_domain_name("Default");
    V3Credentials::new(auth_url.parse::<Uri>().unwrap(), AuthMethod::password(alice, password))
        .scope(Scope::new().project_name("demo").project_domain_name("Default"))
}

/// Makes requests. Returns how many succeeded, and the milliseconds that the longest took.
fn get<S, R, E>(runtime: &Runtime, nova: &mut S, count: usize) -> (usize, u128)
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<R>, Error = E>,
    E: std::fmt::Debug,
{
    let (mut succeeded, mut longest) = (0, 0);
    for _ in 0..count {
        let request = Request::get("/servers").body(Full::default()).unwrap();
        let started_at = Instant::now();
        let response = runtime.block_on(async { nova.ready().await?.call(request).await });
        longest = longest.max(started_at.elapsed().as_millis());
        match response {
            Ok(response) if response.status() == 200 => succeeded += 1,
            Ok(response) => tell(format!("lost {}", response.status())),
            Err(error) => tell(format!("lost {error:?}")),
        }
    }
    (succeeded, longest)
}
