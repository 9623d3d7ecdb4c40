//! The settings of a [`ValidateTokenLayer`](super::ValidateTokenLayer) that concern single requests.

use http::{Extensions, Uri};

/// Maximum length of a token by default, in bytes.
const MAX_TOKEN_LENGTH: usize = 8_192;

#[derive(Clone, Debug)]
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
