//! Compares results with the recorded ones: values, or errors by class and members.

use serde_json::{Value, json};
use tower_keystone::{
    BoxError, Error,
    discovery::ParseVersionError,
    error::{FederatedLoginFailed, LoginStep},
};

use crate::{Difference, Incomplete, replay::value};

/// Why a call has no result: it returns an error, or it cannot be made.
pub(crate) enum CallError {
    Error(Error),
    Incomplete(Incomplete),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ParseVersionError> for CallError {
    fn from(error: ParseVersionError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Incomplete> for CallError {
    fn from(why: Incomplete) -> Self {
        Self::Incomplete(why)
    }
}

impl From<CallError> for BoxError {
    fn from(failed: CallError) -> Self {
        match failed {
            CallError::Error(error) => error.into(),
            CallError::Incomplete(why) => why.into(),
        }
    }
}

impl CallError {
    /// Returns the error in the format of the data, or why the call cannot be made.
    pub(crate) fn into_json(self) -> Result<Value, Incomplete> {
        match self {
            Self::Error(error) => Ok(error_to_json(&error)),
            Self::Incomplete(why) => Err(why),
        }
    }
}

/// Exception classes of Python: keystoneauth did not handle the input. `Deadlock` is a call that would never have
/// returned, `UnknownConnectionError` is a URL that its HTTP library does not accept.
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

/// Returns an error in the format of the data. The class is empty if keystoneauth has no such class.
pub(crate) fn error_to_json(error: &Error) -> Value {
    match error {
        Error::Keystone(error) | Error::Service(error) => json!({
            "error": "HttpError",
            "http_status": error.status.as_u16(),
            "message": error.message,
            "details": error.details,
            "request_id": error.request_id,
            "retry_after": error.retry_after.map_or(0, |delay| delay.as_secs()),
        }),
        Error::FederatedLoginFailed(failed) => match (failed.status, federated_class(failed)) {
            (Some(status), "HttpError") => json!({
                "error": "HttpError",
                "http_status": status.as_u16(),
                "message": failed.error_description,
                "details": null,
                "request_id": null,
                "retry_after": failed.retry_after.map_or(0, |delay| delay.as_secs()),
                "text": error.to_string(),
            }),
            (_, class) => json!({"error": class, "text": error.to_string()}),
        },
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
        Error::EndpointNotFound(_) | Error::NoEndpoint | Error::NoEndpointFilter | Error::NoAuthUrl => {
            "EndpointNotFound"
        }
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

/// Returns the class of a federated login that failed before Keystone issued a token.
fn federated_class(failed: &FederatedLoginFailed) -> &'static str {
    let text = failed.to_string();
    let says = |part: &str| text.contains(part);
    match failed.step {
        LoginStep::OAuth2 => "ClientException",
        _ if failed.status.is_some_and(|status| status.is_success()) => "InvalidResponse",
        LoginStep::Assertion if failed.status.is_some() => "AuthorizationFailure",
        _ if failed.status.is_some() => "HttpError",
        _ if says("does not list this grant") => "OidcPluginNotSupported",
        LoginStep::Token | LoginStep::Discovery if says("access_token_endpoint") => {
            "OidcAccessTokenEndpointNotFound"
        }
        LoginStep::DeviceAuthorization | LoginStep::Discovery if says("device_authorization_endpoint") => {
            "OidcDeviceAuthorizationEndpointNotFound"
        }
        _ => "",
    }
}

/// Compares a result with the expected one. The members of an error are compared one by one, if the data contains them.
pub(crate) fn compare(
    differences: &mut Vec<Difference>,
    (call, subject): (usize, &str),
    expected: &Value,
    got: Result<Value, Value>,
) {
    let mut differ = |subject: String, expected: &Value, got: Value| {
        differences.push(Difference { call, subject, expected: expected.clone(), got });
    };
    match (expected.get("error").and_then(Value::as_str), got) {
        (None, Ok(got)) if same(value(expected), &got) => {}
        (Some(class), Err(_)) if ANY_ERROR.contains(&class) => {}
        (Some(class), Err(got)) => {
            // The class of an HTTP error depends only on its status, which is compared below.
            let both_http = expected["http_status"].is_u64() && got["http_status"].is_u64();
            // Its two subclasses name the minimum or the maximum.
            let implied = class == "ImpliedVersionMismatch"
                && got["error"].as_str().is_some_and(|got| got.starts_with("Implied"));
            if !both_http && !implied && got["error"] != class {
                return differ(subject.to_owned(), expected, got);
            }
            for (member, expected) in expected.as_object().into_iter().flatten() {
                let is_compared_elsewhere = matches!(&**member, "error" | "requests" | "sleeps");
                if !is_compared_elsewhere && !same(expected, &got[member]) {
                    differ(format!("{subject}: {member}"), expected, got[member].clone());
                }
            }
        }
        (_, got) => differ(subject.to_owned(), expected, got.unwrap_or_else(|error| error)),
    }
}

/// Returns whether two values are equal. Two times are equal if they are the same instant, with any UTC offset.
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

/// Compares the requests of a call, and the delays before them.
pub(crate) fn compare_requests(
    differences: &mut Vec<Difference>,
    (call, subject): (usize, &str),
    expected: &Value,
    (sent, delays): (Vec<Value>, Vec<f64>),
) {
    let requests: Vec<_> =
        expected["requests"].as_array().into_iter().flatten().map(without_default_accept).collect();
    let sent: Vec<_> = sent.iter().map(without_default_accept).collect();
    if requests != sent {
        let subject = format!("{subject}: requests");
        differences.push(Difference { call, subject, expected: json!(requests), got: json!(sent) });
    }
    let sleeps = expected["sleeps"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    // A sleep of 0 s does not count.
    let sleeps: Vec<_> = sleeps.filter(|seconds| *seconds != 0.0).collect();
    // The timer has a resolution of one millisecond.
    let is_close = |(expected, got): (&f64, &f64)| (expected - got).abs() <= 0.001;
    if sleeps.len() != delays.len() || !sleeps.iter().zip(&delays).all(is_close) {
        let subject = format!("{subject}: sleeps");
        differences.push(Difference { call, subject, expected: json!(sleeps), got: json!(delays) });
    }
}

/// Removes an `Accept` that accepts anything from a request. The HTTP library of keystoneauth adds it.
pub(crate) fn without_default_accept(request: &Value) -> Value {
    let mut request = request.clone();
    if let Some(headers) = request.get_mut("headers").and_then(Value::as_object_mut)
        && headers.get("accept").is_some_and(|accept| accept == "*/*")
    {
        headers.remove("accept");
    }
    request
}
