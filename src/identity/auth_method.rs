use std::fmt;

#[cfg(feature = "federation")]
use super::LoginHeader;
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
    Password {
        user: User,
        password: Secret,
    },
    Totp {
        user: User,
        passcode: Secret,
    },
    Token(Secret),
    ApplicationCredential {
        id: Option<Box<str>>,
        name: Option<Box<str>>,
        user: User,
        secret: Secret,
    },
    Receipt(Secret),
    /// The method has no data. The `Authorization` header of the request proves who logs in.
    #[cfg(feature = "federation")]
    Header(HeaderMethod, LoginHeader),
}

/// A method whose proof is the `Authorization` header of the request.
#[cfg(feature = "federation")]
#[derive(Clone, Copy)]
enum HeaderMethod {
    Kerberos,
    OAuth1,
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

    /// Authenticates with a Kerberos ticket: keystoneauth's `v3kerberos`.
    ///
    /// The header must be `Negotiate` and a ticket for the service `HTTP@host` in base64 (RFC 4559), where `host` is
    /// that of the URL. The web server in front of Keystone checks it, which may be at another path of Keystone, such
    /// as `/krb/v3`. The example `kerberos` shows how to get a ticket.
    #[cfg(feature = "federation")]
    #[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
    pub fn kerberos(header: LoginHeader) -> Self {
        Self(Method::Header(HeaderMethod::Kerberos, header))
    }

    /// Authenticates with an OAuth 1.0a access token of Keystone: keystoneauth's `v3oauth1`.
    ///
    /// The header must be `OAuth`, with a signature of the method and the URL by HMAC-SHA1 (RFC 5849, section 3). The
    /// scope is that of the access token, so set no [`Scope`](super::Scope).
    #[cfg(feature = "federation")]
    #[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
    pub fn oauth1(header: LoginHeader) -> Self {
        Self(Method::Header(HeaderMethod::OAuth1, header))
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
            #[cfg(feature = "federation")]
            Method::Header(..) => (self.name(), Json::Object(Vec::new())),
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

    /// Returns the function that makes the `Authorization` header, if the method has one.
    #[cfg(feature = "federation")]
    pub(super) fn login_header(&self) -> Option<&LoginHeader> {
        match &self.0 {
            Method::Header(_, header) => Some(header),
            _ => None,
        }
    }

    /// Returns whether logins with a wrong secret may lock an account.
    pub(super) fn can_lock_account(&self) -> bool {
        matches!(self.0, Method::Password { .. } | Method::Totp { .. })
    }

    /// Returns the secret, which errors must not show. A method with a login header has none.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match &self.0 {
            #[cfg(feature = "federation")]
            Method::Header(..) => None,
            Method::Password { password: secret, .. }
            | Method::Totp { passcode: secret, .. }
            | Method::ApplicationCredential { secret, .. }
            | Method::Token(secret)
            | Method::Receipt(secret) => Some(secret),
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
            #[cfg(feature = "federation")]
            Method::Header(HeaderMethod::Kerberos, _) => MethodKind::Kerberos,
            #[cfg(feature = "federation")]
            Method::Header(HeaderMethod::OAuth1, _) => MethodKind::OAuth1,
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
            #[cfg(feature = "federation")]
            Method::Header(method, header) => {
                let proof = match method {
                    HeaderMethod::Kerberos => "a Kerberos ticket",
                    HeaderMethod::OAuth1 => "an OAuth 1.0a access token",
                };
                match header.name() {
                    Some(name) => format!("{proof} of {}", names.quote(name)),
                    None => proof.to_owned(),
                }
            }
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
            #[cfg(feature = "federation")]
            Method::Header(HeaderMethod::Kerberos, _) => "kerberos",
            #[cfg(feature = "federation")]
            Method::Header(HeaderMethod::OAuth1, _) => "oauth1",
        }
    }

    /// Returns the elements of a cache id for this method.
    pub(super) fn cache_id_elements(&self) -> Vec<(String, &str)> {
        let name = match &self.0 {
            Method::Password { .. } => "password",
            Method::Totp { .. } => "passcode",
            Method::Token(_) => "token",
            Method::ApplicationCredential { .. } => "application_credential_secret",
            Method::Receipt(_) => "receipt",
            #[cfg(feature = "federation")]
            Method::Header(..) => return self.public_id_elements(),
        };
        let mut elements = self.public_id_elements();
        elements.extend(self.secret().map(|secret| (format!("{}_{name}", self.name()), secret.expose())));
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
        #[cfg(feature = "federation")]
        if let Method::Header(_, header) = &self.0 {
            elements.push(("login_header", header.name()));
        }
        let method = self.name();
        elements.into_iter().filter_map(|(name, value)| Some((format!("{method}_{name}"), value?))).collect()
    }

    /// Returns whether the method says who logs in.
    ///
    /// Only what a login header proves is not known, if the header has no name.
    pub(super) fn has_cache_id(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "federation")]
            Method::Header(_, header) => header.name().is_some(),
            _ => true,
        }
    }

    /// Returns whether the method says who logs in, apart from its secret.
    pub(super) fn has_public_identity(&self) -> bool {
        match &self.0 {
            Method::Password { user, .. } | Method::Totp { user, .. } => user.is_named(),
            Method::ApplicationCredential { id, name, user, .. } => {
                non_empty(id).is_some() || (non_empty(name).is_some() && user.is_named())
            }
            Method::Token(_) | Method::Receipt(_) => false,
            #[cfg(feature = "federation")]
            Method::Header(_, header) => header.name().is_some(),
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
