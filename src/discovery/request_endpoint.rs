//! Endpoints for the requests of a layer.

use std::sync::Arc;

use http::Uri;

use super::{
    Discovery, Endpoint,
    client::{SearchResult, project_id, version_query},
    document_auth::DocumentAuth,
    endpoint_cache::{CachedEndpoint, DiscoveredEndpoint, EndpointKey},
    outcome::Outcome,
};
use crate::{EndpointFilter, Error, ServiceAccess, endpoint::BaseUrl};

impl Discovery {
    /// Returns the cached endpoint for requests with this filter.
    pub(crate) fn cached_endpoint_for(
        &self,
        filter: &EndpointFilter,
        access: Option<&ServiceAccess>,
        auth_url: Option<&Uri>,
    ) -> Option<Arc<DiscoveredEndpoint>> {
        let project_id = project_id(filter, access);
        let is_in_catalog = !filter.uses_auth_url() && !filter.is_overridden();
        match access.and_then(ServiceAccess::auth_ref).filter(|_| is_in_catalog) {
            // The usual case: it borrows the URL from the catalog, so that nothing is allocated.
            Some(auth_ref) => {
                let endpoint = auth_ref.service_catalog().usable_endpoint_for(filter).ok()?;
                self.endpoints.get(filter, endpoint.url(), project_id, access)
            }
            None => {
                let undiscovered = Endpoint::undiscovered(filter, access, auth_url).ok()?;
                self.endpoints.get(filter, undiscovered.url(), project_id, access)
            }
        }
    }

    /// Discovers the endpoint for requests with this filter, and caches it.
    ///
    /// The token of the access is sent for a document if the service requires it and the token may be sent there. An
    /// endpoint override without a document is used as it is, unless the document only cannot be fetched for now. A 401
    /// from an override does not invalidate the token, because the server may not belong to the cloud.
    pub(crate) async fn discover(
        &self,
        filter: &EndpointFilter,
        access: Option<&Arc<ServiceAccess>>,
        auth_url: Option<&Uri>,
        https_only: bool,
    ) -> Outcome<Arc<DiscoveredEndpoint>> {
        let borrowed_access = access.map(|access| &**access);
        let prepared = Endpoint::undiscovered(filter, borrowed_access, auth_url).and_then(|undiscovered| {
            let discover_versions = filter.wanted_microversion_range().is_some();
            let query = version_query(filter, discover_versions, borrowed_access)?;
            Ok((undiscovered, query.for_requests(filter)))
        });
        let (undiscovered, query) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Outcome::error(error),
        };
        let project_id = project_id(filter, borrowed_access);
        let auth = access.map(|access| DocumentAuth { access, https_only });
        let SearchResult { endpoint, expires_at, access: token_access, rejected_by } =
            self.search(&undiscovered, query, project_id, auth).await;
        let is_overridden = filter.is_overridden();
        let endpoint = match endpoint {
            Err(Error::DiscoveryFailure(failure))
                if is_overridden
                    && !query.discover_versions
                    && failure.lists_nothing()
                    && !failure.is_transient() =>
            {
                Ok(undiscovered.clone())
            }
            endpoint => endpoint,
        };
        let result = endpoint.and_then(|endpoint| {
            // Without a requested version, requests are sent to the same URL as without discovery.
            let url = if query.range.is_any() { undiscovered.url() } else { endpoint.url() };
            let supported = (endpoint.min_microversion(), endpoint.max_microversion());
            let requested = filter.wanted_microversion_range();
            let microversion =
                requested.map(|requested| requested.newest_supported(supported)).transpose()?;
            Ok(Arc::new(DiscoveredEndpoint { base: BaseUrl::parse(url)?, microversion }))
        });
        if let Ok(endpoint) = &result {
            let key = EndpointKey {
                filter: filter.clone(),
                undiscovered_url: undiscovered.url().into(),
                project_id: project_id.map(Into::into),
                access: token_access,
            };
            self.endpoints.insert(key, CachedEndpoint { endpoint: Arc::clone(endpoint), expires_at });
        }
        Outcome { result, rejected_by: rejected_by.into_iter().filter(|_| !is_overridden).collect() }
    }
}
