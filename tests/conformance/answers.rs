//! What is compared of an answer: its value, or its error by class and members.

use serde_json::{Value, json};
use tower_keystone::Error;

use crate::Difference;

/// Classes of Python's own: they say that something was not coped with. `Deadlock` is a call that
/// would never have returned, `UnknownConnectionError` a URL that its HTTP library does not take.
const ANY_ERROR: [&str; 13] = [
    "AssertionError",
    "AttributeError",
    "Deadlock",
    "Exception",
    "IndexError",
    "JSONDecodeError",
    "KeyError",
    "OverflowError",
    "RecursionError",
    "TypeError",
    "UnicodeEncodeError",
    "UnknownConnectionError",
    "ValueError",
];

/// An error in the form in which the data has it, as far as it has one.
pub(crate) fn described(error: &Error) -> Value {
    match error {
        Error::Http(error) | Error::Service(error) => json!({
            "error": "HttpError",
            "http_status": error.status.as_u16(),
            "message": error.message,
            "details": error.details,
            "request_id": error.request_id,
            "retry_after": error.retry_after.map_or(0, |pause| pause.as_secs()),
        }),
        Error::MissingAuthMethods(missing) => {
            let expires = missing.expires.duration_since(std::time::SystemTime::UNIX_EPOCH);
            json!({
                "error": "MissingAuthMethods",
                "receipt": missing.receipt.expose(),
                "methods": missing.methods,
                "required_auth_methods": missing.required_auth_methods,
                "expires_at": expires.map_or(0, |since| since.as_micros() as u64),
            })
        }
        other => json!({"error": class(other), "text": other.to_string()}),
    }
}

fn class(error: &Error) -> &'static str {
    match error {
        Error::InvalidResponse { .. } => "InvalidResponse",
        Error::AuthorizationFailure { .. } | Error::NoToken => "AuthorizationFailure",
        Error::EndpointNotFound(_) | Error::NoEndpointFilter | Error::NoAuthUrl => "EndpointNotFound",
        Error::EmptyCatalog => "EmptyCatalog",
        Error::DiscoveryFailure(_) => "DiscoveryFailure",
        Error::ImpliedVersionMismatch { end: "maximum", .. } => "ImpliedMaxVersionMismatch",
        Error::ImpliedVersionMismatch { .. } => "ImpliedMinVersionMismatch",
        Error::ConnectFailure { .. } => "ConnectFailure",
        Error::Timeout { .. } => "ConnectTimeout",
        Error::Plugin { .. } => "MissingAuthPlugin",
        _ => "",
    }
}

/// Compares one answer with the expected one. The members of an error are compared one by one.
pub(crate) fn compare(
    differences: &mut Vec<Difference>,
    question: &str,
    expected: &Value,
    got: Result<Value, Value>,
) {
    let mut differ = |question: String, expected: &Value, got: Value| {
        differences.push(Difference { question, expected: expected.clone(), got });
    };
    match (expected.get("error").and_then(Value::as_str), got) {
        (None, Ok(got)) if expected["result"] == got => {}
        (Some(class), Err(_)) if ANY_ERROR.contains(&class) => {}
        (Some(class), Err(got)) => {
            // The classes of HTTP errors are one for each status.
            let both_http = expected["http_status"].is_u64() && got["http_status"].is_u64();
            let same = both_http || got["error"] == class;
            if !same {
                return differ(question.to_owned(), expected, got);
            }
            let members = ["http_status", "message", "details", "request_id", "retry_after"];
            let of_receipts = ["receipt", "methods", "required_auth_methods"];
            for member in members.into_iter().chain(of_receipts) {
                if expected[member] != got[member] {
                    differ(format!("{question}: {member}"), &expected[member], got[member].clone());
                }
            }
            let expires = expected.get("expires_at").map(|moment| &moment["epoch_us"]);
            if expires.is_some_and(|expires| *expires != got["expires_at"]) {
                differ(format!("{question}: expires_at"), &expected["expires_at"], got["expires_at"].clone());
            }
        }
        (_, got) => differ(question.to_owned(), expected, got.unwrap_or_else(|error| error)),
    }
}

/// Compares what was sent for an answer, and how long it was waited before each request.
pub(crate) fn compare_sent(
    differences: &mut Vec<Difference>,
    question: &str,
    expected: &Value,
    (sent, pauses): (Vec<Value>, Vec<f64>),
) {
    let requests: Vec<_> = expected["requests"].as_array().into_iter().flatten().map(said).collect();
    if requests != sent {
        let question = format!("{question}: requests");
        differences.push(Difference { question, expected: json!(requests), got: json!(sent) });
    }
    let sleeps = expected["sleeps"].as_array().into_iter().flatten().map(Value::as_f64);
    // To sleep for no time is not to sleep.
    let sleeps: Vec<_> = sleeps.filter(|seconds| *seconds != Some(0.0)).collect();
    if sleeps != pauses.iter().copied().map(Some).collect::<Vec<_>>() {
        let question = format!("{question}: sleeps");
        differences.push(Difference { question, expected: expected["sleeps"].clone(), got: json!(pauses) });
    }
}

/// A request of the data without what only the HTTP library of the reference says.
fn said(request: &Value) -> Value {
    let mut request = request.clone();
    if request["headers"]["accept"] == "*/*"
        && let Some(headers) = request["headers"].as_object_mut()
    {
        headers.remove("accept");
    }
    if let Some(pairs) = request["body"].get_mut("form").and_then(Value::as_array_mut) {
        pairs.sort_by_key(Value::to_string);
    }
    request
}
