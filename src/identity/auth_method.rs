use std::fmt;

use super::{
    login_attempt::{Names, Proof},
    request_body::Json,
    text_setters::non_empty,
    user::User,
};
use crate::Secret;

/// One way to prove who one is to Keystone's v3 API: keystoneauth's `AuthMethod`.
///
/// Several of them in one call are multi-factor authentication. See the [module docs](super) for an
/// example.
#[derive(Clone)]
pub struct AuthMethod(Kind);

#[derive(Clone)]
enum Kind {
    Password { user: User, password: Secret },
    Totp { user: User, passcode: Secret },
    Token(Secret),
    ApplicationCredential { id: Option<Box<str>>, name: Option<Box<str>>, user: User, secret: Secret },
    Receipt(Secret),
}

impl AuthMethod {
    /// A user and their password.
    pub fn password(user: User, password: impl Into<Secret>) -> Self {
        Self(Kind::Password { user, password: password.into() })
    }

    /// A user and a passcode that is good for some seconds (TOTP, RFC 6238). Renewing takes a new one.
    pub fn totp(user: User, passcode: impl Into<Secret>) -> Self {
        Self(Kind::Totp { user, passcode: passcode.into() })
    }

    /// A token, to be exchanged for one with another scope. The new one expires with the old one.
    pub fn token(token: impl Into<Secret>) -> Self {
        Self(Kind::Token(token.into()))
    }

    /// An application credential by its id. Its scope is its own: none may be asked for.
    pub fn application_credential(id: impl Into<Box<str>>, secret: impl Into<Secret>) -> Self {
        Self::application_credential_from_parts(Some(id), None, User::new(), secret)
    }

    /// An application credential by its name and the user who made it.
    pub fn named_application_credential(
        name: impl Into<Box<str>>,
        user: User,
        secret: impl Into<Secret>,
    ) -> Self {
        Self::application_credential_from_parts(None, Some(name), user, secret)
    }

    /// An application credential by whatever is known of it; the id counts before the name.
    pub fn application_credential_from_parts<T: Into<Box<str>>>(
        id: Option<T>,
        name: Option<T>,
        user: User,
        secret: impl Into<Secret>,
    ) -> Self {
        let (id, name) = (id.map(Into::into), name.map(Into::into));
        Self(Kind::ApplicationCredential { id, name, user, secret: secret.into() })
    }

    /// The receipt of an authentication that some methods are still missing to
    /// ([`Error::MissingAuthMethods`](crate::Error::MissingAuthMethods)); to be followed by those.
    pub fn receipt(receipt: impl Into<Secret>) -> Self {
        Self(Kind::Receipt(receipt.into()))
    }

    /// The name of the method and its data in the body. A receipt has neither.
    pub(super) fn body(&self) -> Option<(&'static str, Json<'_>)> {
        let of_user = |secret| Json::Object(vec![("user", Json::Object(secret))]);
        Some(match &self.0 {
            Kind::Password { user, password } => {
                ("password", of_user(with_user(("password", password), user)))
            }
            Kind::Totp { user, passcode } => ("totp", of_user(with_user(("passcode", passcode), user))),
            Kind::Token(token) => ("token", Json::Object(vec![("id", Json::Text(token.expose()))])),
            Kind::ApplicationCredential { id, name, user, secret } => {
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
            Kind::Receipt(_) => return None,
        })
    }

    /// The header that goes with the method, where there is one.
    pub(super) fn header(&self) -> Option<(&'static str, &Secret)> {
        match &self.0 {
            Kind::Token(token) => Some(("x-auth-token", token)),
            Kind::Receipt(receipt) => Some(("openstack-auth-receipt", receipt)),
            _ => None,
        }
    }

    /// Whether a wrong secret counts as a failed login of an account.
    pub(super) fn can_lock_account(&self) -> bool {
        matches!(self.0, Kind::Password { .. } | Kind::Totp { .. })
    }

    /// What must not be seen of it.
    pub(super) fn secret(&self) -> &Secret {
        match &self.0 {
            Kind::Password { password: secret, .. }
            | Kind::Totp { passcode: secret, .. }
            | Kind::ApplicationCredential { secret, .. }
            | Kind::Token(secret)
            | Kind::Receipt(secret) => secret,
        }
    }

    /// What kind of proof it is.
    pub(super) fn proof(&self) -> Proof {
        match &self.0 {
            Kind::Password { .. } => Proof::Password,
            Kind::Totp { .. } => Proof::Passcode,
            Kind::Token(_) => Proof::Token,
            Kind::ApplicationCredential { .. } => Proof::ApplicationCredential,
            Kind::Receipt(_) => Proof::Receipt,
        }
    }

    /// Whose proof it is, in words.
    pub(super) fn as_text(&self, names: &Names<'_>) -> String {
        match &self.0 {
            Kind::Password { user, .. } => format!("the password of {}", user.as_text(names)),
            Kind::Totp { user, .. } => format!("a passcode of {}", user.as_text(names)),
            Kind::Token(_) => "a token".to_owned(),
            Kind::ApplicationCredential { id, name, user, .. } => {
                let credential = names.of("application credential", non_empty(id), non_empty(name), None);
                match non_empty(id) {
                    Some(_) => credential,
                    None => format!("{credential} of {}", user.as_text(names)),
                }
            }
            Kind::Receipt(_) => "a receipt".to_owned(),
        }
    }

    /// What tells this method from others in a cache id.
    pub(super) fn cache_id_elements(&self) -> Vec<(String, &str)> {
        let (method, mut elements): (_, Vec<(&str, Option<&str>)>) = match &self.0 {
            Kind::Password { password, .. } => ("password", vec![("password", Some(password.expose()))]),
            Kind::Totp { passcode, .. } => ("totp", vec![("passcode", Some(passcode.expose()))]),
            Kind::Token(token) => ("token", vec![("token", Some(token.expose()))]),
            Kind::ApplicationCredential { id, name, secret, .. } => (
                "application_credential",
                vec![
                    ("application_credential_secret", Some(secret.expose())),
                    ("application_credential_id", id.as_deref()),
                    ("application_credential_name", name.as_deref()),
                ],
            ),
            Kind::Receipt(receipt) => ("receipt", vec![("receipt", Some(receipt.expose()))]),
        };
        if let Kind::Password { user, .. }
        | Kind::Totp { user, .. }
        | Kind::ApplicationCredential { user, .. } = &self.0
        {
            elements.extend(user.cache_id_elements());
        }
        elements.into_iter().filter_map(|(name, value)| Some((format!("{method}_{name}"), value?))).collect()
    }
}

fn with_user<'a>(secret: (&'a str, &'a Secret), user: &'a User) -> Vec<(&'a str, Json<'a>)> {
    let mut members = user_members(user);
    members.push((secret.0, Json::Text(secret.1.expose())));
    members
}

fn user_members(user: &User) -> Vec<(&str, Json<'_>)> {
    if let Some(id) = non_empty(&user.user_id) {
        return vec![("id", Json::Text(id))];
    }
    let Some(name) = non_empty(&user.username) else { return Vec::new() };
    let mut members = vec![("name", Json::Text(name))];
    members.extend(domain(&user.user_domain_id, &user.user_domain_name));
    members
}

/// The domain of something that is named: by its id, else by its name.
pub(super) fn domain<'a>(
    id: &'a Option<Box<str>>,
    name: &'a Option<Box<str>>,
) -> Option<(&'a str, Json<'a>)> {
    let by = match (non_empty(id), non_empty(name)) {
        (Some(id), _) => ("id", Json::Text(id)),
        (None, Some(name)) => ("name", Json::Text(name)),
        (None, None) => return None,
    };
    Some(("domain", Json::Object(vec![by])))
}

/// The name of the method, never its data.
impl fmt::Debug for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.body().map_or("receipt", |(name, _)| name);
        write!(f, "AuthMethod({name})")
    }
}
