/// How a client with a secret authenticates at its provider (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// HTTP basic authentication with the id and the secret as they are, as keystoneauth sends them.
    #[default]
    Basic,
    /// HTTP basic authentication with the id and the secret form-encoded first, as RFC 6749 requires.
    EncodedBasic,
    /// The id and the secret in the form (`client_secret_post`).
    Form,
}
