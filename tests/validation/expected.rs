//! The recorded results, in the form in which they are compared.
//!
//! For each step: `response` (status, `www_authenticate`, and the error, or the content type and body of a response
//! that the middleware itself made), `application` (what it saw, or null if it did not run), `app_calls`, `requests` and
//! `sleeps`.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::servers::Text;

/// The members of a recorded step that say what the application saw.
pub(crate) const APPLICATION: [&str; 4] = ["identity", "service_catalog", "token_info", "token_auth"];

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Recorded {
        steps: Vec<Value>,
    }

    let recorded = Recorded::deserialize(deserializer)?;
    Ok(recorded.steps.into_iter().map(|step| normalized(repeated_texts(step))).collect())
}

fn normalized(mut step: Value) -> Value {
    let called = step["app_called"] == true;
    let mut response = Map::new();
    for name in ["status", "www_authenticate", "error", "content_type", "body"] {
        if let Some(value) = step.get_mut(name) {
            response.insert(name.to_owned(), value.take());
        }
    }
    // One value instead of an object that says whether it is JSON or a text.
    if let Some(body) = response.get_mut("body").filter(|body| body.is_object()) {
        let value = body.get("json").or_else(|| body.get("text")).cloned();
        *body = value.unwrap_or_default();
    }
    let application = APPLICATION.map(|name| (name.to_owned(), step[name].take()));
    let application = called.then(|| Value::from(Map::from_iter(application)));
    let mut list = |name: &str| json!(step[name].as_array_mut().map(std::mem::take).unwrap_or_default());
    json!({
        "response": response,
        "application": application,
        "app_calls": list("app_calls"),
        "requests": list("requests").as_array().map(|requests| requests.iter().map(with_body).collect::<Vec<_>>()),
        "sleeps": list("sleeps"),
    })
}

/// Adds the body of a request that has none.
fn with_body(request: &Value) -> Value {
    let mut request = request.clone();
    request["body"] = request["body"].take();
    request
}

/// Replaces repeated texts in a recorded result by the texts.
fn repeated_texts(value: Value) -> Value {
    match value {
        Value::Object(members) if members.contains_key("repeat") => {
            let written = Value::Object(members);
            serde_json::from_value::<Text>(written.clone()).map_or(written, |text| text.to_string().into())
        }
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (name, repeated_texts(member))).collect()
        }
        Value::Array(elements) => elements.into_iter().map(repeated_texts).collect(),
        value => value,
    }
}
