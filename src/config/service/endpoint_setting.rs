use super::service_settings::{NamedText, ServiceSettings};
use crate::{
    EndpointFilter, Error,
    config::{settings::Settings, value::Value},
    endpoint::OverrideIds,
    error::ConfigError,
};

/// The settings that give a login its scope.
const SCOPE: [&str; 7] =
    ["domain_id", "domain_name", "project_id", "project_name", "system_scope", "tenant_id", "tenant_name"];

/// Sets the URL that replaces the endpoint of the catalog, if one is configured.
pub(super) fn with_override(
    endpoint: EndpointFilter,
    service: &ServiceSettings<'_>,
    service_type: &str,
    auth_type: &str,
) -> Result<EndpointFilter, ConfigError> {
    let Some(url) = find_override(service, service_type, auth_type)? else { return Ok(endpoint) };
    let endpoint = endpoint.endpoint_override(url.as_str());
    check_override(&endpoint).map_err(|error| url.locate(error))?;
    Ok(endpoint)
}

fn find_override(
    service: &ServiceSettings<'_>,
    service_type: &str,
    auth_type: &str,
) -> Result<Option<NamedText>, ConfigError> {
    if let Some(url) = service.text(&["endpoint_override", "endpoint"])? {
        return Ok(Some(url));
    }
    let settings = service.settings;
    let name = if auth_type == "none" && is_set(settings, "endpoint") {
        // The setting `endpoint` is for all services.
        "endpoint"
    } else if service_type == "identity" && !is_scoped(settings, auth_type) {
        // A token without a scope has no catalog. Keystone itself can be used with it.
        "auth_url"
    } else {
        return Ok(None);
    };
    let Some(value) = find(settings, name) else { return Ok(None) };
    let text = value.text().map_err(|error| error.member(name))?;
    Ok(text.map(|text| NamedText::new(name, text)))
}

/// Returns whether logins ask for a scope. With `v2password` openstacksdk assumes that they do not.
fn is_scoped(settings: &Settings, auth_type: &str) -> bool {
    auth_type != "v2password" && SCOPE.iter().any(|name| is_set(settings, name))
}

fn is_set(settings: &Settings, name: &str) -> bool {
    find(settings, name).is_some()
}

/// Returns the value of a setting of the login, which can be in `auth` or at the top level.
fn find<'a>(settings: &'a Settings, name: &str) -> Option<&'a Value> {
    let values = || {
        [settings.auth.get(name), settings.top.get(name)].into_iter().flatten().filter(|value| value.is_set())
    };
    values().find(|value| value.location.is_argument()).or_else(|| values().next())
}

/// Returns an error if no token can make the URL usable.
fn check_override(endpoint: &EndpointFilter) -> Result<(), ConfigError> {
    let ids = || OverrideIds { project_id: Some("id"), user_id: Some("id") };
    let invalid = |reason: &str| ConfigError::invalid_value(format!("the URL of an endpoint; {reason}"));
    match endpoint.wanted_override().map(|url| url.resolve(ids)) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(Error::InvalidEndpoint { reason, .. })) => Err(invalid(reason)),
        Some(Err(_)) => Err(invalid("its placeholders can be %(project_id)s and %(user_id)s")),
    }
}
