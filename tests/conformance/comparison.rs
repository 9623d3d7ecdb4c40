//! Compares results with the recorded ones: values, or errors by class and members.

use serde_json::{Value, json};
use tower_keystone::{BoxError, Error, discovery::ParseVersionError};

use crate::{Difference, Unanswered};

/// Why a call has no answer: it fails, or it cannot be made.
pub(crate) enum Failed {
    Error(Error),
    Unanswered(Unanswered),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ParseVersionError> for Failed {
    fn from(error: ParseVersionError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Unanswered> for Failed {
    fn from(why: Unanswered) -> Self {
        Self::Unanswered(why)
    }
}

impl From<Failed> for BoxError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Error(error) => error.into(),
            Failed::Unanswered(why) => why.into(),
        }
    }
}

impl Failed {
    /// The error in the form of the data, or why the call cannot be made.
    pub(crate) fn described(self) -> Result<Value, Unanswered> {
        match self {
            Self::Error(error) => Ok(described(&error)),
            Self::Unanswered(why) => Err(why),
        }
    }
}

/// Classes of Python's own: they say that something was not coped with. `Deadlock` is a call that
/// would never have returned, `UnknownConnectionError` a URL that its HTTP library does not take.
pub(crate) const ANY_ERROR: [&str; 14] = [
    "AssertionError",
    "AttributeError",
    "Deadlock",
    "Exception",
    "IndexError",
    "JSONDecodeError",
    "KeyError",
    "NotImplementedError",
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
        Error::Keystone(error) | Error::Service(error) => json!({
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
                "expires_at": {"epoch_us": expires.map_or(0, |since| since.as_micros() as u64)},
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
        Error::ImpliedVersionMismatch { bound: "maximum", .. } => "ImpliedMaxVersionMismatch",
        Error::ImpliedVersionMismatch { bound: "minimum", .. } => "ImpliedMinVersionMismatch",
        Error::ImpliedVersionMismatch { .. } => "ImpliedVersionMismatch",
        Error::ConnectFailure { .. } => "ConnectFailure",
        Error::Timeout { .. } => "ConnectTimeout",
        Error::Plugin { .. } => "MissingAuthPlugin",
        _ => "",
    }
}

/// Compares one answer with the expected one. The members of an error are compared one by one, as far
/// as the data has them.
pub(crate) fn compare(
    differences: &mut Vec<Difference>,
    (call, question): (usize, &str),
    expected: &Value,
    got: Result<Value, Value>,
) {
    let mut differ = |question: String, expected: &Value, got: Value| {
        differences.push(Difference { call, question, expected: expected.clone(), got });
    };
    match (expected.get("error").and_then(Value::as_str), got) {
        (None, Ok(got)) if same(value(expected), &got) => {}
        (Some(class), Err(_)) if ANY_ERROR.contains(&class) => {}
        (Some(class), Err(got)) => {
            // The classes of HTTP errors are one for each status.
            let both_http = expected["http_status"].is_u64() && got["http_status"].is_u64();
            // Its two children say which end it is.
            let implied = class == "ImpliedVersionMismatch"
                && got["error"].as_str().is_some_and(|got| got.starts_with("Implied"));
            if !both_http && !implied && got["error"] != class {
                return differ(question.to_owned(), expected, got);
            }
            for (member, expected) in expected.as_object().into_iter().flatten() {
                let of_call = matches!(&**member, "error" | "requests" | "sleeps");
                if !of_call && !same(expected, &got[member]) {
                    differ(format!("{question}: {member}"), expected, got[member].clone());
                }
            }
        }
        (_, got) => differ(question.to_owned(), expected, got.unwrap_or_else(|error| error)),
    }
}

/// The value of an answer, in whichever of its three forms.
pub(crate) fn value(expected: &Value) -> &Value {
    expected.get("result").or_else(|| expected.get("value")).unwrap_or(expected)
}

/// Equality, but for a point in time, which is the moment: its offset as it is written is not kept.
fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => match expected.get("epoch_us") {
            Some(moment) => got.get("epoch_us") == Some(moment),
            None => {
                let equal =
                    |(name, value): (&String, &Value)| got.get(name).is_some_and(|got| same(value, got));
                expected.len() == got.len() && expected.iter().all(equal)
            }
        },
        _ => expected == got,
    }
}

/// Compares what was sent for an answer, and how long it was waited before each request.
pub(crate) fn compare_sent(
    differences: &mut Vec<Difference>,
    (call, question): (usize, &str),
    expected: &Value,
    (sent, pauses): (Vec<Value>, Vec<f64>),
) {
    let requests: Vec<_> = expected["requests"].as_array().into_iter().flatten().map(said).collect();
    if requests != sent {
        let question = format!("{question}: requests");
        differences.push(Difference { call, question, expected: json!(requests), got: json!(sent) });
    }
    let sleeps = expected["sleeps"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    // To sleep for no time is not to sleep.
    let sleeps: Vec<_> = sleeps.filter(|seconds| *seconds != 0.0).collect();
    // The timer counts milliseconds.
    let near = |(expected, got): (&f64, &f64)| (expected - got).abs() <= 0.001;
    if sleeps.len() != pauses.len() || !sleeps.iter().zip(&pauses).all(near) {
        let question = format!("{question}: sleeps");
        differences.push(Difference { call, question, expected: json!(sleeps), got: json!(pauses) });
    }
}

/// A request of the data without what only the HTTP library of the reference says.
fn said(request: &Value) -> Value {
    let mut request = request.clone();
    if let Some(headers) = request.get_mut("headers").and_then(Value::as_object_mut)
        && headers.get("accept").is_some_and(|accept| accept == "*/*")
    {
        headers.remove("accept");
    }
    if let Some(pairs) = request.pointer_mut("/body/form").and_then(Value::as_array_mut) {
        pairs.sort_by_key(Value::to_string);
    }
    request
}
