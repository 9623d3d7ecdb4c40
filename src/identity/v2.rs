use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;

use super::{
    AuthUrl, Credentials, Transport, answer,
    attempt::{self, Attempt, Names},
    cache_id::{auth_url_element, cache_id},
    credentials::AuthRefFuture,
    json::Json,
    login,
    parameters::{said, texts},
};
use crate::{Error, Secret, access::IdentityVersion};

/// Credentials for Keystone's v2.0 API, where that is still found: keystoneauth's `v2.Password` and
/// `v2.Token`.
#[derive(Clone)]
pub struct V2Auth {
    auth_url: AuthUrl,
    proof: Proof,
    tenant_id: Option<Box<str>>,
    tenant_name: Option<Box<str>>,
    trust_id: Option<Box<str>>,
}

#[derive(Clone)]
enum Proof {
    Password { username: Option<Box<str>>, user_id: Option<Box<str>>, password: Secret },
    Token(Secret),
}

impl V2Auth {
    /// A user by name, and their password. The URL has `/v2.0` at its end.
    pub fn password(
        auth_url: impl Into<AuthUrl>,
        username: impl Into<Box<str>>,
        password: impl Into<Secret>,
    ) -> Self {
        Self::password_of(auth_url, Some(username), None, password)
    }

    /// A user by name or by id, and their password; the name counts before the id.
    pub fn password_of<T: Into<Box<str>>>(
        auth_url: impl Into<AuthUrl>,
        username: Option<T>,
        user_id: Option<T>,
        password: impl Into<Secret>,
    ) -> Self {
        let (username, user_id) = (username.map(Into::into), user_id.map(Into::into));
        Self::new(auth_url.into(), Proof::Password { username, user_id, password: password.into() })
    }

    /// A token, to be exchanged for one of another tenant. The new one expires with the old one.
    pub fn token(auth_url: impl Into<AuthUrl>, token: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Proof::Token(token.into()))
    }

    fn new(auth_url: AuthUrl, proof: Proof) -> Self {
        Self { auth_url, proof, tenant_id: None, tenant_name: None, trust_id: None }
    }

    texts! {
        /// The project, here called tenant, of this id; it counts before a name.
        tenant_id,
        /// The project, here called tenant, of this name.
        tenant_name,
        /// What the trust of this id grants.
        trust_id,
    }

    /// The request that asks Keystone for a token.
    ///
    /// # Errors
    ///
    /// [`Error::AuthorizationFailure`] if neither the name nor the id of a user is given with the password;
    /// [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, or has a user name or a
    /// query in it; [`Error::InvalidToken`] if the token cannot be sent in a header.
    pub fn request(&self) -> Result<Request<Full<Bytes>>, Error> {
        let auth_url = self.auth_url.usable()?.to_string();
        let (mut auth, header) = match &self.proof {
            Proof::Password { username, user_id, password } => {
                let user = match (said(username), said(user_id)) {
                    (Some(username), _) => ("username", Json::Text(username)),
                    (None, Some(id)) => ("userId", Json::Text(id)),
                    (None, None) => {
                        let reason = "neither the name nor the id of a user is given";
                        return Err(Error::AuthorizationFailure { reason });
                    }
                };
                let members = vec![("password", Json::Text(password.expose())), user];
                (vec![("passwordCredentials", Json::Object(members))], None)
            }
            Proof::Token(token) => {
                let id = ("id", Json::Text(token.expose()));
                (vec![("token", Json::Object(vec![id]))], Some(("x-auth-token", token)))
            }
        };
        auth.extend(match (said(&self.tenant_id), said(&self.tenant_name)) {
            (Some(id), _) => Some(("tenantId", Json::Text(id))),
            (None, name) => name.map(|name| ("tenantName", Json::Text(name))),
        });
        auth.extend(said(&self.trust_id).map(|id| ("trust_id", Json::Text(id))));

        login::request(format!("{}/tokens", auth_url.trim_end_matches('/')), header, auth)
    }
}

impl V2Auth {
    /// This login in words.
    fn attempt(&self) -> Attempt {
        let (Proof::Password { password: secret, .. } | Proof::Token(secret)) = &self.proof;
        let proof = match &self.proof {
            Proof::Password { .. } => attempt::Proof::Password,
            Proof::Token(_) => attempt::Proof::Token,
        };
        let identity = |names: &Names<'_>| match &self.proof {
            Proof::Password { username, user_id, .. } => {
                // Here the name counts before the id.
                let (name, id) = (said(username), said(user_id));
                format!("the password of {}", names.of("user", id.filter(|_| name.is_none()), name, None))
            }
            Proof::Token(_) => "a token".to_owned(),
        };
        let scope = |names: &Names<'_>| match (
            said(&self.tenant_id),
            said(&self.tenant_name),
            said(&self.trust_id),
        ) {
            (None, None, None) => "no tenant".to_owned(),
            (None, None, Some(trust)) => format!("trust id {}", names.show(trust)),
            (id, name, _) => names.of("tenant", id, name, None),
        };
        Attempt::new(IdentityVersion::V2, self.auth_url.uri(), vec![secret.clone()], proof, identity, scope)
    }
}

impl Credentials for V2Auth {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let request = self.request();
        let attempt = self.attempt();
        Box::pin(async move {
            let answer = login::send(&transport, request?).await?;
            answer::access_info(answer, &attempt)
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    fn cache_id(&self) -> Option<String> {
        let auth_url = auth_url_element(self.auth_url.uri());
        let mut elements = vec![
            ("auth_url".to_owned(), Some(&*auth_url)),
            ("tenant_id".to_owned(), self.tenant_id.as_deref()),
            ("tenant_name".to_owned(), self.tenant_name.as_deref()),
            ("trust_id".to_owned(), self.trust_id.as_deref()),
        ];
        match &self.proof {
            Proof::Password { username, user_id, password } => elements.extend([
                ("username".to_owned(), username.as_deref()),
                ("user_id".to_owned(), user_id.as_deref()),
                ("password".to_owned(), Some(password.expose())),
            ]),
            Proof::Token(token) => elements.push(("token".to_owned(), Some(token.expose()))),
        }
        Some(cache_id(elements))
    }

    fn can_lock_account(&self) -> bool {
        matches!(self.proof, Proof::Password { .. })
    }
}

/// The tenant, never the credentials.
impl fmt::Debug for V2Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V2Auth")
            .field("tenant_id", &self.tenant_id)
            .field("tenant_name", &self.tenant_name)
            .finish_non_exhaustive()
    }
}
