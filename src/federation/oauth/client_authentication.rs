//! How a client proves who it is.

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::form;
use crate::Secret;

/// How a client with a secret authenticates at its provider (RFC 6749, section 2.3.1).
///
/// A client without a secret sends its id in the form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// HTTP basic authentication with the id and the secret as they are, as keystoneauth sends them.
    ///
    /// It is the same as [`EncodedBasic`](Self::EncodedBasic) if the id and the secret consist of ASCII letters, digits
    /// and `-._~`. They are sent in Latin-1; a login with other characters fails.
    #[default]
    Basic,
    /// HTTP basic authentication with the id and the secret form-encoded first, as RFC 6749 requires
    /// (`client_secret_basic`).
    EncodedBasic,
    /// The id and the secret in the form (`client_secret_post`).
    Form,
}

impl ClientAuthentication {
    /// Returns the credentials after `Basic `, or `None` if this is [`Form`](Self::Form).
    ///
    /// # Errors
    ///
    /// What is wrong with the id or the secret.
    pub(super) fn basic(self, id: &str, secret: &Secret) -> Result<Option<Secret>, &'static str> {
        match self {
            Self::Basic => basic(id, secret.expose()).map(Some).ok_or(NOT_LATIN_1),
            Self::EncodedBasic => Ok(basic(&form::encode_text(id), &form::encode_text(secret.expose()))),
            Self::Form => Ok(None),
        }
    }
}

const NOT_LATIN_1: &str = "the id or the secret of the client has characters that are not in Latin-1, so nothing is \
                           sent; use ClientAuthentication::EncodedBasic or Form";

/// Returns the credentials of HTTP basic authentication: the name and the password in Latin-1, which is then written in
/// base64. `None` if they have other characters.
pub(in crate::federation) fn basic(name: &str, password: &str) -> Option<Secret> {
    let characters = || name.chars().chain([':']).chain(password.chars());
    let mut bytes = Zeroizing::new(Vec::with_capacity(characters().count()));
    for character in characters() {
        bytes.push(u8::try_from(character).ok()?);
    }
    Some(Secret::new(BASE64_STANDARD.encode(&*bytes)))
}

#[cfg(test)]
mod tests {
    use ClientAuthentication::{Basic, EncodedBasic, Form};

    use super::*;

    #[test]
    fn basic_credentials_are_raw_or_encoded() {
        for (authentication, secret, expected) in [
            (Basic, "s", Some("id:s")),
            (EncodedBasic, "s", Some("id:s")),
            (Basic, "a:b c%", Some("id:a:b c%")),
            (EncodedBasic, "a:b c%", Some("id:a%3Ab+c%25")),
            (EncodedBasic, "é名", Some("id:%C3%A9%E5%90%8D")),
            (Form, "s", None),
        ] {
            let found = authentication.basic("id", &secret.into()).unwrap();
            let found = found.map(|found| BASE64_STANDARD.decode(found.expose()).unwrap());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{secret}");
        }
    }

    #[test]
    fn raw_basic_credentials_are_latin_1() {
        assert_eq!(basic("client-id", "é").unwrap().expose(), "Y2xpZW50LWlkOuk=");
        assert_eq!(basic("ÿ", "\0").unwrap().expose(), BASE64_STANDARD.encode(b"\xff:\0"));
        for (id, secret) in [("id", "€"), ("名", "s")] {
            assert!(Basic.basic(id, &secret.into()).unwrap_err().contains("Latin-1"));
        }
    }
}
