//! Errors about settings that an auth type does not know.

use super::{
    auth_types::{self, Setting},
    select::Selected,
};
use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};

/// Settings that belong outside `auth`, one level up.
const TOP_LEVEL: &[&str] = &[
    "api_timeout",
    "auth_plugin",
    "auth_type",
    "cacert",
    "cert",
    "cloud",
    "endpoint_type",
    "force_ipv4",
    "insecure",
    "interface",
    "key",
    "networks",
    "profile",
    "region_name",
    "regions",
    "verify",
];

/// The ends of the settings of a service, such as `compute_api_version`, which belong outside `auth`, too.
const TOP_LEVEL_ENDS: &[&str] = &[
    "_api_version",
    "_connect_retries",
    "_connect_retry_delay",
    "_default_microversion",
    "_endpoint_override",
    "_endpoint_type",
    "_interface",
    "_region_name",
    "_retriable_status_codes",
    "_service_name",
    "_service_type",
    "_status_code_retries",
    "_status_code_retry_delay",
];

/// Creates the error about a setting that the auth type does not know. `path` is the setting as it was written.
pub(super) fn unknown(name: &str, path: &str, location: &ConfigLocation, selected: &Selected) -> ConfigError {
    let auth_type = selected.auth_type.name;
    let hint = hint(name, selected).into();
    ConfigError::new(ConfigErrorKind::UnknownMember { auth_type, hint }).at(location).member(path)
}

/// Returns where the member belongs, or what to write instead.
fn hint(name: &str, selected: &Selected) -> String {
    if TOP_LEVEL.contains(&name) || TOP_LEVEL_ENDS.iter().any(|end| name.ends_with(end)) {
        return "move it out of auth, one level up".into();
    }
    match &*auth_types::that_know(name) {
        [] => {}
        [owner] => return format!("remove it, or set auth_type: {owner}"),
        owners => return format!("remove it, or set auth_type to one of {}", owners.join(", ")),
    }
    let names =
        |settings: &[&'static Setting]| settings.iter().map(|setting| setting.name).collect::<Vec<_>>();
    let known: Vec<_> = selected.settings().collect();
    let mut similar = known.clone();
    similar.retain(|setting| {
        is_similar(name, setting.name) || setting.old_name.is_some_and(|old| is_similar(name, old))
    });
    match similar.is_empty() {
        false => format!("write {}", names(&similar).join(" or ")),
        true => format!("the auth type knows {}", names(&known).join(", ")),
    }
}

/// Returns whether a name may be meant for a known one: `os_password`, `project` for `project_name`, `pasword`.
fn is_similar(name: &str, known: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("os_").unwrap_or(&name);
    let is_beginning = known.strip_prefix(name).is_some_and(|rest| matches!(rest, "_id" | "_name" | "name"));
    is_beginning || edit_distance(name, known) <= 2
}

/// Returns how many characters have to be inserted, removed or replaced to turn one text into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    // Names of settings are short: a longer text is no typing error.
    if from.len() > 40 {
        return usize::MAX;
    }
    let mut distances: Vec<usize> = (0..=to.len()).collect();
    for (row, from) in from.bytes().enumerate() {
        let mut previous = vec![row + 1];
        for ((to, above), diagonal) in to.bytes().zip(&distances[1..]).zip(&distances) {
            let left = previous.last().copied().unwrap_or_default();
            previous.push((above.min(&left) + 1).min(diagonal + usize::from(from != to)));
        }
        distances = previous;
    }
    distances.last().copied().unwrap_or_default()
}
