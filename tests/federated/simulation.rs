//! Random hours of federated logins, in which steps fail, responses are late and tokens are revoked.
//!
//! The clock is paused. A failed assertion names its seed: `SIMULATION_SEED=… cargo test … random_hours`.

use std::{
    collections::HashSet,
    env,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tower::service_fn;
use tower_keystone::{
    BoxError, Error, IdentityPlugin, RenewingPlugin, Transport,
    endpoint::Origin,
    federation::{FederatedCredentials, Grant},
};

use crate::{
    cloud::{TestCloud, project},
    stores::Connection,
};

/// How long after the last fault requests succeed for certain.
const CALM: Duration = Duration::from_secs(120);

type Plugin = RenewingPlugin<FederatedCredentials>;

struct Simulation {
    seed: u64,
    rng: fastrand::Rng,
    cloud: TestCloud,
    network: Network,
    connections: Vec<Connection>,
    plugins: Vec<Plugin>,
    token_lifetime: Duration,
    started_at: Instant,
    /// When the last fault ended.
    calm_since: Instant,
    revoked_at: Instant,
    /// How many logins the events can have caused.
    max_logins: u64,
}

/// What goes on between the plugins and the servers.
#[derive(Clone)]
struct Network(Arc<Mutex<State>>);

struct State {
    rng: fastrand::Rng,
    /// The share of requests with a fault, and until when.
    faults: (f64, Instant),
    max_delay: Duration,
    logins: u64,
    /// The refresh tokens that were replaced.
    replaced: HashSet<String>,
    violations: Vec<String>,
}

enum Fault {
    None,
    Unavailable,
    NoConnection,
    /// The response is late.
    Late(Duration),
}

impl Network {
    fn fault(&self) -> Fault {
        let State { rng, faults, max_delay, .. } = &mut *self.0.lock().unwrap();
        if Instant::now() >= faults.1 || rng.f64() >= faults.0 {
            return Fault::None;
        }
        match rng.u8(..3) {
            0 => Fault::Unavailable,
            1 => Fault::NoConnection,
            _ => Fault::Late(max_delay.mul_f64(rng.f64())),
        }
    }

    /// Notes a request to the token endpoint.
    fn note_request(&self, body: &str) {
        let mut state = self.0.lock().unwrap();
        state.logins += 1;
        if let Some(token) = refresh_token_of_form(body)
            && state.replaced.contains(&token)
        {
            state.violations.push(format!("{token} was used after it was replaced"));
        }
    }

    fn note_response(&self, request: &str, response: &Response<Bytes>) {
        let has_new = response.status() == StatusCode::OK
            && String::from_utf8_lossy(response.body()).contains("\"refresh_token\"");
        if let Some(token) = refresh_token_of_form(request).filter(|_| has_new) {
            self.0.lock().unwrap().replaced.insert(token);
        }
    }

    fn transport(&self, cloud: &TestCloud) -> Transport {
        let (this, cloud) = (self.clone(), cloud.cloud.clone());
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let (this, cloud) = (this.clone(), cloud.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let form = String::from_utf8_lossy(&body).into_owned();
                let is_login = parts.uri.path().ends_with("/token");
                let fault = this.fault();
                match fault {
                    Fault::Unavailable => {
                        return Ok(Response::builder().status(503).body(Full::default())?);
                    }
                    Fault::NoConnection => return Err(BoxError::from("no connection")),
                    _ => {}
                }
                if is_login {
                    this.note_request(&form);
                }
                let response = cloud.transport().send(Request::from_parts(parts, body)).await?;
                if is_login {
                    this.note_response(&form, &response);
                }
                if let Fault::Late(delay) = fault {
                    sleep(delay).await;
                }
                Ok::<_, BoxError>(response.map(Full::new))
            }
        }))
    }
}

fn refresh_token_of_form(body: &str) -> Option<String> {
    let field = |pair: &str| pair.strip_prefix("refresh_token=").map(str::to_owned);
    body.split('&').find_map(field)
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let cloud = TestCloud::new();
        let token_lifetime = Duration::from_secs([40, 60, 300, 3600][rng.usize(..4)]);
        cloud.cloud.keystone().set_token_lifetime(token_lifetime);
        let now = Instant::now();
        let network = Network(Arc::new(Mutex::new(State {
            rng: rng.fork(),
            faults: (0.0, now),
            max_delay: Duration::from_secs([1, 8, 25][rng.usize(..3)]).min(token_lifetime / 4),
            logins: 0,
            replaced: HashSet::new(),
            violations: Vec::new(),
        })));
        let has_store = rng.bool();
        let login = rng.u8(..4);
        // Without a store, only one process can use a refresh token.
        let processes = if has_store { rng.usize(1..=4) } else { 1 };
        let processes = if login == 3 { 1 } else { processes };
        let first = cloud.log_in("alice", cloud.client("cli")).await.refresh_token().unwrap().clone();
        let first_connection = Connection::default();
        let (mut plugins, mut connections) = (Vec::new(), Vec::new());
        let scopes = rng.usize(1..=3);
        let is_unscoped = rng.u8(..4) == 0;
        for _ in 0..processes {
            let connection = first_connection.other();
            let tokens = connection.tokens();
            let credentials = match login {
                0 => cloud.robot(),
                1 => cloud.password("alice", "wonderland"),
                2 => FederatedCredentials::new(
                    cloud.provider(),
                    Grant::refresh_token(cloud.client("cli"), first.clone()),
                ),
                _ => cloud.log_in("alice", cloud.client("cli")).await.into_credentials(),
            };
            let credentials = if has_store { credentials.store(tokens.clone()) } else { credentials };
            for scope in 0..scopes {
                let credentials = match scope {
                    0 if is_unscoped => credentials.clone(),
                    1 => credentials.clone().scope(project("two")),
                    _ => credentials.clone().scope(project("one")),
                };
                let plugin = RenewingPlugin::new(credentials, network.transport(&cloud))
                    .clock(cloud.cloud.keystone().clock())
                    .seed(rng.u64(..));
                plugins.push(if has_store { plugin.store(tokens.clone()) } else { plugin });
            }
            connections.push(connection);
        }
        Self {
            seed,
            rng,
            cloud,
            network,
            connections,
            plugins,
            token_lifetime,
            started_at: now,
            calm_since: now,
            revoked_at: now,
            max_logins: 0,
        }
    }

    async fn run(mut self) {
        let end = Instant::now() + (self.token_lifetime * 12).max(Duration::from_secs(3600));
        while Instant::now() < end {
            let pause = self.token_lifetime.mul_f64(self.rng.f64() / 8.0).max(Duration::from_millis(200));
            sleep(pause).await;
            self.happens();
            self.request().await;
            self.check();
        }
        let Self { plugins, connections, .. } = self;
        drop((plugins, connections));
        sleep(Duration::from_secs(20 * 60)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "seed {}: tasks are left", self.seed);
    }

    /// Lets something happen, or nothing.
    fn happens(&mut self) {
        let now = Instant::now();
        let is_calm = now >= self.calm_since + CALM;
        let plugin_count = self.plugins.len() as u64;
        match self.rng.u8(..24) {
            0 | 1 if is_calm => {
                let time = Duration::from_secs(self.rng.u64(1..240));
                self.calm_since = now + time;
                let mut state = self.network.0.lock().unwrap();
                state.faults = (if state.rng.bool() { 1.0 } else { 0.4 }, now + time);
                self.max_logins += (time.as_secs() + CALM.as_secs()) * plugin_count;
            }
            2 if is_calm => {
                // The store is away for all, not as long as a lease lasts.
                let time = Duration::from_secs(self.rng.u64(1..40));
                self.calm_since = now + time;
                for connection in self.connections.clone() {
                    connection.cut_off(true);
                    tokio::spawn(async move {
                        sleep(time).await;
                        connection.cut_off(false);
                    });
                }
                self.max_logins += (time.as_secs() + CALM.as_secs()) * plugin_count;
            }
            3 if is_calm && now >= self.revoked_at + CALM => {
                self.revoked_at = now;
                self.cloud.cloud.keystone().revoke_all();
                self.max_logins += 3 * plugin_count;
            }
            4 => {
                let plugin = self.rng.choice(&self.plugins).unwrap().clone();
                self.max_logins += 1;
                tokio::spawn(async move { plugin.renew().await.map(drop) });
            }
            5 => {
                self.rng.choice(&self.plugins).unwrap().reset();
                self.max_logins += 1;
            }
            _ => {}
        }
    }

    /// Sends requests with some of the plugins. Some of them are dropped.
    async fn request(&mut self) {
        let mut tasks = Vec::new();
        for plugin in self.plugins.clone() {
            for _ in 0..self.rng.usize(..3) {
                let (cloud, plugin) = (self.cloud.clone(), plugin.clone());
                let patience = match self.rng.u8(..5) {
                    0 => Duration::from_millis(self.rng.u64(..3000)),
                    _ => Duration::MAX,
                };
                let task = async move { timeout(patience, send(&cloud, &plugin)).await };
                tasks.push((tokio::spawn(task), Instant::now()));
            }
        }
        for (task, started_at) in tasks {
            let Ok(result) = task.await.unwrap() else { continue };
            let is_calm = started_at >= self.calm_since + CALM;
            let time = Instant::now() - self.started_at;
            match result {
                Ok(true) => {}
                Ok(false) if !is_calm => {}
                Err(error) if !is_calm && error.is_transient() => {}
                other => panic!("seed {}, after {time:?}: {other:?}", self.seed),
            }
        }
    }

    fn check(&self) {
        let state = self.network.0.lock().unwrap();
        assert!(state.violations.is_empty(), "seed {}: {:?}", self.seed, state.violations);
        let lifetimes = self.started_at.elapsed().as_secs() / (self.token_lifetime.as_secs() / 2).max(10) + 1;
        let max_logins = self.max_logins + (lifetimes + 1) * self.plugins.len() as u64;
        assert!(state.logins <= max_logins, "seed {}: {} of {max_logins} logins", self.seed, state.logins);
    }
}

/// Sends a request, and another one if the service rejects the token. Returns whether the token is valid.
async fn send(cloud: &TestCloud, plugin: &Plugin) -> Result<bool, Error> {
    let service = Origin::from_uri(&"https://nova.example.com".parse().unwrap()).unwrap();
    for _ in 0..3 {
        let access = plugin.access().await?;
        if cloud.cloud.keystone().validate(access.auth_ref().unwrap().auth_token().unwrap()) {
            return Ok(true);
        }
        if !plugin.invalidate(&access, &service) {
            return Ok(false);
        }
    }
    Ok(false)
}

#[test]
fn random_hours() {
    let (first, count) = match env::var("SIMULATION_SEED") {
        Ok(seed) => (seed.parse().unwrap(), 1),
        Err(_) => (1, env::var("SIMULATION_SEEDS").map_or(12, |count| count.parse().unwrap())),
    };
    for seed in first..first + count {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { Simulation::new(seed).await.run().await });
    }
}
