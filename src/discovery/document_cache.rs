//! Cache of version documents by URL. Callers that want the same document share one HTTP request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use tokio::time::{Instant, timeout};

use super::{
    document_auth::{DocumentAuth, WeakAccess},
    fetch::{DocumentRequest, FetchedDocument},
    link::UrlParts,
    no_document::NoDocument,
    weighted_cache::{Weight, WeightedCache, weighted_cache},
};
use crate::{
    Error, ServiceAccess, Transport,
    endpoint::Origin,
    error::escaped,
    task::{SingleFlight, Waited, runtime},
};

/// Maximum size of all cached documents and failures, in bytes.
const MAX_WEIGHT: usize = 64 * 1024 * 1024;

/// Typical size of a cached document, in bytes.
const TYPICAL_WEIGHT: usize = 2048;

/// Maximum number of times that a caller starts over because the runtime of the in-flight request was shut down, or
/// makes no progress because nothing drives it.
const MAX_RESTARTS: usize = 3;

/// How long a transient failure is cached, unless the server requests a longer delay.
const TRANSIENT_FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// How much longer callers wait for a shared request than its timeout. A request that has not ended by then runs on a
/// runtime that is not driven.
const WAIT_GRACE: Duration = Duration::from_secs(1);

/// How long results are cached, and how long a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheSettings {
    /// How long a document is cached.
    pub(super) document_lifetime: Duration,
    /// How long a failure is cached, at most.
    pub(super) failure_lifetime: Duration,
    /// Timeout of a request for a document, including redirects.
    pub(super) timeout: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            document_lifetime: Duration::from_secs(3600),
            failure_lifetime: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
        }
    }
}

/// A cached version document, or the cached reason why there is none.
pub(super) struct CachedDocument {
    pub(super) result: Result<FetchedDocument, NoDocument>,
    pub(super) expires_at: Instant,
}

/// What the cache returns for a URL.
pub(super) struct Lookup {
    pub(super) cached: Arc<CachedDocument>,
    /// The access whose token was sent, if the service requires one. The result is for this access only.
    pub(super) access: Option<WeakAccess>,
}

/// The URL of a document, and the access whose token is sent.
///
/// Without a token, all callers share the result.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    url: Arc<str>,
    access: Option<WeakAccess>,
}

pub(super) struct DocumentCache {
    pub(super) transport: Transport,
    pub(super) settings: CacheSettings,
    cached: WeightedCache<Key, Arc<CachedDocument>>,
    in_flight: Mutex<HashMap<Key, SingleFlight<Arc<CachedDocument>>>>,
}

impl DocumentCache {
    pub(super) fn new(transport: Transport, settings: CacheSettings) -> Self {
        let cached = weighted_cache(MAX_WEIGHT, TYPICAL_WEIGHT);
        Self { transport, settings, cached, in_flight: Mutex::default() }
    }

    /// Returns the cached result for a URL, or else fetches the document.
    ///
    /// The first request carries no token. If the service responds with 401 and the token may be sent there, a second
    /// request carries the token.
    pub(super) async fn get_or_fetch(
        self: &Arc<Self>,
        url: &str,
        auth: Option<DocumentAuth<'_>>,
    ) -> Result<Lookup, Error> {
        let Some((uri, origin)) =
            url.parse().ok().and_then(|uri: Uri| Some((uri.clone(), Origin::from_uri(&uri)?)))
        else {
            // What precedes an `@` can contain a password, so it is not shown.
            let host = url.rsplit('@').next().unwrap_or_default();
            let reason =
                "it is not an http or https URL, or it has a user name, no valid host or an invalid port";
            let cached = CachedDocument::new(Err(NoDocument::new(host, reason)), Duration::ZERO);
            return Ok(Lookup { cached, access: None });
        };
        let normalized = normalize(url);
        let key_with_token =
            auth.map(|auth| Key { url: Arc::clone(&normalized), access: Some(auth.weak_access()) });
        let previous = key_with_token.as_ref().and_then(|key| self.cached.get(key));
        if let (Some(key), Some(cached)) = (&key_with_token, &previous)
            && cached.is_fresh()
        {
            return Ok(Lookup { cached: Arc::clone(cached), access: key.access.clone() });
        }
        let key_without_token = Key { url: normalized, access: None };
        let request = |start: &Uri, auth| DocumentRequest {
            url: url.into(),
            origin: origin.clone(),
            start: start.clone(),
            auth,
        };
        let cached = self.fetch_shared(&key_without_token, || request(&uri, None)).await?;
        let (Some(key_with_token), Some(auth), Err(no_document)) = (key_with_token, auth, &cached.result)
        else {
            return Ok(Lookup { cached, access: None });
        };
        if let Some(target) = no_document.token_required_at() {
            if !Origin::from_uri(target).is_some_and(|target| auth.may_send_token_to(&target, &origin)) {
                return Ok(Lookup { cached: cached.with_token_not_sent_to(target), access: None });
            }
            let with_token = || request(target, Some((auth.weak_access(), auth.https_only)));
            let cached = self.fetch_shared(&key_with_token, with_token).await?;
            return Ok(Lookup { cached, access: key_with_token.access });
        }
        // An expired document is better than a transient failure.
        match previous.as_ref().filter(|_| no_document.attempt.transient).map(|previous| &previous.result) {
            Some(Ok(document)) => {
                let (result, expires_at) = (Ok(document.clone()), cached.expires_at);
                let cached = Arc::new(CachedDocument { result, expires_at });
                Ok(Lookup { cached, access: key_with_token.access })
            }
            _ => Ok(Lookup { cached, access: None }),
        }
    }

    /// Returns the cached result for a key, or else the result of a request that all callers share.
    async fn fetch_shared(
        self: &Arc<Self>,
        key: &Key,
        request: impl Fn() -> DocumentRequest,
    ) -> Result<Arc<CachedDocument>, Error> {
        for restart in 0..=MAX_RESTARTS {
            let in_flight = match self.cached_or_in_flight(key, &request, restart == MAX_RESTARTS)? {
                Ok(cached) => return Ok(cached),
                Err(in_flight) => in_flight,
            };
            match in_flight.wait(self.settings.timeout.saturating_add(WAIT_GRACE)).await {
                Waited::Done(cached) => return Ok(cached),
                Waited::Lost | Waited::TimedOut => self.remove_in_flight(key, &in_flight),
                Waited::NoRuntime => return Err(Error::NoRuntime),
            }
        }
        Err(Error::Abandoned)
    }

    /// Returns the cached result for a key, or the in-flight request for it, which is started if there is none.
    ///
    /// With `force_new`, a request is started even if another one is in flight: the runtime of that one may not be
    /// driven.
    fn cached_or_in_flight(
        self: &Arc<Self>,
        key: &Key,
        request: impl Fn() -> DocumentRequest,
        force_new: bool,
    ) -> Result<Result<Arc<CachedDocument>, SingleFlight<Arc<CachedDocument>>>, Error> {
        if let Some(cached) = self.get_fresh(key) {
            return Ok(Ok(cached));
        }
        let runtime = runtime()?;
        let (new, start) = SingleFlight::new();
        {
            let mut in_flight = self.lock_in_flight();
            // A request may have ended since the first look.
            if let Some(cached) = self.get_fresh(key) {
                return Ok(Ok(cached));
            }
            if let Some(existing) = in_flight.get(key).filter(|_| !force_new) {
                return Ok(Err(existing.clone()));
            }
            in_flight.insert(key.clone(), new.clone());
        }
        let guard = InFlightGuard { cache: Arc::clone(self), key: key.clone(), in_flight: new.clone() };
        let (cache, request, settings) = (Arc::clone(self), request(), self.settings);
        let (cache_after_panic, key_after_panic) = (Arc::clone(self), key.clone());
        let panicked = NoDocument::new(&request.url, "the HTTP client panicked").transient();
        let work = async move {
            let result = timeout(settings.timeout, request.fetch(&cache.transport)).await;
            let result = result.unwrap_or_else(|_| {
                let limit = settings.timeout.as_millis();
                let reason = format!("it did not respond within {limit} ms");
                Err(NoDocument::new(&request.url, reason).transient())
            });
            cache.insert(&guard.key, result)
        };
        start.run(&runtime, work, move || cache_after_panic.insert(&key_after_panic, Err(panicked)));
        Ok(Err(new))
    }

    fn get_fresh(&self, key: &Key) -> Option<Arc<CachedDocument>> {
        self.cached.get(key).filter(|cached| cached.is_fresh())
    }

    /// Caches a result, and returns what was cached.
    ///
    /// A transient failure does not replace a document. The document stays cached for the lifetime of the failure.
    fn insert(&self, key: &Key, result: Result<FetchedDocument, NoDocument>) -> Arc<CachedDocument> {
        let CacheSettings { document_lifetime, failure_lifetime, .. } = self.settings;
        let (result, lifetime) = match result {
            Ok(document) => (Ok(document), document_lifetime),
            Err(no_document) if no_document.attempt.transient => {
                match self.cached.get(key).and_then(|previous| previous.result.clone().ok()) {
                    Some(document) => (Ok(document), failure_lifetime),
                    None => {
                        let requested = no_document.attempt.retry_after.unwrap_or_default();
                        let lifetime = requested.max(TRANSIENT_FAILURE_LIFETIME).min(failure_lifetime);
                        (Err(no_document), lifetime)
                    }
                }
            }
            Err(no_document) => (Err(no_document), failure_lifetime),
        };
        let cached = CachedDocument::new(result, lifetime);
        self.cached.insert(key.clone(), Arc::clone(&cached));
        cached
    }

    /// Removes a request that has ended, or that will not end. A newer request with the same key stays.
    fn remove_in_flight(&self, key: &Key, ended: &SingleFlight<Arc<CachedDocument>>) {
        let mut in_flight = self.lock_in_flight();
        if in_flight.get(key).is_some_and(|current| current.is_same(ended)) {
            in_flight.remove(key);
        }
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, HashMap<Key, SingleFlight<Arc<CachedDocument>>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a request from the in-flight requests when its task ends or is dropped.
struct InFlightGuard {
    cache: Arc<DocumentCache>,
    key: Key,
    in_flight: SingleFlight<Arc<CachedDocument>>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.cache.remove_in_flight(&self.key, &self.in_flight);
    }
}

impl CachedDocument {
    fn new(result: Result<FetchedDocument, NoDocument>, lifetime: Duration) -> Arc<Self> {
        Arc::new(Self { result, expires_at: Instant::now() + lifetime })
    }

    fn is_fresh(&self) -> bool {
        Instant::now() < self.expires_at
    }

    /// Returns a copy whose failure also says why the token is not sent to `target`, which requires it.
    fn with_token_not_sent_to(&self, target: &Uri) -> Arc<Self> {
        let mut result = self.result.clone();
        if let Err(no_document) = &mut result {
            let why = match Origin::from_uri(target).filter(Origin::is_https) {
                // The document was requested over http, and a redirect led to this origin.
                Some(origin) => format!(
                    ", and the token is not sent to {origin}, to which it redirects, because that is not an origin of \
                     the service catalog; use the https URL"
                ),
                None => {
                    ", and the token is not sent over plain http, because https is required; use an https URL"
                        .to_owned()
                }
            };
            no_document.attempt.reason = escaped(&format!("{}{why}", no_document.attempt.reason));
        }
        Arc::new(Self { result, expires_at: self.expires_at })
    }
}

impl Weight for Key {
    /// The memory of an access that is no longer used stays allocated while a weak reference to it is cached.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.url.len() + self.access.as_ref().map_or(0, |_| size_of::<ServiceAccess>())
    }
}

impl Weight for Arc<CachedDocument> {
    fn weight(&self) -> usize {
        let result = match &self.result {
            Ok(fetched) => fetched.document.weight(),
            Err(no_document) => no_document.weight(),
        };
        size_of::<CachedDocument>() + result
    }
}

/// Returns the URL with a path of `/` removed, because an empty path means the same.
fn normalize(url: &str) -> Arc<str> {
    match UrlParts::parse(url) {
        Some(parts) if parts.path == "/" => format!("{}{}", parts.origin, parts.rest).into(),
        _ => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Request, Response};
    use http_body_util::Full;
    use tower::service_fn;

    use super::*;
    use crate::discovery::VersionDocument;

    fn cache() -> DocumentCache {
        let unreachable = service_fn(|_: Request<Full<Bytes>>| {
            std::future::ready(Err::<Response<Full<Bytes>>, _>(crate::BoxError::from(
                "no request is expected",
            )))
        });
        let day = Duration::from_secs(24 * 3600);
        let settings = CacheSettings { document_lifetime: day, failure_lifetime: day, timeout: day };
        DocumentCache::new(Transport::new(unreachable), settings)
    }

    fn key(number: usize) -> Key {
        Key { url: format!("https://h{number}.example.com/").into(), access: None }
    }

    /// A document of 200 KB.
    fn large_document() -> VersionDocument {
        let entry = format!(r#"{{"status": "CURRENT", "x": "{}"}}"#, "x".repeat(200_000));
        let body = format!(r#"{{"versions": [{entry}]}}"#);
        VersionDocument::new("https://h.example.com/", &HeaderMap::new(), body.as_bytes()).unwrap()
    }

    fn fetched(document: &VersionDocument) -> Result<FetchedDocument, NoDocument> {
        Ok(FetchedDocument { document: Arc::new(document.clone()), https_origin: None })
    }

    #[tokio::test]
    async fn the_size_of_the_cache_is_limited_in_bytes() {
        let (cache, large) = (cache(), large_document());
        for number in 0..1_000 {
            cache.insert(&key(number), fetched(&large));
        }
        assert!((MAX_WEIGHT / 2..=MAX_WEIGHT).contains(&(cache.cached.weight() as usize)));
        let count = (0..1_000).filter(|number| cache.get_fresh(&key(*number)).is_some()).count();
        assert!((160..336).contains(&count), "{count} of 200 KB each");
        let failure = || Err(NoDocument::new("https://h.example.com/", "x".repeat(100_000)));
        (0..10_000).for_each(|number| drop(cache.insert(&key(number), failure())));
        assert!(cache.cached.weight() as usize <= MAX_WEIGHT);
    }

    #[tokio::test]
    async fn documents_in_steady_use_are_not_evicted() {
        let (cache, large) = (cache(), large_document());
        for number in 0..2_000 {
            cache.insert(&key(number), fetched(&large));
            let steady = 10_000 + number % 20;
            if number < 20 {
                cache.insert(&key(steady), fetched(&large));
            }
            assert!(cache.get_fresh(&key(steady)).is_some(), "{steady} was evicted after {number} others");
        }
    }

    #[tokio::test]
    async fn a_hundred_thousand_failures_are_cached() {
        let cache = cache();
        for number in 0..100_000 {
            cache.insert(&key(number), Err(NoDocument::new("https://h.example.com/", "it returned 404")));
        }
        assert!((0..100_000).all(|number| cache.get_fresh(&key(number)).is_some()));
    }
}
