use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};

use super::{
    AuthUrl, Credentials, User,
    cache_id::{auth_url_element, cache_id},
    credentials::AuthRefFuture,
    login,
    login_attempt::{self, Attempt, Names},
    request_body::Json,
    response,
    text_setters::{non_empty, text_setters},
};
use crate::{Error, Secret, Transport, access::IdentityVersion};

/// Credentials for Keystone's v2.0 API, where that is still found: keystoneauth's `v2.Password` and
/// `v2.Token`.
#[derive(Clone)]
pub struct V2Credentials {
    auth_url: AuthUrl,
    proof: Proof,
    tenant_id: Option<Box<str>>,
    tenant_name: Option<Box<str>>,
    trust_id: Option<Box<str>>,
}

#[derive(Clone)]
enum Proof {
    Password { user: User, password: Secret },
    Token(Secret),
}

impl V2Credentials {
    /// A user and their password. The user's name counts before the id, and v2.0 has no domains. The URL ends in `/v2.0`.
    pub fn password(auth_url: impl Into<AuthUrl>, user: User, password: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Proof::Password { user, password: password.into() })
    }

    /// A token, to be exchanged for one of another tenant. The new one expires with the old one.
    pub fn token(auth_url: impl Into<AuthUrl>, token: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Proof::Token(token.into()))
    }

    fn new(auth_url: AuthUrl, proof: Proof) -> Self {
        Self { auth_url, proof, tenant_id: None, tenant_name: None, trust_id: None }
    }

    text_setters! {
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
    pub fn request(&self) -> Result<Request<Bytes>, Error> {
        let auth_url = self.auth_url.usable()?.to_string();
        let (mut auth, header) = match &self.proof {
            Proof::Password { user, password } => {
                let user = match (non_empty(&user.username), non_empty(&user.user_id)) {
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
        auth.extend(match (non_empty(&self.tenant_id), non_empty(&self.tenant_name)) {
            (Some(id), _) => Some(("tenantId", Json::Text(id))),
            (None, name) => name.map(|name| ("tenantName", Json::Text(name))),
        });
        auth.extend(non_empty(&self.trust_id).map(|id| ("trust_id", Json::Text(id))));

        login::request(format!("{}/tokens", auth_url.trim_end_matches('/')), header, auth)
    }
}

impl V2Credentials {
    /// This login in words.
    fn attempt(&self) -> Attempt {
        let (Proof::Password { password: secret, .. } | Proof::Token(secret)) = &self.proof;
        let proof = match &self.proof {
            Proof::Password { .. } => login_attempt::Proof::Password,
            Proof::Token(_) => login_attempt::Proof::Token,
        };
        let identity = |names: &Names<'_>| match &self.proof {
            Proof::Password { user, .. } => {
                // Here the name counts before the id.
                let (name, id) = (non_empty(&user.username), non_empty(&user.user_id));
                format!("the password of {}", names.of("user", id.filter(|_| name.is_none()), name, None))
            }
            Proof::Token(_) => "a token".to_owned(),
        };
        let scope = |names: &Names<'_>| match (
            non_empty(&self.tenant_id),
            non_empty(&self.tenant_name),
            non_empty(&self.trust_id),
        ) {
            (None, None, None) => "no tenant".to_owned(),
            (None, None, Some(trust)) => format!("trust id {}", names.show(trust)),
            (id, name, _) => names.of("tenant", id, name, None),
        };
        Attempt::new(IdentityVersion::V2, self.auth_url.uri(), vec![secret.clone()], proof, identity, scope)
    }
}

impl Credentials for V2Credentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let request = self.request();
        let attempt = self.attempt();
        Box::pin(async move {
            let answer = login::send(&transport, request?).await?;
            response::access_info(answer, &attempt)
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
            Proof::Password { user, password } => elements.extend([
                ("username".to_owned(), user.username.as_deref()),
                ("user_id".to_owned(), user.user_id.as_deref()),
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
impl fmt::Debug for V2Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V2Credentials")
            .field("tenant_id", &self.tenant_id)
            .field("tenant_name", &self.tenant_name)
            .finish_non_exhaustive()
    }
}
