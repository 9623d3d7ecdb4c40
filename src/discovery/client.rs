use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Endpoint, Version, VersionDocument, VersionRange,
    cache::{Cache, Times},
    candidates::Hack,
    requests::Ready,
    search::{Question, Search},
};
use crate::{Access, EndpointFilter, Error, IdentityPlugin, Transport};

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
    pub(super) ready: Arc<Ready>,
}

impl Discovery {
    /// Discovery over this transport. A document is remembered for an hour, a failure for 10 s, and a
    /// document may take 10 s.
    pub fn new(transport: Transport) -> Self {
        let seconds = Duration::from_secs;
        let times = Times { lifetime: seconds(3600), failure_lifetime: seconds(10), timeout: seconds(10) };
        let hacks = Arc::new([Hack::of_keystone()]);
        Self { cache: Arc::new(Cache::new(transport, times)), hacks, ready: Arc::default() }
    }

    /// How long documents are remembered, and how long failures are, ten years at most. What is remembered is
    /// forgotten.
    #[must_use]
    pub fn remember(self, documents: Duration, failures: Duration) -> Self {
        let (lifetime, failure_lifetime) = (documents.min(LONGEST), failures.min(LONGEST));
        let times = Times { lifetime, failure_lifetime, ..self.cache.times };
        self.with(times)
    }

    /// How long one document may take. What is remembered is forgotten.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let times = Times { timeout, ..self.cache.times };
        self.with(times)
    }

    fn with(self, times: Times) -> Self {
        let cache = Arc::new(Cache::new(self.cache.transport.clone(), times));
        Self { cache, ready: Arc::default(), ..self }
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
    /// If the filter asks for no version and there is no document, the endpoint is what the catalog has.
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
        let question = question(filter, discover_versions, Some(&*access))?;
        let endpoint = Endpoint::undiscovered(filter, Some(&access), plugin.auth_url())?;
        let project_id = project_id(filter, Some(&*access));
        match self.search(&endpoint, question, project_id, Some(&access)).await {
            Err(Error::DiscoveryFailure(_)) if question.range.is_any() => Ok(endpoint),
            found => found.map(|(endpoint, _)| endpoint),
        }
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
        let question = filter.question(discover_versions)?;
        self.search(endpoint, question, project_id, None).await.map(|(endpoint, _)| endpoint)
    }

    /// The version document at a URL, got without a token: keystoneauth's `get_discovery`.
    ///
    /// # Errors
    ///
    /// [`Error::DiscoveryFailure`] if there is none.
    pub async fn document(&self, url: &str) -> Result<Arc<VersionDocument>, Error> {
        self.cache.document(url, None).await.map(|(document, _)| document)
    }

    /// The answer to a question, and until when it is good.
    pub(super) async fn search(
        &self,
        endpoint: &Endpoint,
        question: Question,
        project_id: Option<&str>,
        access: Option<&Arc<Access>>,
    ) -> Result<(Endpoint, Instant), Error> {
        let times = self.cache.times;
        let mut search = match Search::new(endpoint, question, project_id, &self.hacks) {
            Ok(endpoint) => return Ok((endpoint, Instant::now() + times.lifetime)),
            Err(search) => search,
        };
        while let Some(url) = search.next_url() {
            match self.cache.document(&url, access).await {
                Ok((document, until)) => return Ok((search.found(document)?, until)),
                Err(Error::DiscoveryFailure(failure)) => {
                    failure.missed.iter().for_each(|miss| search.missed(miss.clone()));
                }
                Err(error) => return Err(error),
            }
        }
        // That one's token was refused is no answer for others.
        let lifetime = if search.was_refused() { Duration::ZERO } else { times.failure_lifetime };
        Ok((search.exhausted()?, Instant::now() + lifetime))
    }
}

/// What a filter asks of the versions of its endpoint. To one that is fixed all requests go, whatever
/// version they ask for.
pub(super) fn question(
    filter: &EndpointFilter,
    discover_versions: bool,
    access: Option<&Access>,
) -> Result<Question, Error> {
    let mut question = filter.question(discover_versions)?;
    if access.is_some_and(|access| access.fixed_endpoint().is_some()) {
        question.range = VersionRange::default();
    }
    Ok(question)
}

/// The project id that may stand at the end of the URL. Keystone's own has none.
pub(super) fn project_id<'a>(filter: &EndpointFilter, access: Option<&'a Access>) -> Option<&'a str> {
    access.and_then(Access::project_id).filter(|_| !filter.is_auth())
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
