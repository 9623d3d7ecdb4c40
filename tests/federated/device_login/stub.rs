//! A provider and a Keystone that respond by a script.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tower::service_fn;
use tower_keystone::{
    BoxError, Error, Transport,
    federation::{DeviceLogin, IdentityProvider, OidcClient},
};

/// How the stub responds to a request.
#[derive(Clone)]
pub enum Reply {
    Response(u16, &'static [(&'static str, &'static str)], Value),
    /// A response that was recorded.
    Recorded(Value),
    /// Responds after a time.
    After(Duration, Box<Reply>),
    Unreachable,
    Never,
    Panics,
}

use Reply::{After, Response as Respond};

pub fn after(seconds: u64, reply: Reply) -> Reply {
    After(Duration::from_secs(seconds), Box::new(reply))
}

/// An error of the provider.
pub fn error(code: &str) -> Reply {
    Respond(400, &[], json!({"error": code, "error_description": format!("it is {code}")}))
}

pub fn pending_login() -> Reply {
    error("authorization_pending")
}

pub fn status(status: u16) -> Reply {
    Respond(status, &[], json!("unavailable"))
}

/// A bearer, with a refresh token.
pub fn tokens() -> Reply {
    let tokens = json!({"access_token": "bearer-1", "expires_in": 3600, "refresh_token": "refresh-1"});
    Respond(200, &[], tokens)
}

pub fn bearer_only(lifetime: u64) -> Reply {
    Respond(200, &[], json!({"access_token": "bearer-1", "expires_in": lifetime}))
}

/// An unscoped token.
pub fn unscoped() -> Reply {
    let user = json!({"id": "u1", "name": "alice", "domain": {"id": "d1", "name": "feddom"}});
    let document =
        json!({"token": {"methods": ["openid"], "user": user, "expires_at": "2999-01-01T00:00:00.000000Z"}});
    Respond(201, &[("x-subject-token", "unscoped-1")], document)
}

/// A response of the device authorization endpoint with these members.
pub fn codes(members: Value) -> Reply {
    let mut codes = json!({
        "device_code": "device-1",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://op.example.com/activate",
        "expires_in": 600,
    });
    codes.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Respond(200, &[], codes)
}

/// Returns a request and its response that were recorded with a real provider and a real Keystone.
pub fn recorded(name: &str) -> (Value, Reply) {
    let path = format!("{}/tests/federation/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    (recorded["request"].clone(), Reply::Recorded(recorded["response"].clone()))
}

/// A request that the stub received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Seconds since the first request.
    pub at: u64,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// The scripts of the paths, and the requests. Clones share them.
#[derive(Clone, Default)]
pub struct Stub(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    scripts: HashMap<&'static str, VecDeque<Reply>>,
    requests: Vec<Received>,
    started: Option<Instant>,
}

pub const DEVICE: &str = "/device";
pub const TOKEN: &str = "/token";
pub const EXCHANGE: &str = "/v3/OS-FEDERATION/identity_providers/op/protocols/openid/auth";

impl Stub {
    /// Makes a stub with the default codes, whose Keystone issues a token at once.
    pub fn new(tokens: impl IntoIterator<Item = Reply>) -> Self {
        let stub = Self::default();
        stub.script(DEVICE, [codes(json!({}))]);
        stub.script(TOKEN, tokens);
        stub.script(EXCHANGE, [unscoped()]);
        stub
    }

    /// Sets the replies of a path. The last one is repeated.
    pub fn script(&self, path: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.0.lock().unwrap().scripts.insert(path, replies.into_iter().collect());
    }

    pub fn transport(&self) -> Transport {
        let stub = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let stub = stub.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
                stub.receive(&parts, body).respond().await
            }
        }))
    }

    fn receive(&self, parts: &http::request::Parts, body: String) -> Reply {
        let mut state = self.0.lock().unwrap();
        let at = state.started.get_or_insert_with(Instant::now).elapsed().as_secs();
        let path = parts.uri.path().to_owned();
        let script = state.scripts.get_mut(&*path).unwrap_or_else(|| panic!("no script for {path}"));
        let reply = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
        state.requests.push(Received { at, path, headers: parts.headers.clone(), body });
        reply.expect("the script is empty")
    }

    /// Returns the requests to a path.
    pub fn requests(&self, path: &str) -> Vec<Received> {
        self.0.lock().unwrap().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Returns when a path was requested, in seconds since the first request.
    pub fn times(&self, path: &str) -> Vec<u64> {
        self.requests(path).iter().map(|request| request.at).collect()
    }

    pub async fn start(&self) -> Result<DeviceLogin, Error> {
        self.start_with(client()).await
    }

    pub async fn start_with(&self, client: OidcClient) -> Result<DeviceLogin, Error> {
        let keystone = IdentityProvider::new("https://keystone.example.com/v3", "op", "openid");
        DeviceLogin::start(keystone, client, self.transport()).await
    }
}

pub fn client() -> OidcClient {
    OidcClient::new("cli")
        .device_authorization_endpoint("https://op.example.com/device")
        .access_token_endpoint("https://op.example.com/token")
}

impl Reply {
    async fn respond(mut self) -> Result<Response<Full<Bytes>>, BoxError> {
        while let After(time, reply) = self {
            sleep(time).await;
            self = *reply;
        }
        match self {
            Respond(status, headers, body) => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                Ok(response.body(Full::from(body.to_string()))?)
            }
            Self::Recorded(recorded) => {
                let mut response = Response::builder().status(recorded["status"].as_u64().unwrap() as u16);
                for (name, value) in recorded["headers"].as_object().unwrap() {
                    response = response.header(name, value.as_str().unwrap());
                }
                Ok(response.body(Full::from(recorded["body"].to_string()))?)
            }
            Self::Unreachable => Err("connection refused".into()),
            Self::Panics => panic!("the client panics"),
            Self::Never | After(..) => pending().await,
        }
    }
}

impl Received {
    /// Returns the names of the fields of a form.
    pub fn field_names(&self) -> Vec<&str> {
        self.body.split('&').map(|field| field.split('=').next().unwrap()).collect()
    }

    /// Returns a field of a form, still encoded.
    pub fn field(&self, name: &str) -> &str {
        let fields = self.body.split('&').map(|field| field.split_once('=').unwrap());
        fields.into_iter().find(|(found, _)| *found == name).unwrap().1
    }
}

/// Returns the code challenge of a verifier (RFC 7636, section 4.2).
pub fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}
