use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use http::Uri;

use super::{
    AuthMethod, AuthUrl, Credentials, Scope, User, V2Credentials, V3Credentials,
    cache_id::{auth_url_element, cache_id, public_id},
    credentials::AuthRefFuture,
    text_setters::non_empty,
};
use crate::{
    Error, Secret, Transport,
    discovery::{Allow, Discovery, FetchedDocument},
    error::DiscoveryFailure,
};

/// Credentials that work with Keystone's v3 and v2.0 APIs: keystoneauth's `generic.Password` and `generic.Token`.
///
/// The first login selects the API version. Later logins use the same version, and so do clones. To select it, the
/// first login:
///
/// 1. Requests the version document at the `auth_url`, without credentials.
/// 2. Selects the oldest version in the document that supports these credentials, or the newest one if a default domain
///    is set, as keystoneauth does. v2.0 supports neither domains, nor the system scope, nor [`Scope::unscoped`].
/// 3. If there is no version document, uses the version in the path of the `auth_url`, which must start with `/v3` or
///    `/v2.0`.
///
/// Credentials are only sent to the origin of the `auth_url`, even if the document links to another one. There is one
/// exception: if the request for the version document is redirected from `http` to `https` on the same host, the
/// credentials are sent to that `https` origin.
///
/// # Errors
///
/// [`get_auth_ref`](Credentials::get_auth_ref) has the errors of [`V3Credentials`] and [`V2Credentials`], and:
///
/// - [`Error::DiscoveryFailure`] if no version is found, or none that supports these credentials.
/// - [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, or contains a user name or a
///   query.
///
/// # Example
///
/// ```
/// # use tower_keystone::fixture::Cloud;
/// use tower_keystone::{GenericCredentials, IdentityPlugin, RenewingPlugin, Scope, Transport, User};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keystone::BoxError> {
/// # let cloud = Cloud::new([]).user("alice", "wonderland").project("demo");
/// # let auth_url = cloud.keystone().auth_url().trim_end_matches("/v3").to_owned();
/// # let client =
/// #     tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(cloud.clone());
/// // The URL of Keystone may end with a version or not.
/// let alice = User::new().username("alice").user_domain_name("Default");
/// let credentials = GenericCredentials::password(auth_url, alice, "wonderland")
///     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
/// let plugin = RenewingPlugin::new(credentials, Transport::new(client));
/// assert!(plugin.access().await?.project_id().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct GenericCredentials {
    auth_url: AuthUrl,
    method: Method,
    scope: Scope,
    default_domain_id: Option<Box<str>>,
    default_domain_name: Option<Box<str>>,
    /// The credentials for the API version that was selected.
    selected: Arc<OnceLock<Box<dyn Credentials>>>,
}

#[derive(Clone)]
enum Method {
    Password(User, Secret),
    Token(Secret),
}

impl GenericCredentials {
    /// Authenticates a user with a password.
    pub fn password(auth_url: impl Into<AuthUrl>, user: User, password: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Method::Password(user, password.into()))
    }

    /// Authenticates with a token, to obtain a token with another scope.
    ///
    /// The new token expires at the same time as this one.
    pub fn token(auth_url: impl Into<AuthUrl>, token: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Method::Token(token.into()))
    }

    fn new(auth_url: AuthUrl, method: Method) -> Self {
        Self {
            auth_url,
            method,
            scope: Scope::new(),
            default_domain_id: None,
            default_domain_name: None,
            selected: Arc::default(),
        }
    }

    /// Sets the scope of the token. v2.0 supports only projects and trusts.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self.without_selection()
    }

    /// Sets the id of the domain for a user or project that is given by name without a domain
    /// (`OS_DEFAULT_DOMAIN_ID`).
    ///
    /// v2.0 ignores it.
    #[must_use]
    pub fn default_domain_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.default_domain_id = Some(id.into());
        self.without_selection()
    }

    /// Sets the name of the domain for a user or project that is given by name without a domain
    /// (`OS_DEFAULT_DOMAIN_NAME`).
    ///
    /// v2.0 ignores it.
    #[must_use]
    pub fn default_domain_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.default_domain_name = Some(name.into());
        self.without_selection()
    }

    /// Discards the selected version, which may not support the new settings. Clones made before keep it.
    fn without_selection(mut self) -> Self {
        self.selected = Arc::default();
        self
    }

    /// Returns the credentials for a version that Keystone has and that supports these credentials.
    async fn select_version(&self, transport: Transport) -> Result<Box<dyn Credentials>, Error> {
        let auth_url = self.auth_url.valid_uri()?;
        let FetchedDocument { document, https_origin } =
            match Discovery::new(transport).fetch_document(&auth_url.to_string()).await {
                Ok(fetched) => fetched,
                Err(Error::DiscoveryFailure(failure)) => {
                    let failure = || DiscoveryFailure::clone(&failure).at_login().into();
                    return self.for_path_version().ok_or_else(failure);
                }
                Err(error) => return Err(error),
            };
        let mut versions: Vec<_> = document.version_data(Allow::default()).collect();
        if non_empty(&self.default_domain_id).or(non_empty(&self.default_domain_name)).is_some() {
            versions.reverse();
        }
        let for_version = |major, url: &str| {
            let url = url.parse().ok()?;
            let url = if let Some(origin) = &https_origin { origin.upgrade(url)? } else { url };
            self.for_version(major, url)
        };
        versions.iter().find_map(|data| for_version(data.version?.major, &data.url)).ok_or_else(|| {
            let requested = "a version of Keystone that supports these credentials (v3, or v2.0 for credentials \
                             without a domain, system scope or Scope::unscoped)";
            document.not_listed(requested).at_login().into()
        })
    }

    /// Returns the credentials for the version at the start of the URL's path.
    fn for_path_version(&self) -> Option<Box<dyn Credentials>> {
        let path = self.auth_url.uri().path().to_ascii_lowercase();
        let major = [("/v2.0", 2), ("/v3", 3)].into_iter().find(|(version, _)| path.starts_with(version))?.1;
        self.for_version(major, self.auth_url.uri().clone())
    }

    /// Returns the credentials for a version, or `None` if the version does not support them.
    fn for_version(&self, major: u32, url: Uri) -> Option<Box<dyn Credentials>> {
        match major {
            2 => Some(Box::new(self.to_v2(url)?)),
            3 => Some(Box::new(self.to_v3(url))),
            _ => None,
        }
    }

    fn to_v2(&self, url: Uri) -> Option<V2Credentials> {
        let Scope { project_domain_id, project_domain_name, domain_id, domain_name, system_scope, .. } =
            &self.scope;
        let mut unsupported =
            vec![project_domain_id, project_domain_name, domain_id, domain_name, system_scope];
        if let Method::Password(user, _) = &self.method {
            unsupported.extend([&user.user_domain_id, &user.user_domain_name]);
        }
        if self.scope.unscoped || unsupported.into_iter().any(|text| non_empty(text).is_some()) {
            return None;
        }
        let mut credentials = match &self.method {
            Method::Password(user, password) => V2Credentials::password(url, user.clone(), password.clone()),
            Method::Token(token) => V2Credentials::token(url, token.clone()),
        };
        if let Some(id) = non_empty(&self.scope.project_id) {
            credentials = credentials.tenant_id(id);
        }
        if let Some(name) = non_empty(&self.scope.project_name) {
            credentials = credentials.tenant_name(name);
        }
        if let Some(id) = non_empty(&self.scope.trust_id) {
            credentials = credentials.trust_id(id);
        }
        Some(credentials)
    }

    fn to_v3(&self, url: Uri) -> V3Credentials {
        let method = match &self.method {
            Method::Password(user, password) => {
                AuthMethod::password(self.user_with_domain(user), password.clone())
            }
            Method::Token(token) => AuthMethod::token(token.clone()),
        };
        V3Credentials::new(url, method).scope(self.scope_with_domain())
    }

    /// Returns the URL of Keystone, the scope and the user, as they are in cache ids. A token has no user.
    fn public_identity(&self) -> (String, Scope, Option<User>) {
        let user = match &self.method {
            Method::Password(user, _) => Some(self.user_with_domain(user)),
            Method::Token(_) => None,
        };
        (auth_url_element(self.auth_url.uri()), self.scope_with_domain(), user)
    }

    /// Returns the user, with the default domain if none is set.
    fn user_with_domain(&self, user: &User) -> User {
        let mut user = user.clone();
        self.set_default_domain(&mut user.user_domain_id, &mut user.user_domain_name);
        user
    }

    /// Returns the scope, with the default domain if the project has none.
    fn scope_with_domain(&self) -> Scope {
        let mut scope = self.scope.clone();
        self.set_default_domain(&mut scope.project_domain_id, &mut scope.project_domain_name);
        scope
    }

    /// Sets the default domain if there is no domain.
    ///
    /// An id takes precedence over a name, so the default id must not be added to a given name.
    fn set_default_domain(&self, domain_id: &mut Option<Box<str>>, domain_name: &mut Option<Box<str>>) {
        if non_empty(domain_id).is_none() {
            let has_name = non_empty(domain_name).is_some();
            *domain_id = self.default_domain_id.clone().filter(|_| !has_name);
        }
        if non_empty(domain_name).is_none() {
            domain_name.clone_from(&self.default_domain_name);
        }
    }
}

impl Credentials for GenericCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let this = self.clone();
        Box::pin(async move {
            let credentials = match this.selected.get() {
                Some(credentials) => credentials,
                None => {
                    let credentials = this.select_version(transport.clone()).await?;
                    this.selected.get_or_init(|| credentials)
                }
            };
            credentials.get_auth_ref(transport).await
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    fn cache_id(&self) -> Option<String> {
        let (auth_url, scope, user) = self.public_identity();
        let mut elements = public_id_elements(&auth_url, &scope, user.as_ref());
        elements.push(match &self.method {
            Method::Password(_, password) => ("password".to_owned(), Some(password.expose())),
            Method::Token(token) => ("token".to_owned(), Some(token.expose())),
        });
        Some(cache_id(elements))
    }

    fn public_id(&self) -> Option<String> {
        self.auth_url.valid_uri().ok()?;
        let (auth_url, scope, user) = self.public_identity();
        let user = user.filter(User::is_named)?;
        Some(public_id("generic", public_id_elements(&auth_url, &scope, Some(&user))))
    }

    fn can_lock_account(&self) -> bool {
        matches!(self.method, Method::Password(..))
    }
}

/// Returns the elements of a cache id, without the secret.
fn public_id_elements<'a>(
    auth_url: &'a str,
    scope: &'a Scope,
    user: Option<&'a User>,
) -> Vec<(String, Option<&'a str>)> {
    let mut elements = vec![("auth_url".to_owned(), Some(auth_url))];
    elements.extend(scope.cache_id_elements());
    let user = user.into_iter().flat_map(User::cache_id_elements);
    elements.extend(user.map(|(name, value)| (name.to_owned(), value)));
    elements
}

/// Shows the scope, never the secrets.
impl fmt::Debug for GenericCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenericCredentials")
            .field("scope", &self.scope)
            .field("is_version_selected", &self.selected.get().is_some())
            .finish_non_exhaustive()
    }
}
