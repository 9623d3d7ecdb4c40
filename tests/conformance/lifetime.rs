//! Computes which token a plugin has at each call, from the times in its documents.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{Case, access::time_of, clock::FrozenClock};

/// When a token is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// At a call less than two minutes before the expiry, as keystoneauth does.
    AtCall,
    /// Never, as keystoneauth does with `reauthenticate=False`.
    Never,
    /// In the background, two minutes or a tenth of the lifetime before the expiry. At a call, ten seconds before it.
    /// The lifetime starts when the token is requested. This crate does so.
    InBackground,
}

#[derive(Clone)]
struct Token {
    id: String,
    document: Value,
    requested_at: Duration,
    /// Time from the request to the expiry.
    lifetime: Duration,
}

/// The state of the token at a call.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct TokenState {
    /// The token that the call uses or returns.
    pub(crate) token: Option<String>,
    /// The document of the token.
    pub(crate) document: Value,
    /// Number of logins that the call sends.
    pub(crate) logins: usize,
    /// Whether the next use sends a login.
    pub(crate) needs_login: bool,
}

/// Returns the state of the token at each call, or `None` if the case has calls or inputs that this cannot simulate.
pub(crate) fn tokens(case: &Case, renewal: Renewal) -> Option<Vec<TokenState>> {
    let plugin = case.plugin.as_ref()?;
    let start = FrozenClock::wall_of(case).ok()?;
    let logins: Vec<_> = case.exchanges.iter().filter(|exchange| exchange.method == "POST").collect();
    let mut login_count = 0;
    let mut current = match &plugin.auth_state {
        Value::Null => None,
        state => Some(stored(state, start, Duration::ZERO, renewal)?),
    };
    let mut now = Duration::ZERO;
    let mut used = String::new();
    let mut all = Vec::new();
    for call in case.calls() {
        let mut state = TokenState::default();
        match call["op"].as_str()? {
            "advance_time" => now += Duration::try_from_secs_f64(call["args"]["seconds"].as_f64()?).ok()?,
            "get_token" | "get_headers" | "get_user_id" | "get_project_id" | "get_access" | "get_sp_url" => {
                let age = current.as_ref().map_or(Age::Expired, |current| current.age(now, renewal));
                if let Some(current) = current.as_ref().filter(|_| age != Age::Expired) {
                    state.token = Some(current.id.clone());
                    state.document = current.document.clone();
                }
                if age != Age::Fresh {
                    // The last response of a server is repeated.
                    let login = logins.get(login_count).or(logins.last());
                    login_count += 1;
                    state.logins = 1;
                    let new_token = login.and_then(|login| {
                        issued(login.header("x-subject-token"), &login.document(), start, now, renewal)
                    });
                    if let Some(token) = new_token.as_ref().filter(|_| state.token.is_none()) {
                        state.token = Some(token.id.clone());
                        state.document = token.document.clone();
                    }
                    current = new_token.or(current.filter(|_| age == Age::Due));
                }
                used = state.token.clone().unwrap_or_default();
            }
            "set_auth_state" => {
                current = match &call["args"]["state"] {
                    Value::Null => None,
                    // An invalid state changes nothing.
                    state => stored(state, start, now, renewal).or(current),
                };
            }
            // This crate keeps the current token if another one was rejected.
            "invalidate" => {
                current = current.filter(|current| renewal == Renewal::InBackground && used != current.id)
            }
            _ => {
                if let Some(current) = &current {
                    state.token = Some(current.id.clone());
                    state.document = current.document.clone();
                }
            }
        }
        state.needs_login = current.as_ref().is_none_or(|current| current.age(now, renewal) != Age::Fresh);
        all.push(state);
    }
    Some(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    /// It is used, and renewed in the background.
    Due,
    Expired,
}

impl Token {
    fn age(&self, now: Duration, renewal: Renewal) -> Age {
        let minutes = Duration::from_secs(120);
        let age = now.saturating_sub(self.requested_at);
        match renewal {
            Renewal::Never => Age::Fresh,
            Renewal::AtCall if age + minutes > self.lifetime => Age::Expired,
            Renewal::AtCall => Age::Fresh,
            Renewal::InBackground => {
                let window = minutes.max(self.lifetime / 10).min(self.lifetime / 2);
                let margin = Duration::from_secs(10).min(window / 2);
                match age {
                    age if age >= self.lifetime.saturating_sub(margin) => Age::Expired,
                    age if age >= self.lifetime.saturating_sub(window) => Age::Due,
                    _ => Age::Fresh,
                }
            }
        }
    }
}

/// Returns the token of a login or a restored state at `now`.
fn issued(id: &str, document: &Value, start: SystemTime, now: Duration, renewal: Renewal) -> Option<Token> {
    let (token, of_v2) = (&document["token"], &document["access"]["token"]);
    let id = if id.is_empty() { of_v2["id"].as_str()? } else { id };
    let expires = time_of(token.get("expires_at").unwrap_or(&of_v2["expires"])).ok()?;
    let left = expires.duration_since(start + now).unwrap_or_default();
    let lifetime = match renewal {
        Renewal::InBackground => {
            let issued = time_of(&token["issued_at"]).ok();
            issued.and_then(|issued| expires.duration_since(issued).ok()).unwrap_or(left)
        }
        _ => left,
    };
    Some(Token { id: id.to_owned(), document: document.clone(), requested_at: now, lifetime })
}

fn stored(state: &Value, start: SystemTime, now: Duration, renewal: Renewal) -> Option<Token> {
    let state = match state {
        Value::String(raw) => serde_json::from_str(raw).ok()?,
        state => state.clone(),
    };
    let token =
        issued(state["auth_token"].as_str().unwrap_or_default(), &state["body"], start, now, renewal)?;
    // The time of its request is unknown.
    let left = issued(&token.id, &state["body"], start, now, Renewal::AtCall)?.lifetime;
    Some(Token { lifetime: token.lifetime.min(left), ..token })
}
