use std::sync::Arc;

use super::{builder::Prompt, settings::Settings};
use crate::{Credentials, IdentityPlugin, error::ConfigError};

/// How requests are authenticated.
pub(super) enum Identity {
    /// By logins to Keystone.
    Credentials(Arc<dyn Credentials>),
    /// Without Keystone.
    Fixed(Arc<dyn IdentityPlugin>),
}

/// The identity that the settings configure.
pub(super) struct ConfiguredIdentity {
    /// The auth type, after old names were replaced.
    pub(super) auth_type: &'static str,
    pub(super) identity: Identity,
}

impl ConfiguredIdentity {
    /// Builds the identity, and asks for a missing password or passcode.
    pub(super) fn new(_settings: &Settings, _prompt: Option<&Prompt>) -> Result<Self, ConfigError> {
        Err(ConfigError::conflict("not built"))
    }
}
