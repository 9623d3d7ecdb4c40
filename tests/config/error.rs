//! Errors of the configuration in the format of the data.

use std::path::Path;

use serde_json::{Value, json};
use tower_keystone::{
    Error,
    config::{ConfigError, ConfigErrorKind, ConfigLocation},
};

use crate::comparison::ANY_ERROR;

/// Returns an error with its kind and details as in the data, and its location and text.
pub(crate) fn to_json(error: &Error) -> Value {
    let Error::Config(error) = error else {
        return json!({"kind": "", "text": error.to_string()});
    };
    let mut all = kind_to_json(error);
    all["member"] = json!(error.member);
    all["location"] = json!(error.location.as_ref().map(ToString::to_string));
    all["text"] = error.to_string().into();
    all
}

fn kind_to_json(error: &ConfigError) -> Value {
    let member = error.member.as_deref().unwrap_or_default();
    match &error.kind {
        ConfigErrorKind::CloudNotFound { cloud, .. } => json!({"kind": "cloud_not_found", "cloud": cloud}),
        ConfigErrorKind::RegionNotFound { region, cloud, known, .. } => {
            json!({"kind": "region_not_valid", "region": region, "cloud": cloud, "valid": known})
        }
        ConfigErrorKind::UnknownAuthType { auth_type, .. } => {
            json!({"kind": "auth_type_unknown", "auth_type": auth_type})
        }
        ConfigErrorKind::UnsupportedAuthType { auth_type, .. } => {
            json!({"kind": "auth_type_unsupported", "auth_type": auth_type})
        }
        ConfigErrorKind::MissingSettings { names, .. } => {
            let mut names = names.clone();
            names.sort_unstable();
            json!({"kind": "missing_options", "options": names})
        }
        ConfigErrorKind::UnknownMember { .. } => {
            json!({"kind": "unknown_auth_option", "option": member.trim_start_matches("auth.")})
        }
        ConfigErrorKind::InvalidValue { expected, .. } if **expected == *"a mapping" && member.is_empty() => {
            json!({"kind": "not_a_mapping", "file": file(error)})
        }
        ConfigErrorKind::InvalidValue { .. } if member == "regions" => json!({"kind": "region_entry"}),
        ConfigErrorKind::InvalidValue { .. } => json!({"kind": "invalid_value"}),
        ConfigErrorKind::Syntax { .. } => json!({"kind": "syntax"}),
        ConfigErrorKind::Conflict { .. } if member.ends_with("_default_microversion") => {
            json!({"kind": "microversion_twice"})
        }
        ConfigErrorKind::Conflict { reason, .. } if reason.contains("OS_CLOUD_NAME") => {
            json!({"kind": "envvars_cloud_in_file"})
        }
        ConfigErrorKind::Conflict { .. } => json!({"kind": "conflict"}),
        ConfigErrorKind::Profile { profile, reason, .. } => {
            let must_be_fetched = reason.contains("fetch_profile");
            let kind = if must_be_fetched { "profile_not_fetched" } else { "profile_shut_down" };
            json!({"kind": kind, "profile": profile})
        }
        other => json!({"kind": format!("{other:?}")}),
    }
}

/// Returns the file of the location.
fn file(error: &ConfigError) -> Option<&Path> {
    match &error.location {
        Some(ConfigLocation::File { path, .. }) => Some(path),
        _ => None,
    }
}

/// Recorded kinds that are about one missing setting.
const MISSING: [(&str, &str); 6] = [
    ("application_credential_missing", "application_credential_id or application_credential_name"),
    ("application_credential_secret_missing", "application_credential_secret"),
    ("auth_methods_missing", "auth_methods"),
    ("oidc_endpoint_missing", "access_token_endpoint or discovery_endpoint"),
    ("project_domain_missing", "project_domain_id or project_domain_name"),
    ("user_domain_missing", "user_domain_id or user_domain_name"),
];

/// Returns the names of the settings that are missing according to the recorded error.
pub(crate) fn missing(recorded: &Value) -> Option<Value> {
    let class = recorded["error"].as_str()?;
    if !matches!(class, "MissingRequiredOptions" | "OptionError" | "TypeError") {
        return None;
    }
    match recorded["kind"].as_str()? {
        "missing_options" => Some(recorded["options"].clone()),
        kind => MISSING.iter().find(|(missing, _)| *missing == kind).map(|(_, setting)| json!([setting])),
    }
}

/// Returns whether the error is the recorded one: it has the same kind and the same details.
///
/// A recorded error without a kind is an exception of Python's own: openstacksdk did not handle the input, so any error
/// is expected.
pub(crate) fn is_expected(recorded: &Value, got: &Value) -> bool {
    let Some(kind) = recorded["kind"].as_str() else {
        return recorded["error"].as_str().is_some_and(|class| ANY_ERROR.contains(&class));
    };
    if let Some(missing) = missing(recorded) {
        return got["kind"] == "missing_options" && got["options"] == missing;
    }
    let details = recorded.as_object().into_iter().flatten();
    let mut details = details.filter(|(name, _)| !matches!(&***name, "error" | "kind" | "warnings"));
    got["kind"] == kind && details.all(|(name, detail)| got[name] == *detail)
}
