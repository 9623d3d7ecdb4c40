//! The settings of a [`ValidateTokenLayer`](super::ValidateTokenLayer) that concern single requests.

use std::fmt;

use http::{Extensions, Uri};

use super::rejection::challenge;

/// Maximum length of a token by default, in bytes.
const MAX_TOKEN_LENGTH: usize = 8_192;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) www_authenticate_uri: Option<Uri>,
    pub(super) delay_auth_decision: bool,
    pub(super) service_token_roles: Vec<Box<str>>,
    pub(super) service_token_roles_required: bool,
    pub(super) service_type: Option<Box<str>>,
    pub(super) max_token_length: usize,
    pub(super) bearer_tokens: bool,
    pub(super) require_certificate_bound_tokens: bool,
    pub(super) sent_uri: Option<fn(&Extensions) -> Option<&Uri>>,
    pub(super) identity_headers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            www_authenticate_uri: None,
            delay_auth_decision: false,
            service_token_roles: vec!["service".into()],
            service_token_roles_required: true,
            service_type: None,
            max_token_length: MAX_TOKEN_LENGTH,
            bearer_tokens: false,
            require_certificate_bound_tokens: false,
            sent_uri: None,
            identity_headers: false,
        }
    }
}

/// Shows the URL as a challenge does, without a password that it may contain by mistake.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field(
                "www_authenticate_uri",
                &self.www_authenticate_uri.as_ref().map(|uri| challenge(Some(uri))),
            )
            .field("delay_auth_decision", &self.delay_auth_decision)
            .field("service_token_roles", &self.service_token_roles)
            .field("service_token_roles_required", &self.service_token_roles_required)
            .field("service_type", &self.service_type)
            .field("max_token_length", &self.max_token_length)
            .field("bearer_tokens", &self.bearer_tokens)
            .field("require_certificate_bound_tokens", &self.require_certificate_bound_tokens)
            .field("identity_headers", &self.identity_headers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let uri = Some("https://user:canary@keystone.example.com".parse().unwrap());
        let shown = format!("{:?}", Settings { www_authenticate_uri: uri, ..Settings::default() });
        assert!(shown.contains("keystone.example.com") && !shown.contains("canary"), "{shown}");
    }
}
