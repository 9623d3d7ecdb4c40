//! The tokens that a request presents.

use http::HeaderValue;

/// What a request presents as a token.
#[derive(Debug)]
pub(in crate::validate) enum PresentedToken {
    /// No token.
    Absent,
    /// Something that cannot be a token.
    Malformed,
    /// A token, without blanks around it.
    Token(HeaderValue),
}
