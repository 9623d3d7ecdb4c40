//! Makes credentials, or a plugin without Keystone, from the settings of a cloud.

mod auth_types;
mod build;
mod members;
mod prompts;
mod required;
mod select;
mod unknown;

pub(super) use self::{build::Identity, prompts::Prompt};
use self::{members::Members, select::Selected};
use super::settings::Settings;
use crate::error::ConfigError;

/// The identity that the settings configure.
pub(super) struct ConfiguredIdentity {
    /// The auth type, after old names were replaced.
    pub(super) auth_type: &'static str,
    pub(super) identity: Identity,
}

/// Returns the names of the settings of all auth types, also the old ones. Some occur several times.
pub(super) fn setting_names() -> impl Iterator<Item = &'static str> {
    auth_types::setting_names()
}

impl ConfiguredIdentity {
    /// Builds the identity, and asks for a missing password or passcode.
    pub(super) fn new(settings: &Settings, prompt: Option<&Prompt>) -> Result<Self, ConfigError> {
        let selected = Selected::new(settings)?;
        let mut members = Members::new(settings, &selected)?;
        if let Some(ask) = prompt {
            // The user is only asked if nothing else is missing.
            required::check(&members, &selected, settings, |name| prompts::asks_for(&selected, name))?;
            prompts::ask(&mut members, &selected, ask)?;
        }
        required::check(&members, &selected, settings, |_| false)?;
        let identity = build::build(&members, &selected)?;
        Ok(Self { auth_type: selected.auth_type.name, identity })
    }
}

#[cfg(test)]
mod tests;
