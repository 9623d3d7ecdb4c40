//! Errors about settings that an auth type does not know.

use super::{
    auth_types::{self, Setting},
    select::Selected,
};
use crate::{
    config::names::{closest::edit_distance, top_level},
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// Creates the error about a setting that the auth type does not know. `path` is the setting as it was written.
pub(super) fn unknown(name: &str, path: &str, location: &ConfigLocation, selected: &Selected) -> ConfigError {
    let auth_type = selected.auth_type.name;
    let in_environment = matches!(location, ConfigLocation::Variable(_));
    let hint = hint(name, selected, in_environment).into();
    ConfigError::new(ConfigErrorKind::UnknownMember { auth_type, hint }).at(location).member(path)
}

/// Returns where the member belongs, or what to write instead.
fn hint(name: &str, selected: &Selected, in_environment: bool) -> String {
    let setting = if in_environment { "OS_AUTH_TYPE" } else { "auth_type" };
    if top_level::contains(name) {
        return "move it out of auth, one level up".into();
    }
    match &*auth_types::that_know(name) {
        [] => {}
        [owner] if in_environment => return format!("remove it, or set {setting}={owner}"),
        [owner] => return format!("remove it, or set {setting}: {owner}"),
        owners => return format!("remove it, or set {setting} to one of {}", owners.join(", ")),
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

/// Returns whether a name is probably a misspelt known name: `os_password`, `project` for `project_name`, `pasword`.
fn is_similar(name: &str, known: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("os_").unwrap_or(&name);
    let is_beginning = known.strip_prefix(name).is_some_and(|rest| matches!(rest, "_id" | "_name" | "name"));
    is_beginning || edit_distance(name, known) <= 2
}
