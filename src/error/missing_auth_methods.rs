use std::time::SystemTime;

use super::format;
use crate::secret::Secret;

/// Keystone accepted some factors of a multi-factor authentication and requires more.
///
/// Log in again with the receipt and the missing methods: [`AuthMethod::receipt`](crate::AuthMethod::receipt) first,
/// then the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Keystone requires more authentication methods (accepted: {}; required: {}); log in again with the receipt and the \
     missing methods",
    format::methods(.methods), format::sets_of_methods(.required_auth_methods)
)]
#[non_exhaustive]
pub struct MissingAuthMethods {
    /// The receipt: proof of the methods that Keystone accepted.
    pub receipt: Secret,
    /// The methods that Keystone accepted.
    pub methods: Vec<String>,
    /// The sets of methods that Keystone requires. One of them has to be complete.
    pub required_auth_methods: Vec<Vec<String>>,
    /// When the receipt expires.
    pub expires: SystemTime,
}
