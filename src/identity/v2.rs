use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;

use super::{
    Credentials, Transport, answer,
    cache_id::{auth_url_element, cache_id},
    credentials::AuthRefFuture,
    json::Json,
    login,
    parameters::{said, texts},
};
use crate::{Error, Secret, access::token_header, endpoint::BaseUrl};

/// Credentials for Keystone's v2.0 API, where that is still found: keystoneauth's `v2.Password` and
/// `v2.Token`.
#[derive(Clone)]
pub struct V2Auth {
    auth_url: Uri,
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
    pub fn password(auth_url: Uri, username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        Self::password_of(auth_url, Some(username.into()), None, password)
    }

    /// A user by name or by id, and their password; the name counts before the id.
    pub fn password_of(
        auth_url: Uri,
        username: Option<Box<str>>,
        user_id: Option<Box<str>>,
        password: impl Into<Secret>,
    ) -> Self {
        Self::new(auth_url, Proof::Password { username, user_id, password: password.into() })
    }

    /// A token, to be exchanged for one of another tenant. The new one expires with the old one.
    pub fn token(auth_url: Uri, token: impl Into<Secret>) -> Self {
        Self::new(auth_url, Proof::Token(token.into()))
    }

    fn new(auth_url: Uri, proof: Proof) -> Self {
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
    /// [`Error::InvalidEndpoint`] if the `auth_url` is none, or has a user name in it.
    pub fn request(&self) -> Result<Request<Full<Bytes>>, Error> {
        BaseUrl::check(&self.auth_url).map_err(|reason| Error::InvalidEndpoint { reason })?;
        let refused = |reason| Error::AuthorizationFailure { reason };
        let mut auth = match &self.proof {
            Proof::Password { username, user_id, password } => {
                let user = match (said(username), said(user_id)) {
                    (Some(username), _) => ("username", Json::Text(username)),
                    (None, Some(id)) => ("userId", Json::Text(id)),
                    (None, None) => return Err(refused("neither the name nor the id of a user is given")),
                };
                let members = vec![("password", Json::Text(password.expose())), user];
                vec![("passwordCredentials", Json::Object(members))]
            }
            Proof::Token(token) => {
                vec![("token", Json::Object(vec![("id", Json::Text(token.expose()))]))]
            }
        };
        auth.extend(match (said(&self.tenant_id), said(&self.tenant_name)) {
            (Some(id), _) => Some(("tenantId", Json::Text(id))),
            (None, name) => name.map(|name| ("tenantName", Json::Text(name))),
        });
        auth.extend(said(&self.trust_id).map(|id| ("trust_id", Json::Text(id))));
        let body = Json::Object(vec![("auth", Json::Object(auth))])
            .into_bytes()
            .map_err(|_| refused("the credentials cannot be written as JSON"))?;

        let auth_url = self.auth_url.to_string();
        let mut request = Request::post(format!("{}/tokens", auth_url.trim_end_matches('/')))
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Proof::Token(token) = &self.proof {
            request = request.header("x-auth-token", token_header(token.expose())?);
        }
        request
            .body(Full::new(body))
            .map_err(|_| Error::InvalidEndpoint { reason: "the auth_url is not a URL" })
    }
}

impl Credentials for V2Auth {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let request = self.request();
        let (Proof::Password { password: secret, .. } | Proof::Token(secret)) = &self.proof;
        let secret = secret.clone();
        Box::pin(async move { answer::v2(login::send(&transport, request?).await?, &secret) })
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    fn cache_id(&self) -> Option<String> {
        let auth_url = auth_url_element(&self.auth_url);
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
