//! The responses to rejected requests, by keystonemiddleware and by this crate.

use serde_json::{Map, Value, json};

use crate::{
    Case, Difference,
    changes::header,
    input::{Step, application_decides},
};

/// Exception classes of keystonemiddleware if Keystone cannot be asked, or responds with nonsense.
pub(crate) const EXCEPTIONS: [&str; 8] = [
    "ConnectTimeout",
    "EmptyCatalog",
    "EndpointNotFound",
    "KeyError",
    "NotImplementedError",
    "RecursionError",
    "SSLError",
    "TypeError",
];

/// Returns the 401 of both.
pub(crate) fn unauthorized(case: &Case, step: &Step) -> Value {
    let uri = case.options.www_authenticate_uri.as_deref().unwrap_or_default();
    let document = json!({"error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }});
    json!({
        "status": 401,
        "www_authenticate": [format!("Keystone uri=\"{uri}\"")],
        "content_type": "application/json",
        "body": unless_head(step, document),
    })
}

/// Returns keystonemiddleware's response if Keystone cannot be asked.
pub(crate) fn recorded_unavailable(step: &Step) -> Value {
    let accepts_html = step.headers.iter().any(|(name, value)| name == "Accept" && &**value == "text/html");
    let (content_type, body) = match accepts_html || step.method == "HEAD" {
        true => ("text/html; charset=UTF-8", HTML),
        false => ("text/plain; charset=UTF-8", TEXT),
    };
    json!({
        "status": 503,
        "www_authenticate": [],
        "content_type": content_type,
        "body": unless_head(step, body.into()),
    })
}

const TEXT: &str = "503 Service Unavailable\n\nThe server is currently unavailable. Please try again at a later time.\n\n \
                    The Keystone service is temporarily unavailable.";

const HTML: &str = "<html>\n <head>\n  <title>503 Service Unavailable</title>\n </head>\n <body>\n  <h1>503 Service \
                    Unavailable</h1>\n  The server is currently unavailable. Please try again at a later time.<br \
                    /><br />\nThe Keystone service is temporarily unavailable.\n\n\n </body>\n</html>";

/// Returns the response of this crate if Keystone cannot be asked.
pub(crate) fn unavailable(step: &Step, retry_after: &str) -> Value {
    let document = json!({"error": {
        "code": 503,
        "title": "Service Unavailable",
        "message": "The Keystone service is temporarily unavailable.",
    }});
    json!({
        "status": 503,
        "www_authenticate": [],
        "content_type": "application/json",
        "body": unless_head(step, document),
        "retry_after": [retry_after],
    })
}

/// Returns whether keystonemiddleware ended with an exception of one of these classes.
pub(crate) fn is_exception(response: &Value, classes: &[&str]) -> bool {
    let class = response["error"].as_str().unwrap_or_default();
    classes.contains(&class) && *response == json!({"status": 500, "www_authenticate": [], "error": class})
}

/// Returns the response of the application, if the layer adds nothing.
pub(crate) fn of_application(step: &Step) -> Value {
    json!({"status": step.app.status.unwrap_or(200), "www_authenticate": []})
}

/// Returns the result if the token of the user is rejected: the response, or what the application sees.
pub(crate) fn rejected(case: &Case, step: &Step, difference: &Difference) -> Option<Value> {
    let identity = &case.expect[difference.call]["application"]["identity"];
    Some(match (application_decides(case), &*difference.subject) {
        (true, "response") => of_application(step),
        (true, "application") => invalid(step),
        // The service is not concerned.
        (true, "application: identity") => {
            let of_service = identity.as_object().into_iter().flatten();
            let of_service = of_service.filter(|(name, _)| name.starts_with("x-service-"));
            let mut identity: Map<_, _> =
                of_service.map(|(name, value)| (name.clone(), value.clone())).collect();
            identity.insert("x-identity-status".to_owned(), "Invalid".into());
            identity.into()
        }
        (true, "application: token_auth") => {
            json!({"user": false, "service": identity["x-service-identity-status"] == "Confirmed"})
        }
        (true, "application: service_catalog" | "application: token_info") => Value::Null,
        (false, "response") => unauthorized(case, step),
        (false, "application") => Value::Null,
        _ => return None,
    })
}

fn unless_head(step: &Step, body: Value) -> Value {
    if step.method == "HEAD" { Value::Null } else { body }
}

/// Returns what the application sees of a token that is not confirmed.
pub(crate) fn invalid(step: &Step) -> Value {
    let mut identity = json!({"x-identity-status": "Invalid"});
    if header(step, "x-service-token").is_some_and(|value| !value.is_empty()) {
        identity["x-service-identity-status"] = "Invalid".into();
    }
    json!({
        "identity": identity,
        "service_catalog": null,
        "token_info": null,
        "token_auth": {"user": false, "service": false},
    })
}
