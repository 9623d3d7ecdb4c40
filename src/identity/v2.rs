use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};

use super::{
    AuthUrl, Credentials, User,
    cache_id::{auth_url_element, cache_id, public_id},
    credentials::AuthRefFuture,
    login,
    login_context::{LoginContext, MethodKind, NameFormatter},
    request_body::Json,
    response,
    text_setters::{non_empty, text_setters},
};
use crate::{Error, Secret, Transport, access::IdentityVersion};

/// Credentials for Keystone's old v2.0 API: keystoneauth's `v2.Password` and `v2.Token`.
///
/// A project is called *tenant* in this API.
#[derive(Clone)]
pub struct V2Credentials {
    auth_url: AuthUrl,
    method: Method,
    tenant_id: Option<Box<str>>,
    tenant_name: Option<Box<str>>,
    trust_id: Option<Box<str>>,
}

#[derive(Clone)]
enum Method {
    Password { user: User, password: Secret },
    Token(Secret),
}

impl V2Credentials {
    /// Authenticates a user with a password.
    ///
    /// The URL must end with `/v2.0`. The name of the user takes precedence over the id. The domain of the user is
    /// ignored, because v2.0 has no domains.
    pub fn password(auth_url: impl Into<AuthUrl>, user: User, password: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Method::Password { user, password: password.into() })
    }

    /// Authenticates with a token, to obtain a token for another tenant.
    ///
    /// The new token expires at the same time as this one.
    pub fn token(auth_url: impl Into<AuthUrl>, token: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Method::Token(token.into()))
    }

    fn new(auth_url: AuthUrl, method: Method) -> Self {
        Self { auth_url, method, tenant_id: None, tenant_name: None, trust_id: None }
    }

    text_setters! {
        /// Sets the id of the tenant to scope to. It takes precedence over a name.
        tenant_id,
        /// Sets the name of the tenant to scope to.
        tenant_name,
        /// Sets the id of the trust to scope to.
        trust_id,
    }

    /// Returns the login request.
    ///
    /// # Errors
    ///
    /// - [`Error::AuthorizationFailure`] if the user has neither a name nor an id.
    /// - [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, contains a user name or a
    ///   query, or is too long.
    /// - [`Error::InvalidToken`] if the token cannot be sent in a header.
    pub fn request(&self) -> Result<Request<Bytes>, Error> {
        let auth_url = self.auth_url.valid_uri()?.to_string();
        let (mut auth, header) = match &self.method {
            Method::Password { user, password } => {
                let user = match (non_empty(&user.username), non_empty(&user.user_id)) {
                    (Some(username), _) => ("username", Json::Text(username)),
                    (None, Some(id)) => ("userId", Json::Text(id)),
                    (None, None) => {
                        let reason =
                            "the user has neither a name nor an id; set User::username or User::user_id";
                        return Err(Error::AuthorizationFailure { reason });
                    }
                };
                let members = vec![("password", Json::Text(password.expose())), user];
                (vec![("passwordCredentials", Json::Object(members))], None)
            }
            Method::Token(token) => {
                let id = ("id", Json::Text(token.expose()));
                (vec![("token", Json::Object(vec![id]))], Some(("x-auth-token", token)))
            }
        };
        auth.extend(match (non_empty(&self.tenant_id), non_empty(&self.tenant_name)) {
            (Some(id), _) => Some(("tenantId", Json::Text(id))),
            (None, name) => name.map(|name| ("tenantName", Json::Text(name))),
        });
        auth.extend(non_empty(&self.trust_id).map(|id| ("trust_id", Json::Text(id))));

        login::request(format!("{}/tokens", auth_url.trim_end_matches('/')), header, auth)
    }
}

impl V2Credentials {
    /// Returns the elements of a cache id, without the secret.
    fn public_id_elements<'a>(&'a self, auth_url: &'a str) -> Vec<(String, Option<&'a str>)> {
        let mut elements = vec![
            ("auth_url", Some(auth_url)),
            ("tenant_id", self.tenant_id.as_deref()),
            ("tenant_name", self.tenant_name.as_deref()),
            ("trust_id", self.trust_id.as_deref()),
        ];
        if let Method::Password { user, .. } = &self.method {
            elements.extend([("username", user.username.as_deref()), ("user_id", user.user_id.as_deref())]);
        }
        elements.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Describes this login for errors.
    fn login_context(&self) -> LoginContext {
        let (kind, secret) = match &self.method {
            Method::Password { password, .. } => (MethodKind::Password, password),
            Method::Token(token) => (MethodKind::Token, token),
        };
        let identity = |names: &NameFormatter<'_>| match &self.method {
            Method::Password { user, .. } => {
                // Unlike in v3, the name takes precedence over the id.
                let (name, id) = (non_empty(&user.username), non_empty(&user.user_id));
                let id = id.filter(|_| name.is_none());
                format!("the password of {}", names.describe("user", id, name, None))
            }
            Method::Token(_) => "a token".to_owned(),
        };
        let scope = |names: &NameFormatter<'_>| match (
            non_empty(&self.tenant_id),
            non_empty(&self.tenant_name),
            non_empty(&self.trust_id),
        ) {
            (None, None, None) => "access without a tenant".to_owned(),
            (None, None, Some(trust)) => format!("trust id {}", names.quote(trust)),
            (id, name, _) => names.describe("tenant", id, name, None),
        };
        LoginContext::new(
            IdentityVersion::V2,
            self.auth_url.uri(),
            vec![secret.clone()],
            kind,
            identity,
            scope,
        )
    }
}

impl Credentials for V2Credentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let request = self.request();
        let context = self.login_context();
        Box::pin(async move {
            let response = login::send(&transport, request?).await?;
            response::access_info(response, &context)
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    fn cache_id(&self) -> Option<String> {
        let auth_url = auth_url_element(self.auth_url.uri());
        let mut elements = self.public_id_elements(&auth_url);
        elements.push(match &self.method {
            Method::Password { password, .. } => ("password".to_owned(), Some(password.expose())),
            Method::Token(token) => ("token".to_owned(), Some(token.expose())),
        });
        Some(cache_id(elements))
    }

    fn public_id(&self) -> Option<String> {
        let Method::Password { user, .. } = &self.method else { return None };
        let auth_url = auth_url_element(self.auth_url.valid_uri().ok()?);
        user.is_named().then(|| public_id("v2", self.public_id_elements(&auth_url)))
    }

    fn can_lock_account(&self) -> bool {
        matches!(self.method, Method::Password { .. })
    }
}

/// Shows the tenant, never the secrets.
impl fmt::Debug for V2Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V2Credentials")
            .field("tenant_id", &self.tenant_id)
            .field("tenant_name", &self.tenant_name)
            .finish_non_exhaustive()
    }
}
