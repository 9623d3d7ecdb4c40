use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};

use super::{
    AuthMethod, AuthUrl, Credentials, Scope,
    auth_method::domain_member,
    cache_id::{auth_url_element, cache_id, public_id},
    credentials::AuthRefFuture,
    login,
    login_context::{LoginContext, MethodKind, NameFormatter},
    request_body::Json,
    response,
    text_setters::non_empty,
};
use crate::{Error, Transport, access::IdentityVersion};

/// Credentials for Keystone's v3 API.
///
/// Depending on the methods, they are keystoneauth's `v3.Password`, `v3.Token`, `v3.TOTP`, `v3.ApplicationCredential`
/// or `v3.MultiFactor`.
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
    /// Makes credentials for the Keystone at this URL, with or without `/v3` at the end.
    ///
    /// For a login, `/v3` is added if it is missing. For your own requests to Keystone, with
    /// [`Interface::Auth`](crate::Interface::Auth), it is not: their relative URIs are joined to this URL unchanged. If
    /// you send such requests, give the URL with `/v3`, or set [`version(3, 0)`](crate::EndpointFilter::version) in
    /// their `EndpointFilter` and [`discovery`](crate::AuthLayer::discovery) in the `AuthLayer`.
    pub fn new(auth_url: impl Into<AuthUrl>, method: AuthMethod) -> Self {
        Self { auth_url: auth_url.into(), methods: vec![method], scope: Scope::new(), include_catalog: true }
    }

    /// Adds a method, for multi-factor authentication.
    #[must_use]
    pub fn and(mut self, method: AuthMethod) -> Self {
        self.methods.push(method);
        self
    }

    /// Sets the scope of the token.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Requests a token without the service catalog (`?nocatalog`).
    #[must_use]
    pub fn without_catalog(mut self) -> Self {
        self.include_catalog = false;
        self
    }

    /// Returns the login request.
    ///
    /// It has no `Authorization` header: a `LoginHeader` is made when the request is sent.
    ///
    /// # Errors
    ///
    /// - [`Error::AuthorizationFailure`] if the only method is a receipt, if more than one scope is set, if the system
    ///   scope is not `all`, or if two methods have a `LoginHeader`.
    /// - [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, contains a user name or a
    ///   query, or is too long.
    /// - [`Error::InvalidToken`] if a token or a receipt cannot be sent in a header.
    pub fn request(&self) -> Result<Request<Bytes>, Error> {
        let auth_url = self.auth_url.valid_uri()?;
        #[cfg(feature = "federation")]
        if self.sent_methods().into_iter().filter_map(AuthMethod::login_header).count() > 1 {
            let reason = "a request has one `Authorization` header only; keep one of kerberos and oauth1";
            return Err(Error::AuthorizationFailure { reason });
        }
        let methods: Vec<_> = self.methods.iter().filter_map(AuthMethod::body_member).collect();
        if methods.is_empty() {
            let reason = "there is only a receipt; add the missing methods with V3Credentials::and";
            return Err(Error::AuthorizationFailure { reason });
        }
        let names = methods.iter().map(|(name, _)| Json::Text(name)).collect();
        let mut identity = vec![("methods", Json::List(names))];
        for (name, data) in methods {
            // If a method is given twice, its name is listed twice, and the data of the last one is sent.
            identity.retain(|(other, _)| *other != name);
            identity.push((name, data));
        }
        let mut auth = vec![("identity", Json::Object(identity))];
        auth.extend(scope_to_json(&self.scope)?.map(|scope| ("scope", scope)));

        let query = if self.include_catalog { "" } else { "?nocatalog" };
        let headers = self.methods.iter().filter_map(AuthMethod::header);
        login::request(tokens_url(auth_url) + query, headers, auth)
    }
}

impl V3Credentials {
    /// Returns the methods, but only the last one of each kind: the others are not in the login request.
    fn sent_methods(&self) -> Vec<&AuthMethod> {
        let mut sent: Vec<&AuthMethod> = Vec::new();
        for method in &self.methods {
            sent.retain(|other| other.name() != method.name());
            sent.push(method);
        }
        sent
    }

    /// Returns the elements of both ids that the methods do not decide.
    fn common_id_elements<'a>(&'a self, auth_url: &'a str) -> Vec<(String, Option<&'a str>)> {
        let mut elements = vec![
            ("auth_url".to_owned(), Some(auth_url)),
            // Not in keystoneauth's cache id.
            ("include_catalog".to_owned(), (!self.include_catalog).then_some("false")),
        ];
        elements.extend(self.scope.cache_id_elements());
        elements
    }

    /// Returns the cache id of credentials that have these elements for their methods.
    pub(crate) fn cache_id_with<'a>(
        &'a self,
        methods: impl IntoIterator<Item = (String, &'a str)>,
    ) -> String {
        let auth_url = auth_url_element(self.auth_url.uri());
        let mut elements = self.common_id_elements(&auth_url);
        elements.extend(methods.into_iter().map(|(name, value)| (name, Some(value))));
        cache_id(elements)
    }

    /// Returns the public id of credentials that have these elements, none of which is a secret, for their methods.
    ///
    /// `kind` tells types of credentials apart.
    pub(crate) fn public_id_with<'a>(
        &'a self,
        kind: &'a str,
        methods: impl IntoIterator<Item = (String, &'a str)>,
    ) -> Option<String> {
        let auth_url = auth_url_element(self.auth_url.valid_uri().ok()?);
        let mut elements = self.common_id_elements(&auth_url);
        elements.extend(methods.into_iter().map(|(name, value)| (name, Some(value))));
        Some(public_id(kind, elements))
    }

    /// Describes this login for errors.
    fn login_context(&self) -> LoginContext {
        let secrets = self.methods.iter().filter_map(AuthMethod::secret).cloned().collect();
        let kind = match &*self.methods {
            [method] => method.kind(),
            _ => MethodKind::Multiple,
        };
        let identity = |names: &NameFormatter<'_>| {
            self.methods.iter().map(|method| method.describe(names)).collect::<Vec<_>>().join(" and ")
        };
        let scope = |names: &NameFormatter<'_>| match kind {
            MethodKind::ApplicationCredential => "the scope of the application credential".to_owned(),
            #[cfg(feature = "federation")]
            MethodKind::OAuth1 => "the scope of the access token".to_owned(),
            _ => self.scope.describe(names),
        };
        LoginContext::new(IdentityVersion::V3, self.auth_url.uri(), secrets, kind, identity, scope)
    }
}

/// Returns the URL that issues tokens.
pub(super) fn tokens_url(auth_url: &Uri) -> String {
    v3_url(auth_url, "auth/tokens")
}

/// Returns the URL of a path of the v3 API: the `auth_url`, with `/v3` if that is missing, and the path.
pub(crate) fn v3_url(auth_url: &Uri, path: &str) -> String {
    let auth_url = auth_url.to_string();
    let auth_url = auth_url.trim_end_matches('/');
    let v3 = if auth_url.ends_with("/v3") { "" } else { "/v3" };
    format!("{auth_url}{v3}/{path}")
}

/// Returns the `scope` member of the request body, or `None` if no scope is set.
fn scope_to_json(scope: &Scope) -> Result<Option<Json<'_>>, Error> {
    let Scope { project_id, project_name, domain_id, domain_name, system_scope, trust_id, unscoped, .. } =
        scope;
    let object = |name, member| Json::Object(vec![(name, Json::Object(vec![member]))]);
    let id_or_name = |id, name| match (non_empty(id), non_empty(name)) {
        (Some(id), _) => Some(("id", Json::Text(id))),
        (None, name) => name.map(|name| ("name", Json::Text(name))),
    };

    let project = id_or_name(project_id, project_name).map(|member| {
        let is_name = member.0 == "name";
        let domain = domain_member(&scope.project_domain_id, &scope.project_domain_name).filter(|_| is_name);
        Json::Object(vec![("project", Json::Object([member].into_iter().chain(domain).collect()))])
    });
    let system = match non_empty(system_scope) {
        None => None,
        Some("all") => Some(object("system", ("all", Json::True))),
        Some(_) => return Err(Error::AuthorizationFailure { reason: "the system scope must be `all`" }),
    };
    let scopes = [
        id_or_name(domain_id, domain_name).map(|member| object("domain", member)),
        project,
        non_empty(trust_id).map(|id| object("OS-TRUST:trust", ("id", Json::Text(id)))),
        system,
        unscoped.then_some(Json::Text("unscoped")),
    ];
    let mut scopes = scopes.into_iter().flatten();
    match (scopes.next(), scopes.next()) {
        (scope, None) => Ok(scope),
        (_, Some(_)) => Err(Error::AuthorizationFailure {
            reason: "more than one scope is set; keep one of project, domain, trust, system and unscoped",
        }),
    }
}

impl Credentials for V3Credentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let request = self.request();
        let context = self.login_context();
        #[cfg(feature = "federation")]
        if let Some(header) = self.sent_methods().into_iter().find_map(AuthMethod::login_header) {
            let (header, mut context) = (header.clone(), context);
            return Box::pin(async move {
                let secrets = &mut context.secrets;
                let response = login::send_with_header(&transport, request?, &header, secrets).await?;
                response::access_info(response, &context)
            });
        }
        Box::pin(async move {
            let response = login::send(&transport, request?).await?;
            response::access_info(response, &context)
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    fn cache_id(&self) -> Option<String> {
        let sent_methods = self.sent_methods();
        if !sent_methods.iter().all(|method| method.has_cache_id()) {
            return None;
        }
        Some(self.cache_id_with(sent_methods.into_iter().flat_map(AuthMethod::cache_id_elements)))
    }

    fn public_id(&self) -> Option<String> {
        if !self.methods.iter().any(AuthMethod::has_public_identity) {
            return None;
        }
        let methods = self.sent_methods();
        let mut names: Vec<_> = methods.iter().map(|method| method.name()).collect();
        names.sort_unstable();
        let names = names.join(",");
        let methods = methods.into_iter().flat_map(AuthMethod::public_id_elements);
        self.public_id_with("v3", methods.chain([("methods".to_owned(), &*names)]))
    }

    fn can_lock_account(&self) -> bool {
        self.methods.iter().any(AuthMethod::can_lock_account)
    }
}

/// Shows the names of the methods and the scope, never the secrets.
impl fmt::Debug for V3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V3Credentials")
            .field("methods", &self.methods)
            .field("scope", &self.scope)
            .field("include_catalog", &self.include_catalog)
            .finish_non_exhaustive()
    }
}
