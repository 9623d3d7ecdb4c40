//! The settings of auth types.

/// A setting of an auth type.
#[derive(Debug)]
pub(in crate::config::identity) struct Setting {
    pub(in crate::config::identity) name: &'static str,
    /// The old name of the setting. The current name takes precedence.
    pub(in crate::config::identity) old_name: Option<&'static str>,
    /// The prompt that asks the user for the setting if it is absent.
    pub(in crate::config::identity) prompt: Option<&'static str>,
}

pub(super) const fn setting(name: &'static str) -> Setting {
    Setting { name, old_name: None, prompt: None }
}

pub(super) const fn renamed(name: &'static str, old_name: &'static str) -> Setting {
    Setting { name, old_name: Some(old_name), prompt: None }
}

pub(super) const fn prompted(name: &'static str, prompt: &'static str) -> Setting {
    Setting { name, old_name: None, prompt: Some(prompt) }
}

impl Setting {
    /// Returns whether this is the name of the setting, or its old name.
    pub(in crate::config::identity) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.old_name == Some(name)
    }
}

pub(super) const USERNAME: Setting = renamed("username", "user_name");
pub(super) const PASSWORD: Setting = prompted("password", "Password: ");
pub(super) const TOKEN: Setting = renamed("token", "auth_token");
pub(super) const PASSCODE: Setting = prompted("passcode", "TOTP passcode: ");

pub(super) const USER: &[Setting] =
    &[setting("user_id"), USERNAME, setting("user_domain_id"), setting("user_domain_name")];
pub(super) const V2: &[Setting] = &[setting("auth_url"), setting("trust_id")];
pub(super) const V2_USER: &[Setting] = &[setting("user_id"), USERNAME];
pub(super) const V3: &[Setting] = &[
    setting("auth_url"),
    setting("system_scope"),
    setting("domain_id"),
    setting("domain_name"),
    setting("project_domain_id"),
    setting("project_domain_name"),
    setting("trust_id"),
];
pub(super) const PROJECT: &[Setting] =
    &[renamed("project_id", "tenant_id"), renamed("project_name", "tenant_name")];
pub(super) const TENANT: &[Setting] =
    &[renamed("tenant_id", "project_id"), renamed("tenant_name", "project_name")];
pub(super) const APPLICATION_CREDENTIAL: &[Setting] = &[
    setting("application_credential_id"),
    setting("application_credential_name"),
    setting("application_credential_secret"),
];
