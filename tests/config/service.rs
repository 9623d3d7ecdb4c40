//! The settings of single services.

use serde_json::{Value, json};
use tower_keystone::config::{CloudConfig, ServiceConfig};

use crate::{Case, error, expected};

/// Returns the settings or the error of each service that the case asks for.
pub(crate) fn all(config: &CloudConfig, case: &Case) -> Vec<(String, Value)> {
    let default = || vec!["identity".to_owned(), "compute".to_owned()];
    let services = case.services.clone().unwrap_or_else(default);
    let read = |service: String| {
        let got = match config.service(&service) {
            Ok(got) => to_json(&got, &case.expect["services"][&service]),
            Err(error) => error::to_json(&error),
        };
        (service, got)
    };
    services.into_iter().map(read).collect()
}

/// Compares the settings of a service member by member.
pub(crate) fn compare(
    service: &str,
    expected: &Value,
    got: Value,
    mut compare: impl FnMut(&str, &Value, Value),
) {
    let subject = |member: &str| format!("services.{service}.{member}");
    if got["kind"].is_string() {
        if !error::is_expected(&expected["versions"], &got) {
            compare(&subject("load"), expected, got);
        }
        return;
    }
    for (member, got) in got.as_object().into_iter().flatten() {
        let expected = match &**member {
            "endpoint" => expected::endpoint(expected).to_string().into(),
            _ => expected[member].clone(),
        };
        compare(&subject(member), &expected, got.clone());
    }
}

fn to_json(service: &ServiceConfig, expected: &Value) -> Value {
    let endpoint = service.endpoint();
    let override_url = expected["endpoint_override"].as_str().unwrap_or_default();
    json!({
        "endpoint": endpoint.to_string(),
        "endpoint_override": if endpoint.clone().endpoint_override(override_url) == endpoint { expected["endpoint_override"].clone() } else { "another".into() },
    })
}
