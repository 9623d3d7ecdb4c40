//! Makes credentials, or a plugin without Keystone, from the settings of a cloud.

mod auth_types;
mod build;
#[cfg(feature = "federation")]
mod federated;
mod members;
#[cfg(feature = "federation")]
mod person;
mod prompts;
mod required;
mod select;
mod unknown;

pub(super) use self::{build::Identity, prompts::Prompt};
use self::{members::Members, select::Selected};
use super::settings::Settings;
#[cfg(feature = "store")]
use crate::SharedTokens;
use crate::error::ConfigError;

/// The identity that the settings configure.
#[derive(Clone)]
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
    ///
    /// `http_hosts` are the hosts to which secrets of a federated login may be sent over plain http.
    pub(super) fn new(
        settings: &Settings,
        prompt: Option<&Prompt>,
        http_hosts: &[Box<str>],
    ) -> Result<Self, ConfigError> {
        let selected = Selected::new(settings)?;
        let mut members = Members::new(settings, &selected)?;
        if let Some(ask) = prompt {
            // The user is only asked if nothing else is missing.
            let is_promised = |name: &str| prompts::asks_for(&members, &selected, name);
            required::check(&members, &selected, settings, is_promised)?;
            prompts::ask(&mut members, &selected, ask)?;
        }
        required::check(&members, &selected, settings, |_| false)?;
        let identity = build::build(&members, &selected, http_hosts)?;
        Ok(Self { auth_type: selected.auth_type.name, identity })
    }

    /// Returns whether a client certificate logs in. Its key is a secret of the user, which no setting contains.
    #[cfg(feature = "federation")]
    pub(super) fn needs_certificate(&self) -> bool {
        matches!(self.auth_type, "v3oauth2mtlsclientcredential" | "v3tokenlessauth")
    }

    /// Shares the tokens of a federated login that the plugin does not share.
    #[cfg(feature = "store")]
    pub(super) fn store(self, tokens: Option<&SharedTokens>) -> Self {
        Self { identity: self.identity.store(tokens), ..self }
    }
}

#[cfg(test)]
mod tests;
