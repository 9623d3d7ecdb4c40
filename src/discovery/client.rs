use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Uri;
use tokio::time::Instant;

use super::{
    Endpoint, Version, VersionDocument, VersionRange,
    candidate_urls::Hack,
    document_cache::{Cache, Known, Times},
    endpoint_cache::EndpointCache,
    fetch::Fetched,
    search::{Question, Search},
    token::{Asked, Token, Whose},
};
use crate::{EndpointFilter, Error, IdentityPlugin, ServiceAccess, Transport, endpoint::Origin};

/// How long anything is remembered at most: clocks cannot tell every time to come.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Asks services for their versions, and remembers what they say.
///
/// Clones share what is remembered, so that one of them should serve all layers of a cloud. The
/// transport is any HTTP client without an [`AuthLayer`](crate::AuthLayer); of redirects it needs none.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Discovery {
    pub(super) cache: Arc<Cache>,
    pub(super) hacks: Arc<[Hack]>,
    pub(super) endpoints: Arc<EndpointCache>,
    /// Whether a token is sent over https only, if it is not a layer that asks.
    https_only: Arc<AtomicBool>,
}

impl Discovery {
    /// Discovery over this transport. A document is remembered for an hour, a failure for 10 s, and a request for
    /// a document may take 10 s.
    pub fn new(transport: Transport) -> Self {
        let seconds = Duration::from_secs;
        let times = Times { lifetime: seconds(3600), failure_lifetime: seconds(10), timeout: seconds(10) };
        let hacks = Arc::new([Hack::of_keystone()]);
        Self {
            cache: Arc::new(Cache::new(transport, times)),
            hacks,
            endpoints: Arc::default(),
            https_only: Arc::default(),
        }
    }

    /// How long documents are remembered, and how long failures are, ten years at most. What is remembered is
    /// forgotten.
    #[must_use]
    pub fn cache_lifetimes(self, documents: Duration, failures: Duration) -> Self {
        let (lifetime, failure_lifetime) = (documents.min(LONGEST), failures.min(LONGEST));
        let times = Times { lifetime, failure_lifetime, ..self.cache.times };
        self.with(times)
    }

    /// How long one request for a document may take. What is remembered is forgotten.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let times = Times { timeout, ..self.cache.times };
        self.with(times)
    }

    /// Sends no token for a document over plain http, nor do clones of this. An
    /// [`AuthLayer`](crate::AuthLayer::require_https) that requires https says this of its discovery.
    #[must_use]
    pub fn require_https(self) -> Self {
        self.refuse_http();
        self
    }

    pub(crate) fn refuse_http(&self) {
        self.https_only.store(true, Ordering::Relaxed);
    }

    pub(super) fn token<'a>(&self, access: &'a Arc<ServiceAccess>) -> Token<'a> {
        Token { access, https_only: self.https_only.load(Ordering::Relaxed) }
    }

    fn with(self, times: Times) -> Self {
        let cache = Arc::new(Cache::new(self.cache.transport.clone(), times));
        Self { cache, endpoints: Arc::default(), ..self }
    }

    /// Says where the version document of a kind of endpoint is, whose URL does not say so: for endpoints
    /// of exactly this service type, where their URL ends in `ending`, with or without a slash after it, it
    /// has `instead`. keystoneauth's `add_catalog_discover_hack`; the one that it has by itself is here too:
    /// Keystone's `/v2.0` becomes `/`. Of several that fit the first counts.
    #[must_use]
    pub fn version_hack(
        mut self,
        service_type: impl Into<Box<str>>,
        ending: impl Into<Box<str>>,
        instead: impl Into<Box<str>>,
    ) -> Self {
        let hack = Hack { service_type: service_type.into(), ending: ending.into(), instead: instead.into() };
        self.hacks = self.hacks.iter().cloned().chain([hack]).collect();
        self
    }

    /// The endpoint that a filter means, with what its version document says: keystoneauth's
    /// `get_endpoint_data`.
    ///
    /// If the filter asks for no version and there is no document, the endpoint is what the catalog has. The token is
    /// sent for a document only if the service asks for it.
    ///
    /// # Errors
    ///
    /// Those of the plugin and of [`Endpoint::undiscovered`]; [`Error::DiscoveryFailure`] if the version
    /// asked for is not there; [`Error::InvalidVersionRange`] and [`Error::ImpliedVersionMismatch`] if it
    /// cannot be.
    pub async fn endpoint_data<P>(&self, plugin: &P, filter: &EndpointFilter) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        self.endpoint_of(plugin, filter, true).await
    }

    /// The endpoint that a filter means, as requests with this filter use it: keystoneauth's
    /// `get_endpoint`. No document is asked for if the URL says enough.
    ///
    /// An endpoint override without a version document, which requests use as it is, is an error here if a version is
    /// asked for, as in keystoneauth.
    ///
    /// # Errors
    ///
    /// Those of [`endpoint_data`](Self::endpoint_data).
    pub async fn endpoint<P>(&self, plugin: &P, filter: &EndpointFilter) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        self.endpoint_of(plugin, filter, false).await
    }

    /// The version of the API that a filter means: keystoneauth's `get_api_major_version`. A document is
    /// asked for only if the URL does not say it.
    ///
    /// # Errors
    ///
    /// Those of [`endpoint_data`](Self::endpoint_data).
    pub async fn api_major_version<P>(
        &self,
        plugin: &P,
        filter: &EndpointFilter,
    ) -> Result<Option<Version>, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        match self.endpoint_of(plugin, filter, false).await.map(|endpoint| endpoint.api_version()) {
            Ok(None) | Err(Error::DiscoveryFailure(_)) => {
                self.endpoint_of(plugin, filter, true).await.map(|endpoint| endpoint.api_version())
            }
            said => said,
        }
    }

    async fn endpoint_of<P>(
        &self,
        plugin: &P,
        filter: &EndpointFilter,
        discover_versions: bool,
    ) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        filter.check()?;
        let access = plugin.access().await?;
        let asked = self.endpoint_with(&access, plugin.auth_url(), filter, discover_versions).await;
        if !asked.tell(plugin, &access) {
            return asked.found;
        }
        let access = plugin.access().await?;
        let asked = self.endpoint_with(&access, plugin.auth_url(), filter, discover_versions).await;
        asked.tell(plugin, &access);
        asked.found
    }

    async fn endpoint_with(
        &self,
        access: &Arc<ServiceAccess>,
        auth_url: Option<&Uri>,
        filter: &EndpointFilter,
        discover_versions: bool,
    ) -> Asked<Endpoint> {
        let prepared = question(filter, discover_versions, Some(&**access))
            .and_then(|question| Ok((question, Endpoint::undiscovered(filter, Some(&**access), auth_url)?)));
        let (question, undiscovered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Asked::failed(error),
        };
        let project_id = project_id(filter, Some(&**access));
        let token = self.token(access);
        let Sought { endpoint, refused_by, .. } =
            self.search(&undiscovered, question, project_id, Some(token)).await;
        let found = match endpoint {
            Err(Error::DiscoveryFailure(_)) if question.range.is_any() => Ok(undiscovered),
            found => found,
        };
        Asked { found, refused_by: refused_by.into_iter().filter(|_| !filter.is_overridden()).collect() }
    }

    /// The version of an endpoint that a filter asks for: keystoneauth's `get_versioned_data`. Of the
    /// filter only what it says of versions counts.
    ///
    /// The project id is what may stand at the end of the endpoint's URL. Without `discover_versions`, no
    /// document is asked for if the URL says enough.
    ///
    /// # Errors
    ///
    /// Those of [`endpoint_data`](Self::endpoint_data).
    pub async fn versioned_data(
        &self,
        endpoint: &Endpoint,
        filter: &EndpointFilter,
        project_id: Option<&str>,
        discover_versions: bool,
    ) -> Result<Endpoint, Error> {
        let question = Question::new(filter, discover_versions)?;
        self.search(endpoint, question, project_id, None).await.endpoint
    }

    /// The version document at a URL, got without a token: keystoneauth's `get_discovery`.
    ///
    /// # Errors
    ///
    /// [`Error::DiscoveryFailure`] if there is none.
    pub async fn document(&self, url: &str) -> Result<Arc<VersionDocument>, Error> {
        self.fetched(url).await.map(|fetched| fetched.document)
    }

    /// The same, and where it was found.
    pub(crate) async fn fetched(&self, url: &str) -> Result<Fetched, Error> {
        let Known { landed, .. } = self.cache.ask(url, None).await?;
        Ok(landed.fetched.clone()?)
    }

    /// The answer to a question.
    pub(super) async fn search(
        &self,
        endpoint: &Endpoint,
        question: Question,
        project_id: Option<&str>,
        token: Option<Token<'_>>,
    ) -> Sought {
        let Times { lifetime, failure_lifetime, .. } = self.cache.times;
        let mut search = match Search::new(endpoint, question, project_id, &self.hacks) {
            Ok(endpoint) => return Sought::new(Ok(endpoint), Instant::now() + lifetime),
            Err(search) => search,
        };
        let mut whose = None;
        while let Some(url) = search.next_url() {
            let known = match self.cache.ask(&url, token).await {
                Ok(known) => known,
                Err(error) => return Sought::new(Err(error), Instant::now()),
            };
            whose = whose.or(known.whose);
            match &known.landed.fetched {
                Ok(fetched) => {
                    let refused_by = search.refused_by();
                    let endpoint = search.found(Arc::clone(&fetched.document));
                    return Sought { whose, refused_by, ..Sought::new(endpoint, known.landed.until) };
                }
                Err(miss) => search.missed(miss.clone()),
            }
        }
        let refused_by = search.refused_by();
        Sought { whose, refused_by, ..Sought::new(search.exhausted(), Instant::now() + failure_lifetime) }
    }
}

/// What came of a search.
pub(super) struct Sought {
    pub(super) endpoint: Result<Endpoint, Error>,
    /// Until when that is good.
    pub(super) until: Instant,
    /// Whose token it took, if it took one.
    pub(super) whose: Option<Whose>,
    /// Who refused that.
    pub(super) refused_by: Option<Origin>,
}

impl Sought {
    fn new(endpoint: Result<Endpoint, Error>, until: Instant) -> Self {
        Self { endpoint, until, whose: None, refused_by: None }
    }
}

/// What a filter asks of the versions of its endpoint. To one that is fixed all requests go, whatever
/// version they ask for.
pub(super) fn question(
    filter: &EndpointFilter,
    discover_versions: bool,
    access: Option<&ServiceAccess>,
) -> Result<Question, Error> {
    let mut question = Question::new(filter, discover_versions)?;
    if access.is_some_and(|access| access.fixed_endpoint().is_some()) {
        question.range = VersionRange::default();
    }
    Ok(question)
}

/// The project id that may stand at the end of the URL. Keystone's own has none.
pub(super) fn project_id<'a>(filter: &EndpointFilter, access: Option<&'a ServiceAccess>) -> Option<&'a str> {
    access.and_then(ServiceAccess::project_id).filter(|_| !filter.uses_auth_url())
}

impl From<Transport> for Discovery {
    fn from(transport: Transport) -> Self {
        Self::new(transport)
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("times", &self.cache.times).finish_non_exhaustive()
    }
}
