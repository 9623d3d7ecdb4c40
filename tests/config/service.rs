//! The settings of single services.

use std::time::Duration;

use http::StatusCode;
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
            "endpoint" => format!("{:?}", expected::endpoint(expected)).into(),
            _ => expected[member].clone(),
        };
        compare(&subject(member), &expected, got.clone());
    }
}

fn to_json(service: &ServiceConfig, recorded: &Value) -> Value {
    let seconds = |delay: Option<Duration>| delay.map(|delay| delay.as_secs_f64());
    let codes = service.retriable_status_codes();
    let endpoint = service.endpoint();
    // A filter does not show its override.
    let url = recorded["endpoint_override"].as_str().unwrap_or_default();
    let has_recorded = endpoint.clone().endpoint_override(url) == endpoint;
    json!({
        "endpoint": format!("{:?}", endpoint.endpoint_override("")),
        "endpoint_override": if has_recorded { recorded["endpoint_override"].clone() } else { "another".into() },
        "api_version": service.api_version(),
        "default_microversion": service.default_microversion(),
        "connect_retries": service.connect_retries(),
        "connect_retry_delay": seconds(service.connect_retry_delay()),
        "status_code_retries": service.status_code_retries(),
        "status_code_retry_delay": seconds(service.status_code_retry_delay()),
        "retriable_status_codes": codes.map(|codes| codes.iter().map(StatusCode::as_u16).collect::<Vec<_>>()),
    })
}
