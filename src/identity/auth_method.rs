use std::fmt;

use super::{
    login_context::{MethodKind, NameFormatter},
    request_body::Json,
    text_setters::non_empty,
    user::User,
};
use crate::Secret;

/// An authentication method of Keystone's v3 API: keystoneauth's `AuthMethod`.
///
/// Several methods in one login are multi-factor authentication. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AuthMethod(Method);

#[derive(Clone)]
enum Method {
    Password { user: User, password: Secret },
    Totp { user: User, passcode: Secret },
    Token(Secret),
    ApplicationCredential { id: Option<Box<str>>, name: Option<Box<str>>, user: User, secret: Secret },
    Receipt(Secret),
}

impl AuthMethod {
    /// Authenticates a user with a password.
    pub fn password(user: User, password: impl Into<Secret>) -> Self {
        Self(Method::Password { user, password: password.into() })
    }

    /// Authenticates a user with a time-based one-time passcode (TOTP, RFC 6238).
    ///
    /// A passcode is valid for some seconds, so renewals with the same passcode fail. To log in again, create new
    /// credentials with a new passcode.
    pub fn totp(user: User, passcode: impl Into<Secret>) -> Self {
        Self(Method::Totp { user, passcode: passcode.into() })
    }

    /// Authenticates with a token, to obtain a token with another scope.
    ///
    /// The new token expires at the same time as this one.
    pub fn token(token: impl Into<Secret>) -> Self {
        Self(Method::Token(token.into()))
    }

    /// Authenticates with an application credential, given by its id.
    ///
    /// Its scope is fixed, so set no [`Scope`](super::Scope).
    pub fn application_credential(id: impl Into<Box<str>>, secret: impl Into<Secret>) -> Self {
        Self::application_credential_from_parts(Some(id), None, User::new(), secret)
    }

    /// Authenticates with an application credential, given by its name and the user who owns it.
    pub fn named_application_credential(
        name: impl Into<Box<str>>,
        user: User,
        secret: impl Into<Secret>,
    ) -> Self {
        Self::application_credential_from_parts(None, Some(name), user, secret)
    }

    /// Authenticates with an application credential, given by its id or by its name and the user who owns it.
    ///
    /// The id takes precedence over the name.
    pub fn application_credential_from_parts<T: Into<Box<str>>>(
        id: Option<T>,
        name: Option<T>,
        user: User,
        secret: impl Into<Secret>,
    ) -> Self {
        let (id, name) = (id.map(Into::into), name.map(Into::into));
        Self(Method::ApplicationCredential { id, name, user, secret: secret.into() })
    }

    /// Continues a login for which Keystone requires further methods.
    ///
    /// The receipt proves to Keystone that it has accepted the first methods. It is in
    /// [`Error::MissingAuthMethods`](crate::Error::MissingAuthMethods). Add the missing methods with
    /// [`V3Credentials::and`](super::V3Credentials::and).
    pub fn receipt(receipt: impl Into<Secret>) -> Self {
        Self(Method::Receipt(receipt.into()))
    }

    /// Returns the name of the method and its data in the request body. A receipt has neither.
    pub(super) fn body_member(&self) -> Option<(&'static str, Json<'_>)> {
        Some(match &self.0 {
            Method::Password { user, password } => ("password", user_with_secret(user, "password", password)),
            Method::Totp { user, passcode } => ("totp", user_with_secret(user, "passcode", passcode)),
            Method::Token(token) => ("token", Json::Object(vec![("id", Json::Text(token.expose()))])),
            Method::ApplicationCredential { id, name, user, secret } => {
                let mut members = vec![("secret", Json::Text(secret.expose()))];
                match (non_empty(id), non_empty(name)) {
                    (Some(id), _) => members.push(("id", Json::Text(id))),
                    (None, name) => {
                        members.extend(name.map(|name| ("name", Json::Text(name))));
                        members.push(("user", Json::Object(user_members(user))));
                    }
                }
                ("application_credential", Json::Object(members))
            }
            Method::Receipt(_) => return None,
        })
    }

    /// Returns the request header of the method, if it has one.
    pub(super) fn header(&self) -> Option<(&'static str, &Secret)> {
        match &self.0 {
            Method::Token(token) => Some(("x-auth-token", token)),
            Method::Receipt(receipt) => Some(("openstack-auth-receipt", receipt)),
            _ => None,
        }
    }

    /// Returns whether logins with a wrong secret may lock an account.
    pub(super) fn can_lock_account(&self) -> bool {
        matches!(self.0, Method::Password { .. } | Method::Totp { .. })
    }

    /// Returns the secret, which errors must not show.
    pub(super) fn secret(&self) -> &Secret {
        match &self.0 {
            Method::Password { password: secret, .. }
            | Method::Totp { passcode: secret, .. }
            | Method::ApplicationCredential { secret, .. }
            | Method::Token(secret)
            | Method::Receipt(secret) => secret,
        }
    }

    /// Returns the kind of the method, for errors.
    pub(super) fn kind(&self) -> MethodKind {
        match &self.0 {
            Method::Password { .. } => MethodKind::Password,
            Method::Totp { .. } => MethodKind::Totp,
            Method::Token(_) => MethodKind::Token,
            Method::ApplicationCredential { .. } => MethodKind::ApplicationCredential,
            Method::Receipt(_) => MethodKind::Receipt,
        }
    }

    /// Describes the method and the user for errors.
    pub(super) fn describe(&self, names: &NameFormatter<'_>) -> String {
        match &self.0 {
            Method::Password { user, .. } => format!("the password of {}", user.describe(names)),
            Method::Totp { user, .. } => format!("a passcode of {}", user.describe(names)),
            Method::Token(_) => "a token".to_owned(),
            Method::ApplicationCredential { id, name, user, .. } => {
                let credential =
                    names.describe("application credential", non_empty(id), non_empty(name), None);
                match non_empty(id) {
                    Some(_) => credential,
                    None => format!("{credential} of {}", user.describe(names)),
                }
            }
            Method::Receipt(_) => "a receipt".to_owned(),
        }
    }

    /// Returns the name of the method.
    pub(super) fn name(&self) -> &'static str {
        match &self.0 {
            Method::Password { .. } => "password",
            Method::Totp { .. } => "totp",
            Method::Token(_) => "token",
            Method::ApplicationCredential { .. } => "application_credential",
            Method::Receipt(_) => "receipt",
        }
    }

    /// Returns the elements of a cache id for this method.
    pub(super) fn cache_id_elements(&self) -> Vec<(String, &str)> {
        let secret = match &self.0 {
            Method::Password { .. } => "password",
            Method::Totp { .. } => "passcode",
            Method::Token(_) => "token",
            Method::ApplicationCredential { .. } => "application_credential_secret",
            Method::Receipt(_) => "receipt",
        };
        let mut elements = self.public_id_elements();
        elements.push((format!("{}_{secret}", self.name()), self.secret().expose()));
        elements
    }

    /// Returns the elements of a cache id for this method, without the secret.
    pub(super) fn public_id_elements(&self) -> Vec<(String, &str)> {
        let mut elements = Vec::new();
        if let Method::ApplicationCredential { id, name, .. } = &self.0 {
            elements.extend([
                ("application_credential_id", id.as_deref()),
                ("application_credential_name", name.as_deref()),
            ]);
        }
        if let Method::Password { user, .. }
        | Method::Totp { user, .. }
        | Method::ApplicationCredential { user, .. } = &self.0
        {
            elements.extend(user.cache_id_elements());
        }
        let method = self.name();
        elements.into_iter().filter_map(|(name, value)| Some((format!("{method}_{name}"), value?))).collect()
    }

    /// Returns whether the method says who logs in, apart from its secret.
    pub(super) fn has_public_identity(&self) -> bool {
        match &self.0 {
            Method::Password { user, .. } | Method::Totp { user, .. } => user.is_named(),
            Method::ApplicationCredential { id, name, user, .. } => {
                non_empty(id).is_some() || (non_empty(name).is_some() && user.is_named())
            }
            Method::Token(_) | Method::Receipt(_) => false,
        }
    }
}

/// Returns the data of a method that sends a user and a secret.
fn user_with_secret<'a>(user: &'a User, name: &'a str, secret: &'a Secret) -> Json<'a> {
    let mut members = user_members(user);
    members.push((name, Json::Text(secret.expose())));
    Json::Object(vec![("user", Json::Object(members))])
}

fn user_members(user: &User) -> Vec<(&str, Json<'_>)> {
    if let Some(id) = non_empty(&user.user_id) {
        return vec![("id", Json::Text(id))];
    }
    let Some(name) = non_empty(&user.username) else { return Vec::new() };
    let mut members = vec![("name", Json::Text(name))];
    members.extend(domain_member(&user.user_domain_id, &user.user_domain_name));
    members
}

/// Returns the `domain` member of a user or project that is given by name.
pub(super) fn domain_member<'a>(
    id: &'a Option<Box<str>>,
    name: &'a Option<Box<str>>,
) -> Option<(&'a str, Json<'a>)> {
    let member = match (non_empty(id), non_empty(name)) {
        (Some(id), _) => ("id", Json::Text(id)),
        (None, Some(name)) => ("name", Json::Text(name)),
        (None, None) => return None,
    };
    Some(("domain", Json::Object(vec![member])))
}

/// Shows the name of the method, never its data.
impl fmt::Debug for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthMethod({})", self.name())
    }
}
