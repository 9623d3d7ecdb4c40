//! A Keystone that a test scripts, and a clock that follows tokio's.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use super::super::{Asker, Outcome, TokenValidator, ValidatorSettings};
use crate::{
    AccessInfo, AccessInfoPlugin, BoxError, IdentityPlugin, Transport,
    renewal::{Clock, Now},
    validate::ValidationMetrics,
};

/// A question, or another request, as Keystone received it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) token: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) access_rules: Option<String>,
}

/// What Keystone does with a request.
#[derive(Clone)]
pub(super) enum Reply {
    Status(u16),
    RetryAfter(u16, &'static str),
    Document(String),
    Error(u16),
    Redirect(&'static str),
    Refuse,
    Hang,
    Panic,
}

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The scripted Keystone. Without a script for a token, it is unknown.
#[derive(Clone)]
pub(super) struct Stub(Arc<State>);

struct State {
    script: Mutex<Script>,
    latency: Mutex<Duration>,
    asked: Mutex<Vec<Asked>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Stub {
    pub(super) fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            latency: Mutex::new(Duration::from_millis(10)),
            asked: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        }))
    }

    /// Creates a Keystone that confirms these tokens, for 12 hours from the start.
    pub(super) fn knowing(tokens: &[&str]) -> Self {
        Self::new(knowing(tokens))
    }

    pub(super) fn set(&self, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.0.script.lock().unwrap() = Arc::new(script);
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock().unwrap() = latency;
    }

    /// Returns the requests since the last call.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }

    /// Returns the number of requests since the last call.
    pub(super) fn questions(&self) -> usize {
        self.take_asked().len()
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.0.most_in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn transport(&self) -> Transport {
        let stub = self.clone();
        Transport::new(tower::service_fn(move |request: Request<Full<Bytes>>| stub.clone().respond(request)))
    }

    async fn respond(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let header = |name| {
            let value = request.headers().get(name)?;
            assert!(name == "openstack-identity-access-rules" || value.is_sensitive(), "{name}");
            Some(value.to_str().unwrap().to_owned())
        };
        let asked = Asked {
            url: request.uri().to_string(),
            token: header("x-auth-token"),
            subject: header("x-subject-token"),
            access_rules: header("openstack-identity-access-rules"),
        };
        self.0.asked.lock().unwrap().push(asked.clone());
        let in_flight = self.0.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        let latency = *self.0.latency.lock().unwrap();
        sleep(latency).await;
        let script = self.0.script.lock().unwrap().clone();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        let reply = script(&asked);
        let mut response = Response::new(Full::default());
        match reply {
            Reply::Status(status) => *response.status_mut() = StatusCode::from_u16(status)?,
            Reply::RetryAfter(status, after) => {
                *response.status_mut() = StatusCode::from_u16(status)?;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(after));
            }
            Reply::Document(document) => *response.body_mut() = Full::new(document.into()),
            Reply::Error(status) => {
                *response.status_mut() = StatusCode::from_u16(status)?;
                let json = format!(r#"{{"error": {{"code": {status}, "message": "m", "title": "t"}}}}"#);
                *response.body_mut() = Full::new(json.into());
            }
            Reply::Redirect(location) => {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert("location", HeaderValue::from_static(location));
            }
            Reply::Refuse => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            Reply::Hang => std::future::pending().await,
            Reply::Panic => panic!("the transport panics"),
        }
        Ok(response)
    }
}

/// A script that confirms these tokens, for 12 hours from the start.
pub(super) fn knowing(tokens: &[&str]) -> impl Fn(&Asked) -> Reply + Send + Sync + use<> {
    let documents: HashMap<_, _> =
        tokens.iter().map(|token| (token.to_string(), document(token, 12 * 3_600 - 1))).collect();
    move |asked| {
        let subject = asked.subject.as_deref().unwrap_or_default();
        documents.get(subject).cloned().map_or(Reply::Error(404), Reply::Document)
    }
}

/// Returns the document of a token that expires this many seconds after the start.
pub(super) fn document(audit_id: &str, expires: u64) -> String {
    let (hours, minutes, seconds) = (12 + expires / 3_600, expires / 60 % 60, expires % 60);
    format!(
        r#"{{"token": {{
            "user": {{"id": "u1", "name": "alice", "domain": {{"id": "default", "name": "Default"}}}},
            "roles": [{{"id": "r1", "name": "member"}}], "audit_ids": ["{audit_id}"],
            "expires_at": "2026-01-15T{hours:02}:{minutes:02}:{seconds:02}Z",
            "catalog": [{{"type": "identity", "endpoints": [
                {{"interface": "internal", "region_id": "RegionOne", "url": "http://keystone.internal/v3"}},
                {{"interface": "public", "region_id": "RegionOne", "url": "http://keystone.public/v3"}},
                {{"interface": "internal", "region_id": "RegionTwo", "url": "http://keystone.two/v3"}}
            ]}}]
        }}}}"#
    )
}

/// Returns the plugin of a service whose token is `own`.
pub(super) fn own_plugin() -> AccessInfoPlugin {
    AccessInfoPlugin::new(AccessInfo::new("own", document("own", 3_600)).unwrap())
        .auth_url("http://keystone.public/v3")
}

/// The time of day is 2026-01-15T12:00:00Z at the start, and goes on as tokio's clock does.
pub(super) struct TestClock(Instant);

impl TestClock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_478_400);
        Now::new(start + self.0.elapsed(), Instant::now().into_std())
    }
}

/// Returns a validator that asks this Keystone.
pub(super) fn validator(stub: &Stub) -> TokenValidator {
    validator_with(stub, |_| {})
}

/// Returns a validator with other settings.
pub(super) fn validator_with(stub: &Stub, change: impl FnOnce(&mut ValidatorSettings)) -> TokenValidator {
    validator_of(stub, own_plugin(), change)
}

/// Returns a validator with another plugin.
pub(super) fn validator_of(
    stub: &Stub,
    plugin: impl IdentityPlugin,
    change: impl FnOnce(&mut ValidatorSettings),
) -> TokenValidator {
    let mut settings = ValidatorSettings::new(Asker::Plugin(Arc::new(plugin)), stub.transport());
    settings.clock = Arc::new(TestClock::new());
    change(&mut settings);
    validator_from(&settings)
}

/// Returns a validator with exactly these settings.
pub(super) fn validator_from(settings: &ValidatorSettings) -> TokenValidator {
    TokenValidator::new(settings, ValidationMetrics::new())
}

/// Validates a token, and returns `valid`, `unknown` or `unavailable`.
pub(super) async fn validate(validator: &TokenValidator, token: &str) -> &'static str {
    name(&outcome(validator, token, false).await)
}

/// Validates a token that may be expired.
pub(super) async fn validate_expired(validator: &TokenValidator, token: &str) -> &'static str {
    name(&outcome(validator, token, true).await)
}

pub(super) async fn outcome(validator: &TokenValidator, token: &str, allow_expired: bool) -> Outcome {
    match validator.validate(&token.parse().unwrap(), allow_expired, None) {
        Ok(outcome) => outcome,
        Err(pending) => pending.await,
    }
}

/// Returns the outcome that is cached: `valid` or `unknown`, or `none`.
pub(super) fn cached(validator: &TokenValidator, token: &str) -> &'static str {
    match validator.validate(&token.parse().unwrap(), false, None) {
        Ok(outcome) => name(&outcome),
        Err(_) => "none",
    }
}

pub(super) fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Valid(_) => "valid",
        Outcome::Expired => "expired",
        Outcome::Unknown => "unknown",
        Outcome::Unavailable(_) | Outcome::Overloaded(_) => "unavailable",
    }
}

/// Lets this many seconds pass.
pub(super) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
