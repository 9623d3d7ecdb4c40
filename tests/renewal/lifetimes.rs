//! The lifetime of a token if times in the Keystone response or the local clock are wrong.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::DATE};
use http_body_util::{BodyExt, Full};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    AuthLayer, BoxError, Credentials, EndpointFilter, RenewingPlugin, Transport, User, V2Credentials,
    renewal::{Clock, Now},
};

use crate::{log::Log, support::*};

/// A fault in the times of Keystone responses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TimeFault {
    None,
    /// `issued_at` is in 1970.
    IssuedAtEpoch,
    /// A login returns the same token again for the first 50 minutes of its lifetime.
    ReusedToken,
    /// `issued_at` is this number of seconds too late.
    LateIssuedAt(i64),
    /// `issued_at` is a local time, this number of hours ahead of UTC, without a time zone.
    LocalIssuedAt(i64),
    /// `issued_at` and `expires_at` are local times without a time zone.
    LocalTimes(i64),
    /// There is no `issued_at`.
    MissingIssuedAt,
    /// `issued_at` is not a time.
    MalformedIssuedAt,
}

/// A Keystone whose responses have a [`TimeFault`].
#[derive(Clone)]
struct FaultyKeystone {
    keystone: ScriptedKeystone,
    fault: TimeFault,
    /// Error of the `Date` header in seconds, or `None` if responses have no such header.
    date: Option<i64>,
    /// Whether to respond in the format of the v2.0 API.
    v2: bool,
    /// Time, token and document of the last login.
    last: Arc<Mutex<Option<(Duration, String, Value)>>>,
}

impl FaultyKeystone {
    fn new(fault: TimeFault, date: Option<i64>) -> Self {
        Self { keystone: ScriptedKeystone::new(), fault, date, v2: false, last: Arc::default() }
    }

    fn respond(&self, token: String, mut body: Value) -> Response<Full<Bytes>> {
        let document = &mut body["token"];
        let shifted = |value: &Value, seconds: i64| -> SystemTime {
            let time: Timestamp = value.as_str().unwrap().parse().unwrap();
            shift(SystemTime::UNIX_EPOCH + seconds_of(time), seconds)
        };
        let (issued, expires) = (document["issued_at"].clone(), document["expires_at"].clone());
        let zoneless = |time| Value::from(iso(time).trim_end_matches('Z'));
        match self.fault {
            TimeFault::None | TimeFault::ReusedToken => {}
            TimeFault::IssuedAtEpoch => document["issued_at"] = json!("1970-01-01T00:00:00.000000Z"),
            TimeFault::LateIssuedAt(seconds) => document["issued_at"] = iso(shifted(&issued, seconds)).into(),
            TimeFault::LocalIssuedAt(hours) => {
                document["issued_at"] = zoneless(shifted(&issued, hours * 3600))
            }
            TimeFault::LocalTimes(hours) => {
                document["issued_at"] = zoneless(shifted(&issued, hours * 3600));
                document["expires_at"] = zoneless(shifted(&expires, hours * 3600));
            }
            TimeFault::MissingIssuedAt => drop(document.as_object_mut().unwrap().remove("issued_at")),
            TimeFault::MalformedIssuedAt => document["issued_at"] = json!("yesterday"),
        }
        let mut response = if self.v2 {
            let url = json!({"region": "RegionOne", "publicURL": "https://nova.test/v2.1"});
            let body = json!({"access": {
                "token": {"id": token, "issued_at": document["issued_at"], "expires": document["expires_at"]},
                "user": {"id": "u1", "name": "alice"},
                "serviceCatalog": [{"type": "compute", "name": "nova", "endpoints": [url]}],
            }});
            Response::builder().body(Full::from(body.to_string())).unwrap()
        } else {
            let response = Response::builder().status(201).header("x-subject-token", token);
            response.body(Full::from(body.to_string())).unwrap()
        };
        if let Some(error) = self.date {
            let date = timestamp(shift(true_time(&self.keystone), error));
            let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
            response.headers_mut().insert(DATE, HeaderValue::try_from(date).unwrap());
        }
        response
    }
}

fn true_time(keystone: &ScriptedKeystone) -> SystemTime {
    wall(keystone.time().elapsed(), 0)
}

fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_microsecond(since_epoch.as_micros().try_into().unwrap()).unwrap()
}

fn seconds_of(time: Timestamp) -> Duration {
    Duration::from_micros(time.as_microsecond().try_into().unwrap())
}

fn iso(time: SystemTime) -> String {
    format!("{:.6}", timestamp(time))
}

impl Service<Request<Full<Bytes>>> for FaultyKeystone {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let mut faulty = self.clone();
        Box::pin(async move {
            let now = faulty.keystone.time().elapsed();
            let last = faulty.last.lock().unwrap().clone();
            if let (TimeFault::ReusedToken, Some((at, token, body))) = (faulty.fault, last)
                && now < at + seconds(3000)
            {
                return Ok(faulty.respond(token, body));
            }
            *request.uri_mut() = "https://keystone.test/v3/auth/tokens".parse().unwrap();
            let response = faulty.keystone.call(request).await?;
            let token = response.headers()["x-subject-token"].to_str().unwrap().to_owned();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            *faulty.last.lock().unwrap() = Some((now, token.clone(), body.clone()));
            Ok(faulty.respond(token, body))
        })
    }
}

/// Sends a request every 23 s for six hours, from a machine whose wall clock is wrong by `local` seconds.
///
/// With [`TimeFault::ReusedToken`], the plugin is reset every 25 minutes, as if the program were restarted. Asserts
/// that no request fails and that no expired token is sent. Returns the number of logins.
async fn logins_of_six_hours<C: Credentials>(faulty: &FaultyKeystone, credentials: C, local: i64) -> usize {
    let context = format!("{:?}, Date {:?}, local clock {local}", faulty.fault, faulty.date);
    let time = faulty.keystone.time();
    time.step_wall(local);
    let plugin = RenewingPlugin::new(credentials, Transport::new(faulty.clone())).clock(time.clone()).seed(7);
    let nova = ScriptedService::new(&faulty.keystone, || Duration::ZERO);
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let client = layer.layer(nova.clone());
    let mut restart = seconds(1500);
    while time.elapsed() < seconds(6 * HOUR) {
        let response = client.clone().oneshot(get()).await;
        let status = response.map(|response| response.status().as_u16()).map_err(|error| error.to_string());
        assert_eq!(status, Ok(200), "{context} at {:?}", time.elapsed());
        assert!(
            nova.take_requests().iter().all(|request| !request.token_expired),
            "{context}: an expired token was sent"
        );
        tokio::time::sleep(seconds(23)).await;
        if faulty.fault == TimeFault::ReusedToken && time.elapsed() >= restart {
            plugin.reset();
            restart += seconds(1500);
        }
    }
    faulty.keystone.logins()
}

fn v2() -> V2Credentials {
    V2Credentials::password("https://keystone.test/v2.0", User::new().username("alice"), "wonderland")
}

const ALL_FAULTS: [TimeFault; 13] = [
    TimeFault::None,
    TimeFault::IssuedAtEpoch,
    TimeFault::ReusedToken,
    TimeFault::LateIssuedAt(7200),
    TimeFault::LateIssuedAt(3600),
    TimeFault::LateIssuedAt(-3000),
    TimeFault::LocalIssuedAt(2),
    TimeFault::LocalIssuedAt(-5),
    TimeFault::LocalIssuedAt(-1),
    TimeFault::LocalTimes(2),
    TimeFault::LocalTimes(-5),
    TimeFault::MissingIssuedAt,
    TimeFault::MalformedIssuedAt,
];

#[tokio::test(start_paused = true)]
async fn with_a_date_header_neither_issued_at_nor_the_local_clock_extends_a_lifetime() {
    for fault in ALL_FAULTS {
        for local in [0, 7_200, -7_200, 3_000, -3_000, 86_400, -86_400] {
            let faulty = FaultyKeystone::new(fault, Some(0));
            let logins = logins_of_six_hours(&faulty, faulty.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{fault:?} {local}: {logins} logins");
        }
        for local in [0, 7_200, -7_200] {
            let faulty = FaultyKeystone { v2: true, ..FaultyKeystone::new(fault, Some(0)) };
            let logins = logins_of_six_hours(&faulty, v2(), local).await;
            assert!((6..=8).contains(&logins), "v2.0, {fault:?} {local}: {logins} logins");
        }
    }
}

/// For example, `issued_at` is a local time one hour ahead of UTC, and tokens have a lifetime of little over an hour.
#[tokio::test(start_paused = true)]
async fn an_issued_at_shortly_before_the_expiry_is_ignored_if_there_is_a_date_header() {
    for ahead in [3_591, 3_595, 3_599] {
        for local in [0, 7_200, -7_200] {
            let faulty = FaultyKeystone::new(TimeFault::LateIssuedAt(ahead), Some(0));
            let logins = logins_of_six_hours(&faulty, faulty.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{ahead} {local}: {logins} logins");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_date_header_an_impossible_issued_at_is_ignored() {
    for fault in ALL_FAULTS {
        if matches!(fault, TimeFault::ReusedToken | TimeFault::LateIssuedAt(-3000)) {
            continue; // This looks the same as a Keystone clock that is 50 minutes slow.
        }
        let faulty = FaultyKeystone::new(fault, None);
        let logins = logins_of_six_hours(&faulty, faulty.keystone.credentials(), 0).await;
        assert!((6..=8).contains(&logins), "{fault:?}: {logins} logins");
    }
}

#[tokio::test(start_paused = true)]
async fn an_impossible_date_header_is_ignored() {
    for date in [-1_800_000_000, -86_400, 86_400, 7_200, -7_200] {
        for local in [0, 7_200, -7_200] {
            let faulty = FaultyKeystone::new(TimeFault::None, Some(date));
            let logins = logins_of_six_hours(&faulty, faulty.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{date} {local}: {logins} logins");
        }
    }
}

/// `issued_at`, the `Date` header and the local clock are all wrong.
#[tokio::test(start_paused = true)]
async fn without_any_usable_clock_the_default_lifetime_is_used() {
    for date in [None, Some(7_200)] {
        let faulty = FaultyKeystone::new(TimeFault::IssuedAtEpoch, date);
        let logins = logins_of_six_hours(&faulty, faulty.keystone.credentials(), 7_200).await;
        assert!((70..=130).contains(&logins), "{date:?}: {logins} logins");
    }
}

#[tokio::test(start_paused = true)]
async fn the_logged_skew_is_computed_from_the_date_header_if_there_is_one() {
    for (fault, date, local, logged) in [
        (TimeFault::IssuedAtEpoch, Some(0), 0, None),
        (TimeFault::ReusedToken, Some(0), 0, None),
        (TimeFault::LateIssuedAt(7_200), Some(0), 0, None),
        (TimeFault::None, Some(0), 100, Some(100)),
        (TimeFault::LateIssuedAt(100), Some(0), 100, Some(100)),
        (TimeFault::None, None, -100, Some(100)),
    ] {
        let (log, _guard) = Log::new();
        let faulty = FaultyKeystone::new(fault, date);
        let time = faulty.keystone.time();
        time.step_wall(local);
        let transport = Transport::new(faulty.clone());
        for _ in 0..2 {
            let plugin =
                RenewingPlugin::new(faulty.keystone.credentials(), transport.clone()).clock(time.clone());
            token(&plugin).await.unwrap();
            sleep_secs(600).await;
        }
        let lines = log.take_lines();
        match logged {
            None => assert_eq!(lines, [""; 0], "{fault:?}"),
            Some(seconds) => {
                assert!(lines[0].contains(&format!("seconds={seconds}")), "{fault:?}: {lines:?}")
            }
        }
    }
}

/// A clock that shows a time before 1970.
struct ClockBefore1970(SimulatedTime);

impl Clock for ClockBefore1970 {
    fn now(&self) -> Now {
        let now = self.0.now();
        Now::new(now.wall - seconds(2_000_000_000), now.monotonic)
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_usable_clock_relies_on_the_clock_of_keystone() {
    for (fault, date) in
        [(TimeFault::None, None), (TimeFault::IssuedAtEpoch, Some(0)), (TimeFault::MissingIssuedAt, Some(0))]
    {
        let faulty = FaultyKeystone::new(fault, date);
        let clock = ClockBefore1970(faulty.keystone.time());
        let plugin =
            RenewingPlugin::new(faulty.keystone.credentials(), Transport::new(faulty.clone())).clock(clock);
        for _ in 0..6 * HOUR / 60 {
            let token = token(&plugin).await.unwrap();
            assert!(faulty.keystone.issued_token(&token).unwrap().expires > faulty.keystone.time().elapsed());
            sleep_secs(60).await;
        }
        assert!((6..=8).contains(&faulty.keystone.logins()), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_token_is_due_when_its_maker_would_renew_it() {
    let keystone = ScriptedKeystone::new();
    let maker = keystone.plugin();
    token(&maker).await.unwrap();
    let state = maker.auth_state().unwrap();
    sleep_secs(HOUR / 2).await;
    let restored = keystone.plugin();
    restored.set_auth_state(Some(&state)).unwrap();
    sleep_secs(HOUR / 2 - 432 - 1).await;
    assert!(!restored.needs_renewal());
    sleep_secs(432 - 360 + 2).await;
    assert!(restored.needs_renewal());
    assert_eq!(token_without_waiting(&restored).unwrap().unwrap(), "token-1");
    sleep_secs(HOUR).await;
    assert_eq!(token(&restored).await.unwrap(), "token-3", "it has expired");
}
