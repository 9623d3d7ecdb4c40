//! When the service renews its own token, in the way of this crate and in that of keystonemiddleware.

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    Case,
    changes::{document, elements},
    servers::{self, Body, Exchange, Servers},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// A token has the lifetime that Keystone states, from the request for it. It is renewed once per request if Keystone
    /// rejects it, and is not used again after that.
    Layer,
    /// A token is renewed 120 s before it expires. It is renewed once if Keystone rejects it; then the question is repeated
    /// in the same way.
    Keystonemiddleware,
}

/// A token of the service.
struct OwnToken {
    text: String,
    /// Seconds since the start at which it must not be used any more.
    end: f64,
    is_rejected: bool,
}

/// Returns the requests of each step, if all steps present the same token.
pub(crate) fn requests(case: &Case, behaviour: Behaviour) -> Vec<Value> {
    let servers = Servers::new(&case.exchanges);
    let recorded: Vec<_> = case.expect.iter().flat_map(|step| elements(&step["requests"])).collect();
    let first = |method: &str| recorded.iter().find(|request| request["method"] == method).cloned();
    let (Some(login), Some(question)) = (first("POST"), first("GET")) else { return Vec::new() };
    let mut logins = case.exchanges.iter().filter(|exchange| exchange.method == "POST");
    let mut own: Option<OwnToken> = None;
    let (mut now, mut cached_until) = (0.0, -1.0);
    let mut all = Vec::new();
    for step in &case.steps {
        now += step.advance;
        let mut sent = Vec::new();
        let mut attempts = 0;
        while now >= cached_until {
            while own.as_ref().is_none_or(|own| own.is_rejected || now >= own.end) {
                let Some(exchange) = logins.next() else { return Vec::new() };
                own = Some(OwnToken::new(exchange, behaviour, now));
                sent.push(login.clone());
            }
            let Some(own) = &mut own else { break };
            let mut request = question.clone();
            request["headers"]["x-auth-token"] = own.text.clone().into();
            let status = self::status(&servers, &request);
            sent.push(request);
            attempts += 1;
            if status == Some(200) {
                cached_until = now + case.options.token_cache_time.unwrap_or(300) as f64;
            }
            // keystonemiddleware renews at the first and at the third rejection.
            own.is_rejected =
                status == Some(401) && (behaviour == Behaviour::Layer || matches!(attempts, 1 | 3));
            let most = if behaviour == Behaviour::Layer { 2 } else { 4 };
            if status != Some(401) || attempts == most {
                break;
            }
        }
        all.push(json!(sent));
    }
    all
}

/// Returns the status of the response to a recorded request, if there is a response.
pub(crate) fn status(servers: &Servers, recorded: &Value) -> Option<u16> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut request = Request::builder().method(&*text(&recorded["method"])).uri(text(&recorded["url"]));
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        request = request.header(name, text(value));
    }
    let request = request.body(Body::default()).ok()?;
    let response = servers::run(servers.clone().oneshot(request));
    response.ok().map(|response| response.status().as_u16())
}

impl OwnToken {
    fn new(login: &Exchange, behaviour: Behaviour, now: f64) -> Self {
        let token = &login.document()["token"];
        let (expires, issued) = (seconds(&token["expires_at"]), seconds(&token["issued_at"]));
        let end = match behaviour {
            Behaviour::Layer => now + expires - issued,
            Behaviour::Keystonemiddleware => expires - START - 120.0,
        };
        Self { text: login.header("x-subject-token").to_owned(), end, is_rejected: false }
    }
}

/// Returns whether the first document of a token says that it has expired at a step.
pub(crate) fn has_expired(case: &Case, token: &str, call: usize) -> bool {
    let now: f64 = case.steps[..=call].iter().map(|step| step.advance).sum();
    document(case, token).is_some_and(|token| seconds(&token["expires_at"]) < START + now)
}

/// 2026-01-15T12:00:00Z, when all cases start.
const START: f64 = 1_768_478_400.0;

fn seconds(time: &Value) -> f64 {
    let time = time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
    time.map_or(f64::NAN, |time| time.as_second() as f64)
}
