//! Computes which token a plugin has at each call, from the times of its documents.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{Case, access::time_of, servers::FrozenClock};

/// When a token is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// As the reference does it: at a call less than two minutes before the expiry.
    AtTheCall,
    /// The same with `reauthenticate=False`: never.
    Never,
    /// In the background, two minutes or a tenth of the lifetime before its end, which counts from when
    /// the token was asked for; at the call, ten seconds before it.
    InTheBackground,
}

#[derive(Clone)]
struct Token {
    id: String,
    document: Value,
    asked: Duration,
    /// The time from when it was asked for until it ends.
    lifetime: Duration,
}

/// What is known of the token at a call.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Had {
    /// The token that the call uses, or that is there for it to be shown.
    pub(crate) token: Option<String>,
    /// What its document says of it.
    pub(crate) document: Value,
    /// How many logins it makes.
    pub(crate) logins: usize,
    /// Whether the next use makes one.
    pub(crate) needs: bool,
}

/// What is known of the token at each call; nothing for a case that does more than to let time pass.
pub(crate) fn tokens(case: &Case, renewal: Renewal) -> Option<Vec<Had>> {
    let plugin = case.plugin.as_ref()?;
    let start = FrozenClock::wall_of(case).ok()?;
    let logins: Vec<_> = case.exchanges.iter().filter(|exchange| exchange.method == "POST").collect();
    let mut made = 0;
    let mut held = match &plugin.auth_state {
        Value::Null => None,
        state => Some(stored(state, start, Duration::ZERO, renewal)?),
    };
    let mut now = Duration::ZERO;
    let mut used = String::new();
    let mut all = Vec::new();
    for call in case.calls() {
        let mut had = Had::default();
        match call["op"].as_str()? {
            "advance_time" => now += Duration::try_from_secs_f64(call["args"]["seconds"].as_f64()?).ok()?,
            "get_token" | "get_headers" | "get_user_id" | "get_project_id" | "get_access" | "get_sp_url" => {
                let age = held.as_ref().map_or(Age::Over, |held| held.age(now, renewal));
                if let Some(held) = held.as_ref().filter(|_| age != Age::Over) {
                    had.token = Some(held.id.clone());
                    had.document = held.document.clone();
                }
                if age != Age::Good {
                    // The last answer of a server is given again and again.
                    let login = logins.get(made).or(logins.last());
                    made += 1;
                    had.logins = 1;
                    let brought = login.and_then(|login| {
                        issued(login.header("x-subject-token"), &login.document(), start, now, renewal)
                    });
                    if let Some(token) = brought.as_ref().filter(|_| had.token.is_none()) {
                        had.token = Some(token.id.clone());
                        had.document = token.document.clone();
                    }
                    held = brought.or(held.filter(|_| age == Age::Old));
                }
                used = had.token.clone().unwrap_or_default();
            }
            "set_auth_state" => {
                held = match &call["args"]["state"] {
                    Value::Null => None,
                    // One that is none changes nothing.
                    state => stored(state, start, now, renewal).or(held),
                };
            }
            // Ours compares what was refused.
            "invalidate" => held = held.filter(|held| renewal == Renewal::InTheBackground && used != held.id),
            _ => {
                if let Some(held) = &held {
                    had.token = Some(held.id.clone());
                    had.document = held.document.clone();
                }
            }
        }
        had.needs = held.as_ref().is_none_or(|held| held.age(now, renewal) != Age::Good);
        all.push(had);
    }
    Some(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Good,
    /// It is used, and replaced beside that.
    Old,
    Over,
}

impl Token {
    fn age(&self, now: Duration, renewal: Renewal) -> Age {
        let minutes = Duration::from_secs(120);
        let age = now.saturating_sub(self.asked);
        match renewal {
            Renewal::Never => Age::Good,
            Renewal::AtTheCall if age + minutes > self.lifetime => Age::Over,
            Renewal::AtTheCall => Age::Good,
            Renewal::InTheBackground => {
                let window = minutes.max(self.lifetime / 10).min(self.lifetime / 2);
                let margin = Duration::from_secs(10).min(window / 2);
                match age {
                    age if age >= self.lifetime.saturating_sub(margin) => Age::Over,
                    age if age >= self.lifetime.saturating_sub(window) => Age::Old,
                    _ => Age::Good,
                }
            }
        }
    }
}

/// The token of a login, or of a state, that is there at `now`.
fn issued(id: &str, document: &Value, start: SystemTime, now: Duration, renewal: Renewal) -> Option<Token> {
    let (token, of_v2) = (&document["token"], &document["access"]["token"]);
    let id = if id.is_empty() { of_v2["id"].as_str()? } else { id };
    let expires = time_of(token.get("expires_at").unwrap_or(&of_v2["expires"])).ok()?;
    let left = expires.duration_since(start + now).unwrap_or_default();
    let lifetime = match renewal {
        Renewal::InTheBackground => {
            let issued = time_of(&token["issued_at"]).ok();
            issued.and_then(|issued| expires.duration_since(issued).ok()).unwrap_or(left)
        }
        _ => left,
    };
    Some(Token { id: id.to_owned(), document: document.clone(), asked: now, lifetime })
}

fn stored(state: &Value, start: SystemTime, now: Duration, renewal: Renewal) -> Option<Token> {
    let state = match state {
        Value::String(raw) => serde_json::from_str(raw).ok()?,
        state => state.clone(),
    };
    let token =
        issued(state["auth_token"].as_str().unwrap_or_default(), &state["body"], start, now, renewal)?;
    // Nobody knows when it was asked for.
    let left = issued(&token.id, &state["body"], start, now, Renewal::AtTheCall)?.lifetime;
    Some(Token { lifetime: token.lifetime.min(left), ..token })
}
