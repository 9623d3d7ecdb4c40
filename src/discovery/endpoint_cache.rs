//! Cache of discovered endpoints, which requests look up before they are sent.

use std::sync::Arc;

use quick_cache::Equivalent;
use tokio::time::Instant;

use super::{
    document_auth::WeakAccess,
    weighted_cache::{Weight, WeightedCache, weighted_cache},
};
use crate::{
    EndpointFilter, ServiceAccess,
    endpoint::{BaseUrl, MicroversionHeaders},
};

/// Maximum size of all cached endpoints, in bytes: about a hundred thousand of typical size.
const MAX_WEIGHT: usize = 96 * 1024 * 1024;

/// Typical size of a cached endpoint, in bytes.
const TYPICAL_WEIGHT: usize = 900;

/// Size of the headers of a microversion, in bytes.
const MICROVERSION_WEIGHT: usize = 256;

/// An endpoint that requests can be sent to.
pub(crate) struct DiscoveredEndpoint {
    pub(crate) base: BaseUrl,
    /// The headers of the negotiated microversion, if the filter requests the newest one of a range.
    pub(crate) microversion: Option<MicroversionHeaders>,
}

pub(super) struct EndpointCache(WeightedCache<EndpointKey, CachedEndpoint>);

/// An endpoint before discovery, and the filter that selected it.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct EndpointKey {
    pub(super) filter: EndpointFilter,
    /// The URL of the endpoint before discovery.
    pub(super) undiscovered_url: Box<str>,
    pub(super) project_id: Option<Box<str>>,
    /// The access whose token was sent for the version document, if the service requires one.
    pub(super) access: Option<WeakAccess>,
}

/// A borrowed [`EndpointKey`]. Both have the same fields in the same order, so their hashes are equal.
#[derive(Clone, Copy, Hash)]
struct EndpointKeyRef<'a> {
    filter: &'a EndpointFilter,
    undiscovered_url: &'a str,
    project_id: Option<&'a str>,
    access: Option<*const ServiceAccess>,
}

impl Equivalent<EndpointKey> for EndpointKeyRef<'_> {
    fn equivalent(&self, key: &EndpointKey) -> bool {
        *self.undiscovered_url == *key.undiscovered_url
            && self.project_id == key.project_id.as_deref()
            && self.access == key.access.as_ref().map(WeakAccess::as_ptr)
            && self.filter == &key.filter
    }
}

#[derive(Clone)]
pub(super) struct CachedEndpoint {
    pub(super) endpoint: Arc<DiscoveredEndpoint>,
    pub(super) expires_at: Instant,
}

impl Default for EndpointCache {
    fn default() -> Self {
        Self(weighted_cache(MAX_WEIGHT, TYPICAL_WEIGHT))
    }
}

impl EndpointCache {
    pub(super) fn insert(&self, key: EndpointKey, cached: CachedEndpoint) {
        self.0.insert(key, cached);
    }

    /// Returns the endpoint that is cached for everybody, or else the one for this access.
    pub(super) fn get(
        &self,
        filter: &EndpointFilter,
        undiscovered_url: &str,
        project_id: Option<&str>,
        access: Option<&ServiceAccess>,
    ) -> Option<Arc<DiscoveredEndpoint>> {
        let key = EndpointKeyRef { filter, undiscovered_url, project_id, access: None };
        self.get_fresh(&key).or_else(|| {
            let access = Some(std::ptr::from_ref(access?));
            self.get_fresh(&EndpointKeyRef { access, ..key })
        })
    }

    fn get_fresh(&self, key: &EndpointKeyRef<'_>) -> Option<Arc<DiscoveredEndpoint>> {
        let CachedEndpoint { endpoint, expires_at } = self.0.get(key)?;
        (Instant::now() < expires_at).then_some(endpoint)
    }
}

impl Weight for EndpointKey {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.filter.weight()
            + self.undiscovered_url.len()
            + self.project_id.as_ref().map_or(0, |id| id.len())
            + self.access.as_ref().map_or(0, |_| size_of::<ServiceAccess>())
    }
}

impl Weight for CachedEndpoint {
    fn weight(&self) -> usize {
        let microversion = self.endpoint.microversion.as_ref().map_or(0, |_| MICROVERSION_WEIGHT);
        let url = self.endpoint.base.url().path().len();
        size_of::<Self>() + size_of::<DiscoveredEndpoint>() + url + microversion
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AccessInfo, discovery::document_auth::DocumentAuth};

    const URL: &str = "https://compute.example.com:8774/v2.1";

    fn filter() -> EndpointFilter {
        EndpointFilter::new("compute").region("RegionOne").min_version(2, 1)
    }

    fn project(number: usize) -> String {
        format!("{number:032x}")
    }

    fn insert(cache: &EndpointCache, number: usize) {
        let key = EndpointKey {
            filter: filter(),
            undiscovered_url: URL.into(),
            project_id: Some(project(number).into()),
            access: None,
        };
        cache.insert(key, cached_endpoint());
    }

    fn cached_endpoint() -> CachedEndpoint {
        let endpoint = DiscoveredEndpoint { base: BaseUrl::parse(URL).unwrap(), microversion: None };
        CachedEndpoint {
            endpoint: Arc::new(endpoint),
            expires_at: Instant::now() + Duration::from_secs(3600),
        }
    }

    fn is_cached(cache: &EndpointCache, filter: &EndpointFilter, number: usize) -> bool {
        cache.get(filter, URL, Some(&project(number)), None).is_some()
    }

    #[test]
    fn endpoints_of_a_hundred_thousand_projects_are_cached() {
        let (cache, filter) = (EndpointCache::default(), filter());
        (0..100_000).for_each(|number| insert(&cache, number));
        let count = (0..100_000).filter(|number| is_cached(&cache, &filter, *number)).count();
        assert_eq!(count, 100_000);
        assert!(!is_cached(&cache, &filter.clone().max_version(2, 9), 0));
        assert!(cache.get(&filter, "https://compute.example.com/", Some(&project(0)), None).is_none());
        assert!(cache.get(&filter, URL, None, None).is_none());
    }

    #[test]
    fn an_endpoint_that_required_a_token_is_cached_for_its_access_only() {
        let (cache, filter) = (EndpointCache::default(), filter());
        let access = || {
            let access_info = AccessInfo::new("token", r#"{"token": {}}"#).unwrap();
            Arc::new(ServiceAccess::from_auth_ref(access_info).unwrap())
        };
        let (own, other) = (access(), access());
        let weak = DocumentAuth { access: &own, https_only: false }.weak_access();
        let key = EndpointKey {
            filter: filter.clone(),
            undiscovered_url: URL.into(),
            project_id: None,
            access: Some(weak),
        };
        cache.insert(key, cached_endpoint());
        assert!(cache.get(&filter, URL, None, Some(&own)).is_some());
        assert!(cache.get(&filter, URL, None, Some(&other)).is_none());
        assert!(cache.get(&filter, URL, None, None).is_none());
    }

    #[test]
    fn endpoints_in_steady_use_are_not_evicted() {
        let (cache, filter) = (EndpointCache(weighted_cache(1024 * 1024, TYPICAL_WEIGHT)), filter());
        for number in 0..20_000 {
            insert(&cache, 1_000_000 + number);
            let steady = number % 100;
            if number < 100 {
                insert(&cache, steady);
            }
            assert!(is_cached(&cache, &filter, steady), "{steady} was evicted after {number} others");
        }
        assert!(cache.0.weight() <= 1024 * 1024);
    }
}
