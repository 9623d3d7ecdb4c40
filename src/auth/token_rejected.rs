use std::fmt;

/// A response extension: the service refused our token (401), and what that means.
///
/// It is there only if the request carried the layer's token. The response's body is untouched.
///
/// ```
/// use tower_keystone::TokenRejected;
///
/// fn explain<B>(response: &http::Response<B>) -> String {
///     match response.extensions().get::<TokenRejected>() {
///         Some(refusal) => format!("{}: {refusal}", response.status()),
///         None => response.status().to_string(),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRejected {
    /// The plugin can renew: send the request once more. It goes with the token that is current then.
    Renewable,
    /// The plugin cannot renew its token: sending the request again is of no use.
    Final,
}

impl TokenRejected {
    pub(crate) fn new(renewable: bool) -> Self {
        if renewable { Self::Renewable } else { Self::Final }
    }

    /// Whether it is of no use to send the request again.
    pub fn is_final(self) -> bool {
        self == Self::Final
    }
}

impl fmt::Display for TokenRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewable => "the token was refused; send the request once more with the current token",
            Self::Final => "the token was refused, and the identity plugin cannot renew it",
        })
    }
}
