use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};

use super::{
    AuthMethod, AuthUrl, Credentials, Scope,
    auth_method::domain,
    cache_id::{auth_url_element, cache_id},
    credentials::AuthRefFuture,
    login,
    login_attempt::{Attempt, Names, Proof},
    request_body::Json,
    response,
    text_setters::non_empty,
};
use crate::{Error, Transport, access::IdentityVersion};

/// Credentials for Keystone's v3 API: keystoneauth's `v3.Password`, `v3.Token`, `v3.TOTP`,
/// `v3.ApplicationCredential` and `v3.MultiFactor`, by the methods it is given.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct V3Credentials {
    auth_url: AuthUrl,
    methods: Vec<AuthMethod>,
    scope: Scope,
    include_catalog: bool,
}

impl V3Credentials {
    /// Credentials for the Keystone at this URL, with or without `/v3` at its end.
    ///
    /// Requests with [`Interface::Auth`](crate::Interface::Auth) are joined to the URL as it is. For them give it
    /// with `/v3`, or ask for [`version(3, 0)`](crate::EndpointFilter::version) in their filter, with an
    /// [`AuthLayer::discovery`](crate::AuthLayer::discovery).
    pub fn new(auth_url: impl Into<AuthUrl>, method: AuthMethod) -> Self {
        Self { auth_url: auth_url.into(), methods: vec![method], scope: Scope::new(), include_catalog: true }
    }

    /// Adds a further method to the same call.
    #[must_use]
    pub fn and(mut self, method: AuthMethod) -> Self {
        self.methods.push(method);
        self
    }

    /// What the token is to be good for.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Asks for a token without its catalog (`?nocatalog`), for those who only want the token.
    #[must_use]
    pub fn without_catalog(mut self) -> Self {
        self.include_catalog = false;
        self
    }

    /// The request that asks Keystone for a token.
    ///
    /// # Errors
    ///
    /// [`Error::AuthorizationFailure`] if no method would be sent, or more than one scope is asked for;
    /// [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, or has a user name or a
    /// query in it; [`Error::InvalidToken`] if a token or a receipt cannot be sent in a header.
    pub fn request(&self) -> Result<Request<Bytes>, Error> {
        let auth_url = self.auth_url.usable()?.to_string();
        let sent: Vec<_> = self.methods.iter().filter_map(AuthMethod::body).collect();
        if sent.is_empty() {
            let reason = "no method of authentication is given, such as a password";
            return Err(Error::AuthorizationFailure { reason });
        }
        let names = sent.iter().map(|(name, _)| Json::Text(name)).collect();
        let mut identity = vec![("methods", Json::List(names))];
        for (name, data) in sent {
            // A method that comes twice is named twice, and its last data counts.
            identity.retain(|(known, _)| *known != name);
            identity.push((name, data));
        }
        let mut auth = vec![("identity", Json::Object(identity))];
        auth.extend(scope(&self.scope)?.map(|scope| ("scope", scope)));

        let auth_url = auth_url.trim_end_matches('/');
        let v3 = if auth_url.ends_with("/v3") { "" } else { "/v3" };
        let query = if self.include_catalog { "" } else { "?nocatalog" };
        let headers = self.methods.iter().filter_map(AuthMethod::header);
        login::request(format!("{auth_url}{v3}/auth/tokens{query}"), headers, auth)
    }
}

impl V3Credentials {
    /// This login in words.
    fn attempt(&self) -> Attempt {
        let secrets = self.methods.iter().map(AuthMethod::secret).cloned().collect();
        let proof = match &*self.methods {
            [method] => method.proof(),
            _ => Proof::Several,
        };
        let identity = |names: &Names<'_>| {
            self.methods.iter().map(|method| method.as_text(names)).collect::<Vec<_>>().join(" and ")
        };
        let scope = |names: &Names<'_>| match proof {
            Proof::ApplicationCredential => "the scope of the application credential".to_owned(),
            _ => self.scope.as_text(names),
        };
        Attempt::new(IdentityVersion::V3, self.auth_url.uri(), secrets, proof, identity, scope)
    }
}

/// The `scope` of the body; `None` where none is asked for.
fn scope(scope: &Scope) -> Result<Option<Json<'_>>, Error> {
    let Scope { project_id, project_name, domain_id, domain_name, system_scope, trust_id, unscoped, .. } =
        scope;
    let object = |name, member| Json::Object(vec![(name, Json::Object(vec![member]))]);
    let by = |id, name| match (non_empty(id), non_empty(name)) {
        (Some(id), _) => Some(("id", Json::Text(id))),
        (None, name) => name.map(|name| ("name", Json::Text(name))),
    };

    let project = by(project_id, project_name).map(|by| {
        let named = by.0 == "name";
        let of_domain = domain(&scope.project_domain_id, &scope.project_domain_name).filter(|_| named);
        Json::Object(vec![("project", Json::Object([by].into_iter().chain(of_domain).collect()))])
    });
    let system = match non_empty(system_scope) {
        None => None,
        Some("all") => Some(object("system", ("all", Json::True))),
        Some(_) => return Err(Error::AuthorizationFailure { reason: "the system scope is `all` or none" }),
    };
    let asked = [
        by(domain_id, domain_name).map(|by| object("domain", by)),
        project,
        non_empty(trust_id).map(|id| object("OS-TRUST:trust", ("id", Json::Text(id)))),
        system,
        unscoped.then_some(Json::Text("unscoped")),
    ];
    let mut asked = asked.into_iter().flatten();
    match (asked.next(), asked.next()) {
        (one, None) => Ok(one),
        (_, Some(_)) => Err(Error::AuthorizationFailure {
            reason: "a token has one scope: a project, a domain, a trust, the system or unscoped",
        }),
    }
}

impl Credentials for V3Credentials {
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
            // What the reference's id does not tell apart.
            ("include_catalog".to_owned(), (!self.include_catalog).then_some("false")),
        ];
        elements.extend(self.scope.cache_id_elements());
        let methods = self.methods.iter().flat_map(AuthMethod::cache_id_elements);
        elements.extend(methods.map(|(name, value)| (name, Some(value))));
        Some(cache_id(elements))
    }

    fn can_lock_account(&self) -> bool {
        self.methods.iter().any(AuthMethod::can_lock_account)
    }
}

/// Where, by which methods and for which scope, never with what.
impl fmt::Debug for V3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V3Credentials")
            .field("methods", &self.methods)
            .field("scope", &self.scope)
            .field("include_catalog", &self.include_catalog)
            .finish_non_exhaustive()
    }
}
