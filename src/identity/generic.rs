use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use http::Uri;

use super::{
    AuthMethod, AuthUrl, Credentials, Scope, User, V2Credentials, V3Credentials,
    cache_id::{auth_url_element, cache_id},
    credentials::AuthRefFuture,
    text_setters::non_empty,
};
use crate::{
    Error, Secret, Transport,
    discovery::{Allow, Discovery, FetchedDocument},
    error::DiscoveryFailure,
};

/// Credentials for whichever version of its API Keystone has: keystoneauth's `generic.Password` and
/// `generic.Token`.
///
/// The first authentication asks for the version document at the `auth_url`, without credentials, and
/// takes the oldest version in it that can do what is asked for; v2.0 knows nothing of domains, of the system
/// and of tokens that are to be unscoped. With a default domain it is the newest one. Where there is no such
/// document, the path of the `auth_url` decides if it begins with `/v3` or `/v2.0`. The choice is kept.
/// Credentials are only sent to the origin of the `auth_url`, whatever the links in the document say, or to https on the
/// same host, if an `auth_url` of http redirects there for the document.
///
/// [`get_auth_ref`](Credentials::get_auth_ref) has the errors of [`V3Credentials`] and [`V2Credentials`],
/// [`Error::DiscoveryFailure`] if there is no version that can do what is asked for or none can be found,
/// and [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, or has a user
/// name or a query in it.
///
/// ```
/// # use tower_keystone::fixture::Cloud;
/// use tower_keystone::{GenericCredentials, IdentityPlugin, RenewingPlugin, Scope, Transport, User};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keystone::BoxError> {
/// # let cloud = Cloud::new([]).user("alice", "wonderland").project("demo");
/// # let auth_url = cloud.keystone().auth_url().trim_end_matches("/v3").to_owned();
/// # let client = tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(cloud.clone());
/// // The URL of Keystone, whether or not a version is at its end.
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
    proof: Proof,
    scope: Scope,
    default_domain_id: Option<Box<str>>,
    default_domain_name: Option<Box<str>>,
    /// The credentials of the version that was chosen.
    chosen: Arc<OnceLock<Box<dyn Credentials>>>,
}

#[derive(Clone)]
enum Proof {
    Password(User, Secret),
    Token(Secret),
}

impl GenericCredentials {
    /// A user and their password.
    pub fn password(auth_url: impl Into<AuthUrl>, user: User, password: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Proof::Password(user, password.into()))
    }

    /// A token, to be exchanged for one with another scope. The new one expires with the old one.
    pub fn token(auth_url: impl Into<AuthUrl>, token: impl Into<Secret>) -> Self {
        Self::new(auth_url.into(), Proof::Token(token.into()))
    }

    fn new(auth_url: AuthUrl, proof: Proof) -> Self {
        Self {
            auth_url,
            proof,
            scope: Scope::new(),
            default_domain_id: None,
            default_domain_name: None,
            chosen: Arc::default(),
        }
    }

    /// What the token is to be good for. Of this, v2.0 knows the project and the trust.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self.unchosen()
    }

    /// The id of the domain of a user or a project that is named without one (`OS_DEFAULT_DOMAIN_ID`).
    /// It does not rule out v2.0.
    #[must_use]
    pub fn default_domain_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.default_domain_id = Some(id.into());
        self.unchosen()
    }

    /// The same by the name of the domain (`OS_DEFAULT_DOMAIN_NAME`).
    #[must_use]
    pub fn default_domain_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.default_domain_name = Some(name.into());
        self.unchosen()
    }

    /// Other clones may have chosen for other parameters.
    fn unchosen(mut self) -> Self {
        self.chosen = Arc::default();
        self
    }

    /// The credentials of the version that Keystone has and that can do what is asked for.
    async fn choose(&self, transport: Transport) -> Result<Box<dyn Credentials>, Error> {
        let auth_url = self.auth_url.usable()?;
        let FetchedDocument { document, https_origin } =
            match Discovery::new(transport).fetch_document(&auth_url.to_string()).await {
                Ok(fetched) => fetched,
                Err(Error::DiscoveryFailure(failure)) => {
                    let failure = || DiscoveryFailure::clone(&failure).at_keystone().into();
                    return self.by_path().ok_or_else(failure);
                }
                Err(error) => return Err(error),
            };
        let mut versions: Vec<_> = document.version_data(Allow::default()).collect();
        if non_empty(&self.default_domain_id).or(non_empty(&self.default_domain_name)).is_some() {
            versions.reverse();
        }
        let of_version = |major, url: &str| {
            let url = url.parse().ok()?;
            let url = if let Some(origin) = &https_origin { origin.upgrade(url)? } else { url };
            self.of_version(major, url)
        };
        versions.iter().find_map(|data| of_version(data.version?.major, &data.url)).ok_or_else(|| {
            let requested = "a version of Keystone that these credentials are for (v3, or v2.0 without a domain, \
                         system scope or unscoped)";
            document.not_listed(requested).into()
        })
    }

    /// The credentials of the version that the path of the URL begins with.
    fn by_path(&self) -> Option<Box<dyn Credentials>> {
        let path = self.auth_url.uri().path().to_ascii_lowercase();
        let major = [("/v2.0", 2), ("/v3", 3)].into_iter().find(|(version, _)| path.starts_with(version))?.1;
        self.of_version(major, self.auth_url.uri().clone())
    }

    /// The credentials of a version, if there are such and they can do what is asked for.
    fn of_version(&self, major: u32, url: Uri) -> Option<Box<dyn Credentials>> {
        match major {
            2 => Some(Box::new(self.v2(url)?)),
            3 => Some(Box::new(self.v3(url))),
            _ => None,
        }
    }

    fn v2(&self, url: Uri) -> Option<V2Credentials> {
        let Scope { project_domain_id, project_domain_name, domain_id, domain_name, system_scope, .. } =
            &self.scope;
        let mut unknown = vec![project_domain_id, project_domain_name, domain_id, domain_name, system_scope];
        if let Proof::Password(user, _) = &self.proof {
            unknown.extend([&user.user_domain_id, &user.user_domain_name]);
        }
        if self.scope.unscoped || unknown.into_iter().any(|text| non_empty(text).is_some()) {
            return None;
        }
        let mut auth = match &self.proof {
            Proof::Password(user, password) => V2Credentials::password(url, user.clone(), password.clone()),
            Proof::Token(token) => V2Credentials::token(url, token.clone()),
        };
        if let Some(id) = non_empty(&self.scope.project_id) {
            auth = auth.tenant_id(id);
        }
        if let Some(name) = non_empty(&self.scope.project_name) {
            auth = auth.tenant_name(name);
        }
        if let Some(id) = non_empty(&self.scope.trust_id) {
            auth = auth.trust_id(id);
        }
        Some(auth)
    }

    fn v3(&self, url: Uri) -> V3Credentials {
        let method = match &self.proof {
            Proof::Password(user, password) => AuthMethod::password(self.full_user(user), password.clone()),
            Proof::Token(token) => AuthMethod::token(token.clone()),
        };
        V3Credentials::new(url, method).scope(self.full_scope())
    }

    /// The user, with the default domain where none is given.
    fn full_user(&self, user: &User) -> User {
        let mut user = user.clone();
        self.fill_in(&mut user.user_domain_id, &mut user.user_domain_name);
        user
    }

    /// The same for the scope.
    fn full_scope(&self) -> Scope {
        let mut scope = self.scope.clone();
        self.fill_in(&mut scope.project_domain_id, &mut scope.project_domain_name);
        scope
    }

    /// An id counts before a name, so that a default id must not go beside a name that was given.
    fn fill_in(&self, domain_id: &mut Option<Box<str>>, domain_name: &mut Option<Box<str>>) {
        if non_empty(domain_id).is_none() {
            let named = non_empty(domain_name).is_some();
            *domain_id = self.default_domain_id.clone().filter(|_| !named);
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
            let chosen = match this.chosen.get() {
                Some(chosen) => chosen,
                None => {
                    let chosen = this.choose(transport.clone()).await?;
                    this.chosen.get_or_init(|| chosen)
                }
            };
            chosen.get_auth_ref(transport).await
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    fn cache_id(&self) -> Option<String> {
        let auth_url = auth_url_element(self.auth_url.uri());
        let scope = self.full_scope();
        let mut elements = vec![("auth_url".to_owned(), Some(&*auth_url))];
        elements.extend(scope.cache_id_elements());
        let user;
        match &self.proof {
            Proof::Password(given, password) => {
                user = self.full_user(given);
                elements.extend(user.cache_id_elements().map(|(name, value)| (name.to_owned(), value)));
                elements.push(("password".to_owned(), Some(password.expose())));
            }
            Proof::Token(token) => elements.push(("token".to_owned(), Some(token.expose()))),
        }
        Some(cache_id(elements))
    }

    fn can_lock_account(&self) -> bool {
        matches!(self.proof, Proof::Password(..))
    }
}

/// Where and for which scope, never with what.
impl fmt::Debug for GenericCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenericCredentials")
            .field("scope", &self.scope)
            .field("is_chosen", &self.chosen.get().is_some())
            .finish_non_exhaustive()
    }
}
