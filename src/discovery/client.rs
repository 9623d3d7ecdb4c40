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
    candidate_urls::VersionHack,
    document_auth::{DocumentAuth, WeakAccess},
    document_cache::{CacheSettings, DocumentCache, Lookup},
    endpoint_cache::EndpointCache,
    fetch::FetchedDocument,
    outcome::Outcome,
    search::{Search, VersionQuery},
};
use crate::{EndpointFilter, Error, IdentityPlugin, ServiceAccess, Transport, endpoint::Origin};

/// Maximum lifetime of a cached result. It keeps expiry times within the range of [`Instant`].
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Discovers the versions of services, and caches their version documents.
///
/// Clones share one cache. If several layers send requests to one cloud, give each a clone of the same `Discovery`. The
/// transport can be any HTTP client without an [`AuthLayer`](crate::AuthLayer). It does not need to follow redirects.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Discovery {
    pub(super) documents: Arc<DocumentCache>,
    pub(super) endpoints: Arc<EndpointCache>,
    pub(super) hacks: Arc<[VersionHack]>,
    /// Whether tokens are sent over https only, in calls to the public methods. A layer passes its own setting.
    https_only: Arc<AtomicBool>,
}

impl Discovery {
    /// Creates a discovery that sends its requests with this transport.
    ///
    /// It caches a document for one hour and a failure for 10 s. A transient failure is cached for 1 s, or for as long as
    /// the server requests (`Retry-After`), up to 10 s. A request for a document times out after 10 s.
    pub fn new(transport: Transport) -> Self {
        Self {
            documents: Arc::new(DocumentCache::new(transport, CacheSettings::default())),
            endpoints: Arc::default(),
            hacks: Arc::new([VersionHack::for_keystone()]),
            https_only: Arc::default(),
        }
    }

    /// Sets how long documents and failures are cached, at most ten years.
    ///
    /// A transient failure is cached for 1 s, or for as long as the server requests (`Retry-After`), but no longer than
    /// other failures.
    ///
    /// The returned discovery has an empty cache. Existing clones keep their cache and its lifetimes.
    #[must_use]
    pub fn cache_lifetimes(self, documents: Duration, failures: Duration) -> Self {
        let (document_lifetime, failure_lifetime) = (documents.min(MAX_LIFETIME), failures.min(MAX_LIFETIME));
        let settings = CacheSettings { document_lifetime, failure_lifetime, ..self.documents.settings };
        self.with_settings(settings)
    }

    /// Sets the timeout of a request for a document, including its redirects.
    ///
    /// The returned discovery has an empty cache. Existing clones keep their cache and their timeout.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let settings = CacheSettings { timeout, ..self.documents.settings };
        self.with_settings(settings)
    }

    fn with_settings(self, settings: CacheSettings) -> Self {
        let documents = Arc::new(DocumentCache::new(self.documents.transport.clone(), settings));
        Self { documents, endpoints: Arc::default(), ..self }
    }

    /// Sends the token with a request for a document only if the URL is https.
    ///
    /// This applies to all clones. An [`AuthLayer`](crate::AuthLayer::require_https) that requires https sets it for
    /// its discovery, too.
    #[must_use]
    pub fn require_https(self) -> Self {
        self.set_https_only();
        self
    }

    pub(crate) fn set_https_only(&self) {
        self.https_only.store(true, Ordering::Relaxed);
    }

    pub(super) fn auth<'a>(&self, access: &'a Arc<ServiceAccess>) -> DocumentAuth<'a> {
        DocumentAuth { access, https_only: self.https_only.load(Ordering::Relaxed) }
    }

    /// Adds a version hack: a rule that derives the URL of a version document from the endpoint's URL.
    ///
    /// Use it for a service whose document is neither at the endpoint's URL nor at that URL without its version and
    /// project id. The hack applies to endpoints of exactly this service type whose URL ends in `suffix`, with or
    /// without a trailing slash. The document is at the URL with `replacement` in place of `suffix`. If several hacks
    /// match, the first one is used.
    ///
    /// This is keystoneauth's `add_catalog_discover_hack`. One hack is built in, as in keystoneauth: for Keystone
    /// (`identity`), `/v2.0` becomes `/`.
    #[must_use]
    pub fn version_hack(
        mut self,
        service_type: impl Into<Box<str>>,
        suffix: impl Into<Box<str>>,
        replacement: impl Into<Box<str>>,
    ) -> Self {
        let hack = VersionHack {
            service_type: service_type.into(),
            suffix: suffix.into(),
            replacement: replacement.into(),
        };
        self.hacks = self.hacks.iter().cloned().chain([hack]).collect();
        self
    }

    /// Returns the endpoint that a filter selects, with its version: keystoneauth's `get_endpoint_data`.
    ///
    /// It fetches the version document even if the endpoint's URL names the version. The token is sent for a document
    /// only if the service requires it. If there is no document, this method returns the endpoint without version data,
    /// or an [`Error::DiscoveryFailure`] as described below.
    ///
    /// # Errors
    ///
    /// The errors of the plugin and of [`Endpoint::undiscovered`], and:
    ///
    /// - [`Error::DiscoveryFailure`] if the filter requests a version that the document does not list. If there is no
    ///   document, this error is returned only if the endpoint's URL does not name a requested version either, and the
    ///   filter has an endpoint override or [`no_version_hack`](EndpointFilter::no_version_hack).
    /// - [`Error::InvalidVersionRange`], [`Error::ImpliedVersionMismatch`] or [`Error::InvalidMicroversion`] if the
    ///   filter contradicts itself.
    pub async fn endpoint_data<P>(&self, plugin: &P, filter: &EndpointFilter) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        self.find_endpoint(plugin, filter, Purpose::Data).await
    }

    /// Returns the endpoint that requests with this filter are sent to: keystoneauth's `get_endpoint`.
    ///
    /// It fetches no document if the filter requests no version. It also fetches none if the endpoint's URL names a
    /// requested version, and the filter allows no newer major version.
    ///
    /// If the filter requests a version whose document cannot be fetched for now (no connection, no response in time, or
    /// status 429 or 5xx), and the endpoint's URL names no requested version, this method returns a transient
    /// [`Error::DiscoveryFailure`]. The service may have that version at another URL, so a request to the endpoint's URL
    /// could be lost. keystoneauth sends it there.
    ///
    /// If the filter requests a version and has an endpoint override, but there is no version document and the
    /// override's URL names no requested version, this method returns an error, as in keystoneauth. In this case, an
    /// [`AuthLayer`](crate::AuthLayer) sends requests to the override's URL as it is, unless the document only cannot be
    /// fetched for now. If the filter also has a
    /// [`newest_microversion`](EndpointFilter::newest_microversion), the layer needs the document, so requests fail
    /// with the same error.
    ///
    /// # Errors
    ///
    /// The same as those of [`endpoint_data`](Self::endpoint_data), and the one described above.
    pub async fn endpoint<P>(&self, plugin: &P, filter: &EndpointFilter) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        self.find_endpoint(plugin, filter, Purpose::Requests).await
    }

    /// Returns the version of the endpoint that a filter selects: keystoneauth's `get_api_major_version`.
    ///
    /// It fetches a document if [`endpoint`](Self::endpoint) does, or if the endpoint's URL names no version.
    ///
    /// # Errors
    ///
    /// The same as those of [`endpoint_data`](Self::endpoint_data).
    pub async fn api_major_version<P>(
        &self,
        plugin: &P,
        filter: &EndpointFilter,
    ) -> Result<Option<Version>, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        match self
            .find_endpoint(plugin, filter, Purpose::Version)
            .await
            .map(|endpoint| endpoint.api_version())
        {
            Ok(None) | Err(Error::DiscoveryFailure(_)) => {
                self.find_endpoint(plugin, filter, Purpose::Data).await.map(|endpoint| endpoint.api_version())
            }
            result => result,
        }
    }

    async fn find_endpoint<P>(
        &self,
        plugin: &P,
        filter: &EndpointFilter,
        purpose: Purpose,
    ) -> Result<Endpoint, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        filter.check()?;
        let access = plugin.access().await?;
        let outcome = self.find_endpoint_with_access(&access, plugin.auth_url(), filter, purpose).await;
        if !outcome.report_rejections(plugin, &access) {
            return outcome.result;
        }
        let access = plugin.access().await?;
        let outcome = self.find_endpoint_with_access(&access, plugin.auth_url(), filter, purpose).await;
        outcome.report_rejections(plugin, &access);
        outcome.result
    }

    async fn find_endpoint_with_access(
        &self,
        access: &Arc<ServiceAccess>,
        auth_url: Option<&Uri>,
        filter: &EndpointFilter,
        purpose: Purpose,
    ) -> Outcome<Endpoint> {
        let prepared = version_query(filter, purpose == Purpose::Data, Some(&**access))
            .map(|query| if purpose == Purpose::Requests { query.for_requests(filter) } else { query })
            .and_then(|query| Ok((query, Endpoint::undiscovered(filter, Some(&**access), auth_url)?)));
        let (query, undiscovered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Outcome::error(error),
        };
        let project_id = project_id(filter, Some(&**access));
        let auth = self.auth(access);
        let SearchResult { endpoint, rejected_by, .. } =
            self.search(&undiscovered, query, project_id, Some(auth)).await;
        let result = match endpoint {
            Err(Error::DiscoveryFailure(_)) if query.range.is_any() => Ok(undiscovered),
            endpoint => endpoint,
        };
        Outcome { result, rejected_by: rejected_by.into_iter().filter(|_| !filter.is_overridden()).collect() }
    }

    /// Returns this endpoint at the version that a filter requests: keystoneauth's `get_versioned_data`.
    ///
    /// Only the filter's settings about versions are used. If the endpoint's URL ends in `project_id`, that segment is
    /// removed to find the document, and appended to the URL that the document lists. If `discover_versions` is true, a
    /// document is fetched as in [`endpoint_data`](Self::endpoint_data), otherwise as in [`endpoint`](Self::endpoint).
    /// No token is sent.
    ///
    /// # Errors
    ///
    /// [`Error::DiscoveryFailure`] and the errors of a filter that contradicts itself, as in
    /// [`endpoint_data`](Self::endpoint_data). If `discover_versions` is true and the filter requests no version, an
    /// endpoint without a document is also an [`Error::DiscoveryFailure`].
    pub async fn versioned_data(
        &self,
        endpoint: &Endpoint,
        filter: &EndpointFilter,
        project_id: Option<&str>,
        discover_versions: bool,
    ) -> Result<Endpoint, Error> {
        let query = VersionQuery::new(filter, discover_versions)?;
        self.search(endpoint, query, project_id, None).await.endpoint
    }

    /// Returns the version document at a URL, which is fetched without a token: keystoneauth's `get_discovery`.
    ///
    /// # Errors
    ///
    /// [`Error::DiscoveryFailure`] if there is no document.
    pub async fn document(&self, url: &str) -> Result<Arc<VersionDocument>, Error> {
        self.fetch_document(url).await.map(|fetched| fetched.document)
    }

    /// Returns the version document at a URL, and the https origin that it came from after redirects.
    pub(crate) async fn fetch_document(&self, url: &str) -> Result<FetchedDocument, Error> {
        let Lookup { cached, .. } = self.documents.get_or_fetch(url, None).await?;
        Ok(cached.result.clone()?)
    }

    /// Searches for the requested version. The first document that can be fetched decides the result.
    pub(super) async fn search(
        &self,
        endpoint: &Endpoint,
        query: VersionQuery,
        project_id: Option<&str>,
        auth: Option<DocumentAuth<'_>>,
    ) -> SearchResult {
        let CacheSettings { document_lifetime, failure_lifetime, .. } = self.documents.settings;
        let mut search = match Search::new(endpoint, query, project_id, &self.hacks) {
            Ok(endpoint) => return SearchResult::new(Ok(endpoint), Instant::now() + document_lifetime),
            Err(search) => search,
        };
        let mut access = None;
        while let Some(url) = search.next_url() {
            let lookup = match self.documents.get_or_fetch(&url, auth).await {
                Ok(lookup) => lookup,
                Err(error) => return SearchResult::new(Err(error), Instant::now()),
            };
            access = access.or(lookup.access);
            match &lookup.cached.result {
                Ok(fetched) => {
                    let rejected_by = search.rejected_by();
                    let endpoint = search.finish(Arc::clone(&fetched.document));
                    let expires_at = lookup.cached.expires_at;
                    return SearchResult { access, rejected_by, ..SearchResult::new(endpoint, expires_at) };
                }
                Err(no_document) => search.add_failure(no_document.clone()),
            }
        }
        let rejected_by = search.rejected_by();
        let expires_at = Instant::now() + failure_lifetime;
        let endpoint = search.finish_without_document();
        SearchResult { access, rejected_by, ..SearchResult::new(endpoint, expires_at) }
    }
}

/// What an endpoint is searched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The data of its version, which only a document contains.
    Data,
    /// The URL that requests are sent to.
    Requests,
    /// Its version, which the URL may contain.
    Version,
}

/// The result of a search for a version.
pub(super) struct SearchResult {
    pub(super) endpoint: Result<Endpoint, Error>,
    /// Until when the endpoint may be cached.
    pub(super) expires_at: Instant,
    /// The access whose token was sent, if a service required one. The endpoint is for this access only.
    pub(super) access: Option<WeakAccess>,
    /// The first origin that rejected the token.
    pub(super) rejected_by: Option<Origin>,
}

impl SearchResult {
    fn new(endpoint: Result<Endpoint, Error>, expires_at: Instant) -> Self {
        Self { endpoint, expires_at, access: None, rejected_by: None }
    }
}

/// Returns the versions that a filter requests, and how to search for them.
///
/// A fixed endpoint matches any version, because all requests go to it.
pub(super) fn version_query(
    filter: &EndpointFilter,
    discover_versions: bool,
    access: Option<&ServiceAccess>,
) -> Result<VersionQuery, Error> {
    let mut query = VersionQuery::new(filter, discover_versions)?;
    if access.is_some_and(ServiceAccess::has_fixed_endpoint) {
        query.range = VersionRange::default();
    }
    Ok(query)
}

/// Returns the project id that the endpoint's URL can end in. The `auth_url` does not end in one.
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
        f.debug_struct("Discovery").field("settings", &self.documents.settings).finish_non_exhaustive()
    }
}
