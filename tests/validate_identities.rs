//! Two hundred users share a service with a tiny cache, while tokens are revoked, expire, are rejected by other services
//! and Keystone fails. Each request has the identity of its own user, or none.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, Caller, EndpointFilter, IdentityStatus, Transport,
    ValidateTokenLayer, Validation,
    renewal::{Clock, Now},
};

const USERS: u64 = 200;
const REQUESTS: u64 = 50;

/// A clock that goes on as tokio's does, from 2027-01-15T08:00:00Z.
#[derive(Clone, Copy)]
struct TestClock(Instant);

impl TestClock {
    fn seconds(self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Now::new(start + self.0.elapsed(), Instant::now().into_std())
    }
}

/// A token is `OWNER.NUMBER`. Those of each tenth number are unknown, and each seventh one is revoked after a minute.
#[derive(Clone)]
struct Keystone {
    clock: TestClock,
    counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Keystone {
    fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    async fn respond(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        assert_eq!(request.headers()["x-auth-token"], "own.1");
        let token = request.headers()["x-subject-token"].to_str()?.to_owned();
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
        let (owner, number) = token.split_once('.').ok_or("not a token")?;
        let number: u64 = number.parse()?;
        let status = |code| Ok(Response::builder().status(code).body(Full::default())?);
        if fastrand::u8(..20) == 0 || self.clock.seconds() % 40 < 4 {
            self.count("outage");
            return match fastrand::u8(..3) {
                0 => status(503),
                1 => status(401),
                _ => Err("broken".into()),
            };
        }
        if number.is_multiple_of(10) || (number.is_multiple_of(7) && self.clock.seconds() > 60) {
            self.count("unknown");
            return status(404);
        }
        self.count("valid");
        let document = document(owner, number);
        Ok(Response::new(Full::new(json!({ "token": document }).to_string().into())))
    }
}

fn document(owner: &str, number: u64) -> Value {
    let minute = number % 5;
    let role = if owner.starts_with("service") { "service" } else { "member" };
    let url = format!("https://nova.example.com/{owner}");
    json!({
        "user": {"id": format!("id-{owner}"), "name": owner, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": format!("p-{owner}"), "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r", "name": role}],
        "audit_ids": [format!("{owner}.{number}")],
        "expires_at": format!("2027-01-15T08:0{minute}:30Z"),
        "catalog": [
            {"type": "identity", "endpoints": [{"interface": "internal", "url": "https://keystone.example.com/v3"}]},
            {"type": "compute", "endpoints": [{"interface": "public", "url": url}]},
        ],
    })
}

/// Checks that the identity of a request is that of its sender, and uses it.
async fn handle(request: Request<()>, keystone: Keystone) -> Result<Response<Bytes>, Infallible> {
    let sender = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (user, service) = (sender("x-sender").unwrap(), sender("x-sending-service"));
    let validation = Validation::from_extensions(request.extensions()).unwrap();
    if let Some(confirmed) = validation.service() {
        assert_eq!(confirmed.username(), service.as_deref(), "the service of another request");
    }
    let Ok(caller) = Caller::from_extensions(request.extensions()) else {
        assert_ne!(validation.status(), IdentityStatus::Confirmed);
        keystone.count("let through without a user");
        return Ok(Response::new(Bytes::new()));
    };
    let caller = caller.clone();
    let check = |caller: &Caller| {
        let info = caller.access_info();
        assert_eq!(info.username(), Some(&*user), "the user of another request");
        assert_eq!(info.project_id(), Some(&*format!("p-{user}")));
        assert_eq!(info.user_id(), Some(&*format!("id-{user}")));
        assert_eq!(info.auth_token().map(str::to_owned), sender("x-auth-token"));
        for header in ["x-user-name", "x-user"] {
            assert_eq!(request.headers()[header], *user);
        }
    };
    check(&caller);
    sleep(Duration::from_millis(fastrand::u64(..50))).await;

    let nova = service_fn(|request: Request<()>| {
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        let path = request.uri().path().to_owned();
        let is_rejected = fastrand::u8(..10) == 0;
        async move {
            sleep(Duration::from_millis(fastrand::u64(..20))).await;
            let response = Response::builder().status(if is_rejected { 401 } else { 200 });
            Ok::<_, Infallible>(response.body(format!("{token} {path}")).unwrap())
        }
    });
    let layer = AuthLayer::new(own()).endpoint(EndpointFilter::new("compute"));
    let onward = Request::get("/servers").extension(caller.identity()).body(()).unwrap();
    let response = layer.layer(nova).oneshot(onward).await.unwrap();
    if response.status() == 401 {
        keystone.count("rejected by another service");
    }
    let sent = format!("{} /{user}/servers", caller.access_info().auth_token().unwrap());
    assert_eq!(*response.body(), sent, "a request on behalf of another");
    check(&caller);
    keystone.count("handled");
    Ok(Response::new(user.into()))
}

/// Returns the plugin of the service's own account.
fn own() -> AccessInfoPlugin {
    static OWN: LazyLock<AccessInfoPlugin> = LazyLock::new(|| {
        let body = json!({"token": document("own", 1)}).to_string();
        AccessInfoPlugin::new(AccessInfo::new("own.1", body).unwrap())
    });
    OWN.clone()
}

async fn send_all(is_delayed: bool) -> BTreeMap<&'static str, usize> {
    fastrand::seed(if is_delayed { 11 } else { 7 });
    let keystone = Keystone { clock: TestClock(Instant::now()), counts: Arc::default() };
    let transport = {
        let keystone = keystone.clone();
        Transport::new(service_fn(move |request| keystone.clone().respond(request)))
    };
    let layer = ValidateTokenLayer::new(own(), transport)
        .www_authenticate_uri("https://public.example.com/v3".parse().unwrap())
        .cache_capacity(20, 1 << 20)
        .token_cache_time(Duration::from_secs(20))
        .outage_grace(Duration::from_secs(10))
        .service_token_roles_required(false)
        .connect_retries(0)
        .identity_headers()
        .clock(keystone.clock);
    let layer = if is_delayed { layer.delay_auth_decision() } else { layer };
    let app = {
        let keystone = keystone.clone();
        layer.layer(service_fn(move |request| handle(request, keystone.clone())))
    };

    let mut users = JoinSet::new();
    for number in 0..USERS {
        let (app, keystone) = (app.clone(), keystone.clone());
        users.spawn(async move {
            let user = format!("user-{number}");
            for _ in 0..REQUESTS {
                sleep(Duration::from_millis(fastrand::u64(..8_000))).await;
                let token = format!("{user}.{}", fastrand::u64(1..12));
                let mut request = Request::get("/")
                    .header("x-auth-token", token)
                    .header("x-sender", &user)
                    .header("x-user-name", "forged");
                if fastrand::u8(..4) == 0 {
                    let service = format!("service-{}", fastrand::u8(..5));
                    request = request
                        .header("x-service-token", format!("{service}.{}", fastrand::u8(1..6)))
                        .header("x-sending-service", service);
                }
                let response = app.clone().oneshot(request.body(()).unwrap());
                let patience = if fastrand::u8(..10) == 0 { 15 } else { 60_000 };
                let Ok(response) = timeout(Duration::from_millis(patience), response).await else {
                    keystone.count("left");
                    continue;
                };
                let response = response.unwrap();
                match response.status().as_u16() {
                    200 => assert!(*response.body() == user || response.body().is_empty()),
                    401 => keystone.count("401"),
                    503 => keystone.count("503"),
                    other => panic!("{other}"),
                }
            }
        });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    let metrics = layer.metrics().snapshot();
    assert!(metrics.cached_tokens <= 20, "{metrics:?}");
    assert_eq!((metrics.in_flight, metrics.waiting), (0, 0));
    let mut counts = keystone.counts.lock().unwrap().clone();
    counts.insert("hits", usize::try_from(metrics.hits).unwrap());
    counts
}

#[tokio::test(start_paused = true)]
async fn each_request_has_the_identity_of_its_own_user() {
    let counts = send_all(false).await;
    for what in
        ["valid", "unknown", "outage", "handled", "rejected by another service", "left", "401", "503", "hits"]
    {
        assert!(counts.get(what).is_some_and(|count| *count >= 50), "{what}: {counts:?}");
    }
    assert!(!counts.contains_key("let through without a user"));
}

#[tokio::test(start_paused = true)]
async fn with_a_delayed_decision_each_request_has_the_identity_of_its_own_user_or_none() {
    let counts = send_all(true).await;
    for what in ["valid", "unknown", "outage", "handled", "rejected by another service", "left", "hits"] {
        assert!(counts.get(what).is_some_and(|count| *count >= 50), "{what}: {counts:?}");
    }
    assert!(counts["let through without a user"] >= 50 && !counts.contains_key("401"), "{counts:?}");
}
