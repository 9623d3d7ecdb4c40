use std::{error::Error as StdError, fmt, time::SystemTime};

use crate::Secret;

/// A multi-factor authentication of which some factors are missing.
///
/// Send the receipt and the missing ones:
/// [`AuthMethod::receipt`](crate::AuthMethod::receipt), then the others.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl fmt::Display for MissingAuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets: Vec<_> = self.required_auth_methods.iter().map(|set| set.join(" and ")).collect();
        write!(
            f,
            "further methods of authentication are required: {}; done: {}",
            sets.join(", or "),
            self.methods.join(" and "),
        )
    }
}

impl StdError for MissingAuthMethods {}
