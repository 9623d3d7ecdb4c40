use std::fmt;

/// A response extension that marks a 401, and says whether to send the request again.
///
/// The layer inserts it only if the request carried the token of the plugin. It does not read the body of the response.
///
/// ```
/// use tower_keystone::TokenRejected;
///
/// fn explain<B>(response: &http::Response<B>) -> String {
///     match response.extensions().get::<TokenRejected>() {
///         Some(rejected) => format!("{}: {rejected}", response.status()),
///         None => response.status().to_string(),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRejected {
    /// The plugin can renew the token. Send the request once more; it gets the token that is current then.
    Renewable,
    /// The plugin cannot renew the token. Sending the request again does not help.
    Final,
}

impl TokenRejected {
    pub(crate) fn new(renewable: bool) -> Self {
        if renewable { Self::Renewable } else { Self::Final }
    }

    /// Returns whether sending the request again does not help.
    pub fn is_final(self) -> bool {
        self == Self::Final
    }
}

impl fmt::Display for TokenRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewable => {
                "the service rejected the token; send the request once more to use the current token"
            }
            Self::Final => {
                "the service rejected the token, and the identity plugin cannot renew it; obtain a new token"
            }
        })
    }
}
