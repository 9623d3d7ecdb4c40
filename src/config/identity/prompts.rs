//! Asking the user for a password or a passcode.

use std::{io, sync::Arc};

use super::{members::Members, select::Selected};
use crate::{Secret, error::ConfigError};

/// Asks the user for a secret. The argument is the prompt, such as `Password: `.
pub(crate) type Prompt = Arc<dyn Fn(&str) -> io::Result<Secret> + Send + Sync>;

/// Returns whether the user is asked for this setting if it is absent.
pub(super) fn asks_for(selected: &Selected, name: &str) -> bool {
    selected.settings().any(|setting| setting.name == name && setting.prompt.is_some())
}

/// Asks for each absent setting that has a prompt.
pub(super) fn ask(members: &mut Members, selected: &Selected, ask: &Prompt) -> Result<(), ConfigError> {
    for setting in selected.settings() {
        let Some(prompt) = setting.prompt.filter(|_| members.get(setting.name).is_none()) else { continue };
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
