use std::time::Duration;

use crate::Secret;

/// The answer of a token endpoint.
pub(in crate::federation) struct TokenResponse {
    /// The token that is sent to Keystone: the access token or the ID token.
    pub(in crate::federation) bearer: Secret,
    pub(in crate::federation) refresh_token: Option<Secret>,
    /// `expires_in`.
    pub(in crate::federation) lifetime: Option<Duration>,
}
