//! The lifetime of a token, whatever its document says.

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

/// What is wrong with the times in Keystone's answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// Every token was issued in 1970.
    Epoch,
    /// A token is handed out again for the first 50 minutes of its life.
    HandedOutAgain,
    /// `issued_at` is so many seconds ahead of its time.
    IssuedAhead(i64),
    /// `issued_at` is local time, so many hours east of Greenwich, and does not say so.
    IssuedIn(i64),
    /// So is `expires_at`.
    BothIn(i64),
    /// There is no `issued_at`, or one that is no time.
    NotIssued,
    Garbage,
}

/// Keystone with something wrong in its answers.
#[derive(Clone)]
struct Liar {
    keystone: Keystone,
    wrong: Wrong,
    /// How many seconds the `Date` of its answers is off, if they have one.
    date: Option<i64>,
    v2: bool,
    last: Arc<Mutex<Option<(Duration, String, Value)>>>,
}

impl Liar {
    fn new(wrong: Wrong, date: Option<i64>) -> Self {
        Self { keystone: Keystone::new(), wrong, date, v2: false, last: Arc::default() }
    }

    fn answer(&self, token: String, mut body: Value) -> Response<Full<Bytes>> {
        let document = &mut body["token"];
        let shifted = |value: &Value, seconds: i64| -> SystemTime {
            let time: Timestamp = value.as_str().unwrap().parse().unwrap();
            shift(SystemTime::UNIX_EPOCH + seconds_of(time), seconds)
        };
        let (issued, expires) = (document["issued_at"].clone(), document["expires_at"].clone());
        let zoneless = |time| Value::from(iso(time).trim_end_matches('Z'));
        match self.wrong {
            Wrong::Nothing | Wrong::HandedOutAgain => {}
            Wrong::Epoch => document["issued_at"] = json!("1970-01-01T00:00:00.000000Z"),
            Wrong::IssuedAhead(seconds) => document["issued_at"] = iso(shifted(&issued, seconds)).into(),
            Wrong::IssuedIn(hours) => document["issued_at"] = zoneless(shifted(&issued, hours * 3600)),
            Wrong::BothIn(hours) => {
                document["issued_at"] = zoneless(shifted(&issued, hours * 3600));
                document["expires_at"] = zoneless(shifted(&expires, hours * 3600));
            }
            Wrong::NotIssued => drop(document.as_object_mut().unwrap().remove("issued_at")),
            Wrong::Garbage => document["issued_at"] = json!("yesterday"),
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
            let answer = Response::builder().status(201).header("x-subject-token", token);
            answer.body(Full::from(body.to_string())).unwrap()
        };
        if let Some(wrong) = self.date {
            let date = timestamp(shift(true_time(&self.keystone), wrong));
            let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
            response.headers_mut().insert(DATE, HeaderValue::try_from(date).unwrap());
        }
        response
    }
}

fn true_time(keystone: &Keystone) -> SystemTime {
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

impl Service<Request<Full<Bytes>>> for Liar {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let mut liar = self.clone();
        Box::pin(async move {
            let now = liar.keystone.time().elapsed();
            let last = liar.last.lock().unwrap().clone();
            if let (Wrong::HandedOutAgain, Some((at, token, body))) = (liar.wrong, last)
                && now < at + seconds(3000)
            {
                return Ok(liar.answer(token, body));
            }
            *request.uri_mut() = "https://keystone.test/v3/auth/tokens".parse().unwrap();
            let answer = liar.keystone.call(request).await?;
            let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            *liar.last.lock().unwrap() = Some((now, token.clone(), body.clone()));
            Ok(liar.answer(token, body))
        })
    }
}

/// A request every 23 s for six hours, by a machine whose clock is so many seconds wrong. The plugin forgets its token
/// every 25 minutes, as programs that are started again do. None may fail, and no expired token may be sent. Returns
/// how many logins it took.
async fn six_hours<C: Credentials>(liar: &Liar, credentials: C, local: i64) -> usize {
    let context = format!("{:?}, Date {:?}, local clock {local}", liar.wrong, liar.date);
    let time = liar.keystone.time();
    time.step_wall(local);
    let plugin = RenewingPlugin::new(credentials, Transport::new(liar.clone())).clock(time.clone()).seed(7);
    let nova = Nova::new(&liar.keystone, || Duration::ZERO);
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let behind = layer.layer(nova.clone());
    let mut restart = seconds(1500);
    while time.elapsed() < seconds(6 * HOUR) {
        let answer = behind.clone().oneshot(get()).await;
        let status = answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string());
        assert_eq!(status, Ok(200), "{context} at {:?}", time.elapsed());
        assert!(nova.seen().iter().all(|seen| !seen.expired), "{context}: an expired token was sent");
        tokio::time::sleep(seconds(23)).await;
        if liar.wrong == Wrong::HandedOutAgain && time.elapsed() >= restart {
            plugin.reset();
            restart += seconds(1500);
        }
    }
    liar.keystone.logins()
}

fn v2() -> V2Credentials {
    V2Credentials::password("https://keystone.test/v2.0", User::new().username("alice"), "wonderland")
}

const ALL: [Wrong; 13] = [
    Wrong::Nothing,
    Wrong::Epoch,
    Wrong::HandedOutAgain,
    Wrong::IssuedAhead(7200),
    Wrong::IssuedAhead(3600),
    Wrong::IssuedAhead(-3000),
    Wrong::IssuedIn(2),
    Wrong::IssuedIn(-5),
    Wrong::IssuedIn(-1),
    Wrong::BothIn(2),
    Wrong::BothIn(-5),
    Wrong::NotIssued,
    Wrong::Garbage,
];

#[tokio::test(start_paused = true)]
async fn with_a_date_neither_issued_at_nor_the_local_clock_makes_a_token_live_longer() {
    for wrong in ALL {
        for local in [0, 7_200, -7_200, 3_000, -3_000, 86_400, -86_400] {
            let liar = Liar::new(wrong, Some(0));
            let logins = six_hours(&liar, liar.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{wrong:?} {local}: {logins} logins");
        }
        for local in [0, 7_200, -7_200] {
            let liar = Liar { v2: true, ..Liar::new(wrong, Some(0)) };
            let logins = six_hours(&liar, v2(), local).await;
            assert!((6..=8).contains(&logins), "v2.0, {wrong:?} {local}: {logins} logins");
        }
    }
}

/// Local time one hour east, of tokens that live for an hour and a little.
#[tokio::test(start_paused = true)]
async fn an_issued_at_that_leaves_no_lifetime_to_speak_of_counts_for_less_than_the_date() {
    for ahead in [3_591, 3_595, 3_599] {
        for local in [0, 7_200, -7_200] {
            let liar = Liar::new(Wrong::IssuedAhead(ahead), Some(0));
            let logins = six_hours(&liar, liar.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{ahead} {local}: {logins} logins");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_date_an_issued_at_that_cannot_be_is_none() {
    for wrong in ALL {
        if matches!(wrong, Wrong::HandedOutAgain | Wrong::IssuedAhead(-3000)) {
            continue; // Keystone's clock may as well be 50 minutes slow.
        }
        let liar = Liar::new(wrong, None);
        let logins = six_hours(&liar, liar.keystone.credentials(), 0).await;
        assert!((6..=8).contains(&logins), "{wrong:?}: {logins} logins");
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_that_cannot_be_is_none() {
    for date in [-1_800_000_000, -86_400, 86_400, 7_200, -7_200] {
        for local in [0, 7_200, -7_200] {
            let liar = Liar::new(Wrong::Nothing, Some(date));
            let logins = six_hours(&liar, liar.keystone.credentials(), local).await;
            assert!((6..=8).contains(&logins), "{date} {local}: {logins} logins");
        }
    }
}

/// Both readings of Keystone's are useless, and so is the local clock.
#[tokio::test(start_paused = true)]
async fn when_no_clock_is_any_good_a_token_counts_for_as_long_as_one_without_an_expiry() {
    for date in [None, Some(7_200)] {
        let liar = Liar::new(Wrong::Epoch, date);
        let logins = six_hours(&liar, liar.keystone.credentials(), 7_200).await;
        assert!((70..=130).contains(&logins), "{date:?}: {logins} logins");
    }
}

#[tokio::test(start_paused = true)]
async fn the_skew_that_is_told_is_that_of_the_date_if_there_is_one() {
    for (wrong, date, local, told) in [
        (Wrong::Epoch, Some(0), 0, None),
        (Wrong::HandedOutAgain, Some(0), 0, None),
        (Wrong::IssuedAhead(7_200), Some(0), 0, None),
        (Wrong::Nothing, Some(0), 100, Some(100)),
        (Wrong::IssuedAhead(100), Some(0), 100, Some(100)),
        (Wrong::Nothing, None, -100, Some(100)),
    ] {
        let (log, _guard) = Log::new();
        let liar = Liar::new(wrong, date);
        let time = liar.keystone.time();
        time.step_wall(local);
        let transport = Transport::new(liar.clone());
        for _ in 0..2 {
            let plugin =
                RenewingPlugin::new(liar.keystone.credentials(), transport.clone()).clock(time.clone());
            token(&plugin).await.unwrap();
            pass(600).await;
        }
        let lines = log.lines();
        match told {
            None => assert_eq!(lines, [""; 0], "{wrong:?}"),
            Some(seconds) => {
                assert!(lines[0].contains(&format!("seconds={seconds}")), "{wrong:?}: {lines:?}")
            }
        }
    }
}

/// A clock that cannot be read as a date: it is before 1970.
struct BeforeTime(Time);

impl Clock for BeforeTime {
    fn now(&self) -> Now {
        let now = self.0.now();
        Now::new(now.wall - seconds(2_000_000_000), now.monotonic)
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_clock_relies_on_keystones() {
    for (wrong, date) in [(Wrong::Nothing, None), (Wrong::Epoch, Some(0)), (Wrong::NotIssued, Some(0))] {
        let liar = Liar::new(wrong, date);
        let clock = BeforeTime(liar.keystone.time());
        let plugin =
            RenewingPlugin::new(liar.keystone.credentials(), Transport::new(liar.clone())).clock(clock);
        for _ in 0..6 * HOUR / 60 {
            let token = token(&plugin).await.unwrap();
            assert!(liar.keystone.look_up(&token).unwrap().expires > liar.keystone.time().elapsed());
            pass(60).await;
        }
        assert!((6..=8).contains(&liar.keystone.logins()), "{wrong:?}");
    }
}
