use std::time::SystemTime;

use super::format;
use crate::secret::Secret;

/// A multi-factor authentication of which some factors are missing.
///
/// Send the receipt and the missing ones:
/// [`AuthMethod::receipt`](crate::AuthMethod::receipt), then the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "further methods of authentication are required: {}; done: {}",
    format::sets_of_methods(.required_auth_methods), format::methods(.methods)
)]
#[non_exhaustive]
pub struct MissingAuthMethods {
    /// The proof of the methods that were right.
    pub receipt: Secret,
    /// The methods that were right.
    pub methods: Vec<String>,
    /// The sets of methods of which one has to be complete.
    pub required_auth_methods: Vec<Vec<String>>,
    /// Until when the receipt is good.
    pub expires: SystemTime,
}
