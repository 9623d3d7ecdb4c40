//! A service behind a `ValidateTokenLayer`, and the Keystone that the layer asks.

use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, Caller,
    IdentityStatus::{self, *},
    Rejection, Transport, ValidateTokenLayer, Validation,
};

use crate::support::*;

const CHALLENGE: &str = r#"Keystone uri="https://public.example.com/v3""#;

/// The response to a request, and, with `delay_auth_decision`, what the application learns about the user and the
/// service.
pub(crate) type Expected = (u16, IdentityStatus, IdentityStatus);

pub(crate) const CONFIRMED: Expected = (200, Confirmed, Absent);
pub(crate) const INVALID: Expected = (401, Invalid, Absent);
pub(crate) const ABSENT: Expected = (401, Absent, Absent);
pub(crate) const UNAVAILABLE: Expected = (503, Unavailable, Absent);

pub(crate) const ALICE: &[(&str, &str)] = &[("x-auth-token", "canary-alice")];
pub(crate) const UNKNOWN: &[(&str, &str)] = &[("x-auth-token", "canary-unknown")];

/// A request as Keystone received it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) own_token: Option<String>,
    pub(crate) token: Option<String>,
}

impl Asked {
    pub(crate) fn allows_expired(&self) -> bool {
        self.url.contains("allow_expired=1")
    }
}

/// What Keystone does with a request.
pub(crate) enum Reply {
    Respond(Response<UnsyncBoxBody<Bytes, BoxError>>),
    After(Duration, Box<Reply>),
    Fail(BoxError),
    Hang,
    Panic,
}

impl Reply {
    pub(crate) fn after(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }

    pub(crate) fn refused() -> Self {
        Self::Fail(io::Error::from(io::ErrorKind::ConnectionRefused).into())
    }
}

/// Returns a response that echoes nothing but a secret.
pub(crate) fn status(status: u16) -> Reply {
    with_body(status, &[], json!({"error": {"code": status, "message": "canary", "title": "No"}}).to_string())
}

pub(crate) fn with_body(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let response = build_response(status, headers, body);
    Reply::Respond(response.map(|body: Full<Bytes>| body.map_err(BoxError::from).boxed_unsync()))
}

pub(crate) fn document(document: &Value) -> Reply {
    with_body(200, &[], json!({ "token": document }).to_string())
}

/// Returns a token document. It is valid for four hours after the start of [`SimulatedTime`].
pub(crate) fn user(name: &str, roles: &[&str]) -> Value {
    let roles: Vec<_> = roles.iter().map(|name| json!({"id": format!("r-{name}"), "name": name})).collect();
    let endpoint = |service_type: &str, url: &str| {
        let endpoint = |interface| json!({"interface": interface, "region_id": "R", "url": url});
        json!({"type": service_type, "endpoints": [endpoint("internal"), endpoint("public")]})
    };
    json!({
        "user": {"id": format!("u-{name}"), "name": name, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": roles,
        "issued_at": "2027-01-15T08:00:00Z",
        "expires_at": "2027-01-15T12:00:00Z",
        "catalog": [
            endpoint("identity", "https://keystone.test/v3"),
            endpoint("compute", "https://nova.test/v2.1"),
        ],
    })
}

pub(crate) fn with(mut document: Value, name: &str, value: Value) -> Value {
    document[name] = value;
    document
}

/// Returns the document of a token with these access rules.
pub(crate) fn with_rules(rules: &Value) -> Value {
    with(user("alice", &["member"]), "application_credential", json!({"id": "c", "access_rules": rules}))
}

/// Responds as Keystone does. It knows some tokens.
pub(crate) fn known(asked: &Asked) -> Reply {
    let old = || with(user("alice", &["member"]), "expires_at", json!("2027-01-15T07:59:59Z"));
    match asked.token.as_deref() {
        Some("canary-alice") => document(&user("alice", &["member"])),
        Some("canary-service") => document(&user("nova", &["service"])),
        Some("canary-plain") => document(&user("bob", &[])),
        Some("canary-short") => {
            document(&with(user("alice", &["member"]), "expires_at", json!("2027-01-15T08:01:00Z")))
        }
        Some("canary-old") if asked.allows_expired() => document(&old()),
        Some("canary-down") => status(500),
        Some(token) => {
            let message = format!("Could not find token: {token}.");
            with_body(404, &[], json!({"error": {"code": 404, "message": message}}).to_string())
        }
        None => panic!("{asked:?}"),
    }
}

type Script = Arc<dyn Fn(&Asked, usize) -> Reply + Send + Sync>;

/// A Keystone that a case scripts. The second argument of the script is the number of earlier requests.
#[derive(Clone)]
pub(crate) struct Keystone {
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    in_flight: Arc<AtomicUsize>,
    max_in_flight: Arc<AtomicUsize>,
}

impl Keystone {
    fn new(script: Script) -> Self {
        Self {
            script: Arc::new(Mutex::new(script)),
            asked: Arc::default(),
            in_flight: Arc::default(),
            max_in_flight: Arc::default(),
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        let keystone = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| keystone.clone().respond(request)))
    }

    async fn respond(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError> {
        let token = |name| {
            let value = request.headers().get(name)?;
            assert!(value.is_sensitive(), "{name}");
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let asked = Asked {
            method: request.method().clone(),
            url: request.uri().to_string(),
            own_token: token("x-auth-token"),
            token: token("x-subject-token"),
        };
        assert!(asked.url.starts_with("https://keystone.test/"), "a token was sent to {}", asked.url);
        let before = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        self.max_in_flight.fetch_max(self.in_flight.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let script = Arc::clone(&*self.script.lock().unwrap());
        let mut reply = script(&asked, before);
        while let Reply::After(time, next) = reply {
            sleep(time).await;
            reply = *next;
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        match reply {
            Reply::Respond(response) => Ok(response),
            Reply::Fail(error) => Err(error),
            Reply::Panic => std::panic::panic_any(EXPECTED_PANIC),
            Reply::Hang | Reply::After(..) => pending().await,
        }
    }

    pub(crate) fn set(&self, script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.max_in_flight.load(Ordering::Relaxed)
    }

    /// Returns the requests since the last call.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Returns the number of requests since the last call.
    pub(crate) fn questions(&self) -> usize {
        self.take_asked().len()
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) keystone: Keystone,
    pub(crate) time: SimulatedTime,
    pub(crate) layer: ValidateTokenLayer,
    pub(crate) delays_decision: bool,
}

/// Returns the plugin of a service account whose token is not renewed.
pub(crate) fn own_plugin(identity_url: &str) -> AccessInfoPlugin {
    let catalog =
        json!([{"type": "identity", "endpoints": [{"interface": "internal", "url": identity_url}]}]);
    let own = json!({"token": with(user("own", &["service"]), "catalog", catalog)});
    AccessInfoPlugin::new(AccessInfo::new("canary-own", own.to_string()).unwrap())
}

/// Returns a service that rejects requests without a user, and one that lets them through (`delay_auth_decision`).
///
/// The time of each starts when the iterator returns it.
pub(crate) fn services(
    script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static + Clone,
) -> impl Iterator<Item = Service> {
    services_with(script, |keystone, _| {
        ValidateTokenLayer::new(own_plugin("https://keystone.test/v3"), keystone.transport())
    })
}

/// Returns both kinds of service, with another layer.
pub(crate) fn services_with(
    script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static + Clone,
    layer: impl Fn(&Keystone, &SimulatedTime) -> ValidateTokenLayer,
) -> impl Iterator<Item = Service> {
    [false, true].into_iter().map(move |delays_decision| {
        let (keystone, time) = (Keystone::new(Arc::new(script.clone())), SimulatedTime::new());
        let layer = layer(&keystone, &time)
            .clock(time.clone())
            .www_authenticate_uri("https://public.example.com/v3".parse().unwrap());
        let layer = if delays_decision { layer.delay_auth_decision() } else { layer };
        Service { keystone, time, layer, delays_decision }
    })
}

impl Service {
    pub(crate) fn with(mut self, change: impl FnOnce(ValidateTokenLayer) -> ValidateTokenLayer) -> Self {
        self.layer = change(self.layer);
        self
    }

    /// Sends a request, and returns the response and the request as the application received it.
    pub(crate) async fn send(&self, request: Request<()>) -> (Response<Bytes>, Option<Parts>) {
        let seen: Arc<Mutex<Vec<Parts>>> = Arc::default();
        let app = {
            let seen = Arc::clone(&seen);
            service_fn(move |request: Request<()>| {
                seen.lock().unwrap().push(request.into_parts().0);
                std::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from_static(b"app"))))
            })
        };
        let response = self.layer.layer(app).oneshot(request).await.unwrap();
        let mut seen = seen.lock().unwrap();
        assert!(seen.len() <= 1, "the application was called twice");
        (response, seen.pop())
    }

    /// Sends a request with these tokens and with forged headers, and checks everything that is known of the result.
    #[track_caller]
    pub(crate) fn expect(
        &self,
        tokens: &[(&str, &str)],
        expected: Expected,
    ) -> impl Future<Output = ()> + use<'_> {
        self.expect_at("/servers", tokens, expected)
    }

    #[track_caller]
    pub(crate) fn expect_at(
        &self,
        path: &str,
        tokens: &[(&str, &str)],
        expected: Expected,
    ) -> impl Future<Output = ()> + use<'_> {
        let mut request = Request::get(path);
        for (name, value) in tokens {
            request = request.header(*name, *value);
        }
        let at = format!("{} {path} {tokens:?}", std::panic::Location::caller());
        let request = request.body(()).unwrap();
        async move { drop(self.expect_request(&at, request, expected).await) }
    }

    /// Returns the request as the application received it.
    pub(crate) async fn expect_request(
        &self,
        at: &str,
        mut request: Request<()>,
        (status, user, service): Expected,
    ) -> Option<Parts> {
        for (name, value) in [("x-roles", "admin"), ("x_user_id", "root"), ("x-service-roles", "service")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let at = format!("{at} delayed: {}", self.delays_decision);
        let (response, seen) = self.send(request).await;
        let (head, body) = response.into_parts();
        assert!(!format!("{head:?} {body:?}").contains("canary"), "{at}: {head:?}");
        if self.delays_decision || status == 200 {
            assert_eq!((head.status.as_u16(), &*body), (200, &b"app"[..]), "{at}");
            assert_eq!(head.headers.len(), 0, "{at}");
            let seen = seen.unwrap_or_else(|| panic!("{at}: the application was not called"));
            let validation = Validation::from_extensions(&seen.extensions).unwrap();
            assert_eq!((validation.status(), validation.service_status()), (user, service), "{at}");
            check_caller(&at, &seen, user, service);
            for name in ["x-roles", "x_user_id", "x-service-roles"] {
                assert!(!seen.headers.contains_key(name), "{at}: {name} was let through");
            }
            return Some(seen);
        }
        assert!(seen.is_none(), "{at}: the application was called");
        check_rejection(&at, status, head.status.as_u16(), &head.headers, &body);
        assert_eq!(head.extensions.get::<Rejection>().map(Rejection::status), Some(head.status), "{at}");
        None
    }
}

/// Checks that only a confirmed token identifies someone.
fn check_caller(at: &str, seen: &Parts, user: IdentityStatus, service: IdentityStatus) {
    let validation = Validation::from_extensions(&seen.extensions).unwrap();
    assert_eq!(validation.service().is_some(), service == Confirmed, "{at}");
    match (Caller::from_extensions(&seen.extensions), user) {
        (Ok(caller), Confirmed) => {
            assert!(caller.access_info().user_id().is_some(), "{at}");
            assert_eq!(caller.service().is_some(), service == Confirmed, "{at}");
        }
        (Err(rejection), Absent | Invalid) => {
            assert_eq!(rejection.status(), 401, "{at}");
            assert_eq!(rejection.www_authenticate().unwrap(), CHALLENGE, "{at}");
        }
        (Err(rejection), Unavailable) => {
            assert_eq!(rejection.status(), 503, "{at}");
            assert!(rejection.retry_after().is_some(), "{at}");
        }
        (caller, status) => panic!("{at}: {caller:?} {status:?}"),
    }
}

fn check_rejection(at: &str, expected: u16, status: u16, headers: &HeaderMap, body: &[u8]) {
    assert_eq!(status, expected, "{at}");
    assert_eq!(headers["content-type"], "application/json", "{at}");
    assert_eq!(headers.len(), 2, "{at}: {headers:?}");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["error"]["code"], expected, "{at}");
    match expected {
        401 => assert_eq!(headers["www-authenticate"], CHALLENGE, "{at}"),
        _ => {
            let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{at}: {seconds}");
        }
    }
}
