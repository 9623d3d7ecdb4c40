//! The recorded result of a case, in the form in which this crate returns it.

use serde_json::{Map, Value, json};
use tower_keystone::{EndpointFilter, Interface};

use crate::{Case, written};

/// Returns the warnings, sorted.
pub(crate) fn warnings(expect: &Value) -> Value {
    json!(expect["warnings"].as_array().cloned().unwrap_or_default())
}

/// Returns the members of a loaded cloud without its services and its authentication. A relative path is in the working
/// directory.
pub(crate) fn cloud(case: &Case) -> Map<String, Value> {
    let (expect, tls) = (&case.expect, &case.expect["tls"]);
    let absolute = |path: &Value| path.as_str().map_or(path.clone(), |path| written::absolute(case, path));
    let cert = match &tls["cert"] {
        Value::Array(paths) => paths.iter().map(absolute).collect(),
        path => absolute(path),
    };
    let members = json!({
        "cloud": expect["cloud"],
        "region_name": text(&expect["region_name"]),
        "config_file": absolute(&expect["config_file"]),
        "secure_file": absolute(&expect["secure_file"]),
        "auth_type": expect["auth_type"],
        "interface": interfaces(&expect["interface"]),
        "tls": {
            "verify": if tls["verify"].is_null() { true.into() } else { absolute(&tls["verify"]) },
            "cert": text(&cert),
        },
        "timeout": expect["timeout"],
        "force_ipv4": expect["force_ipv4"] == true,
    });
    members.as_object().cloned().unwrap_or_default()
}

/// Returns the names of the interfaces in order of preference. None is `public`.
fn interfaces(interface: &Value) -> Value {
    let name = |name: &str| Value::from(Interface::from(name).as_str());
    match interface {
        Value::String(text) if !text.is_empty() => json!([name(text)]),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(name).collect(),
        _ => json!(["public"]),
    }
}

/// Returns a text, or null if it is empty.
fn text(value: &Value) -> Value {
    if *value == "" { Value::Null } else { value.clone() }
}

/// Returns the endpoint filter of a service, without its endpoint override.
pub(crate) fn endpoint(service: &Value) -> EndpointFilter {
    let text = |name: &str| service[name].as_str().unwrap_or_default();
    let mut filter = EndpointFilter::new(text("service_type"))
        .service_name(text("service_name"))
        .region(text("region_name"));
    if let Value::Array(names) = interfaces(&service["interface"]) {
        filter = filter.interfaces(names.iter().filter_map(Value::as_str).map(Interface::from));
    }
    let versions = &service["versions"];
    if let Some(Ok(major)) = versions["version"].as_str().map(str::parse) {
        filter = filter.version(major, 0);
    }
    match versions["default_microversion"].as_str() {
        Some(microversion) => filter.microversion(microversion),
        None => filter,
    }
}

/// Returns the headers and the endpoint, or the class of the error.
pub(crate) fn authentication(expected: &Value) -> Value {
    let mut expected = expected.clone();
    let Some(members) = expected.as_object_mut() else { return expected };
    members.remove("requests");
    members.remove("kind");
    if let Some(headers) = members.get_mut("headers") {
        let lower = |(name, value): (&String, &Value)| (name.to_ascii_lowercase(), value.clone());
        *headers = headers.as_object().into_iter().flatten().map(lower).collect::<Map<_, _>>().into();
    }
    if let Some(Value::String(endpoint)) = members.get_mut("endpoint") {
        *endpoint = endpoint.trim_end_matches('/').to_owned();
    }
    expected
}
