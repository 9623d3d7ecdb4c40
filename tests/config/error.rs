//! Errors of the configuration in the format of the data.

use serde_json::{Value, json};
use tower_keystone::{
    Error,
    config::{ConfigError, ConfigErrorKind},
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
    match &error.kind {
        ConfigErrorKind::CloudNotFound { cloud, .. } => json!({"kind": "cloud_not_found", "cloud": cloud}),
        ConfigErrorKind::RegionNotFound { region, cloud, known, .. } => {
            json!({"kind": "region_not_valid", "region": region, "cloud": cloud, "valid": known})
        }
        ConfigErrorKind::UnknownAuthType { auth_type, .. } => {
            json!({"kind": "auth_type_unknown", "auth_type": auth_type})
        }
        ConfigErrorKind::MissingSettings { names, .. } => {
            let mut names = names.clone();
            names.sort_unstable();
            json!({"kind": "missing_options", "options": names})
        }
        ConfigErrorKind::UnknownMember { .. } => {
            let member = error.member.as_deref().unwrap_or_default();
            json!({"kind": "unknown_auth_option", "option": member.trim_start_matches("auth.")})
        }
        ConfigErrorKind::InvalidValue { expected, .. } => {
            json!({"kind": "invalid_value", "expected": expected})
        }
        ConfigErrorKind::Syntax { reason, .. } => json!({"kind": "syntax", "reason": reason}),
        ConfigErrorKind::Conflict { reason, .. } => json!({"kind": "conflict", "reason": reason}),
        ConfigErrorKind::Profile { profile, reason, .. } => {
            json!({"kind": "profile", "profile": profile, "reason": reason})
        }
        other => json!({"kind": format!("{other:?}")}),
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
    let details = recorded.as_object().into_iter().flatten();
    let mut details = details.filter(|(name, _)| !matches!(&***name, "error" | "kind" | "warnings"));
    got["kind"] == kind && details.all(|(name, detail)| got[name] == *detail)
}
