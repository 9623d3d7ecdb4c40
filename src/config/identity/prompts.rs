//! Asking the user for a password or a passcode.

use std::{io, sync::Arc};

use super::{auth_types::Setting, members::Members, select::Selected};
use crate::{Secret, error::ConfigError};

/// Asks the user for a secret. The argument is the prompt, such as `Password: `.
pub(crate) type Prompt = Arc<dyn Fn(&str) -> io::Result<Secret> + Send + Sync>;

/// Returns whether the user is asked for this setting if it is absent.
pub(super) fn asks_for(members: &Members, selected: &Selected, name: &str) -> bool {
    selected.settings().any(|setting| setting.name == name && prompt(setting, members, selected).is_some())
}

/// Returns the prompt for a setting.
///
/// A provider takes a passcode only if the name of its form field is set.
fn prompt(setting: &Setting, members: &Members, selected: &Selected) -> Option<&'static str> {
    let is_unused =
        setting.name == "passcode" && selected.knows("idp_otp_key") && members.get("idp_otp_key").is_none();
    setting.prompt.filter(|_| !is_unused)
}

/// Asks for each absent setting that has a prompt.
pub(super) fn ask(members: &mut Members, selected: &Selected, ask: &Prompt) -> Result<(), ConfigError> {
    for setting in selected.settings() {
        let prompt = prompt(setting, members, selected).filter(|_| members.get(setting.name).is_none());
        let Some(prompt) = prompt else { continue };
        let answer = ask(prompt).map_err(|error| {
            let reason = format!("asking the user for the {} failed: {error}", setting.name);
            ConfigError::conflict(reason).member(&format!("auth.{}", setting.name))
        })?;
        if !answer.expose().is_empty() {
            members.add(setting.name, answer);
        }
    }
    Ok(())
}
