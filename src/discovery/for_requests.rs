//! Endpoints of versions for the requests of a layer.

use std::sync::Arc;

use http::Uri;

use super::{
    Discovery, Endpoint,
    client::{Sought, project_id, question},
    endpoint_cache::{Answer, Discovered, Key},
    token::{Asked, Token},
};
use crate::{EndpointFilter, Error, ServiceAccess, endpoint::BaseUrl};

impl Discovery {
    /// The endpoint that requests with this filter go to, if it was found before.
    pub(crate) fn ready_for(
        &self,
        filter: &EndpointFilter,
        access: Option<&ServiceAccess>,
        auth_url: Option<&Uri>,
    ) -> Option<Arc<Discovered>> {
        let project_id = project_id(filter, access);
        let in_catalog = !filter.uses_auth_url() && !filter.is_overridden();
        match access.and_then(ServiceAccess::auth_ref).filter(|_| in_catalog) {
            // An endpoint of the catalog is looked at where it stands: most are, and nothing is allocated.
            Some(auth_ref) => {
                let listed = auth_ref.service_catalog().usable_endpoint_for(filter).ok()?;
                self.endpoints.get(filter, listed.url(), project_id, access)
            }
            None => {
                let undiscovered = Endpoint::undiscovered(filter, access, auth_url).ok()?;
                self.endpoints.get(filter, undiscovered.url(), project_id, access)
            }
        }
    }

    /// Finds the endpoint, and keeps it ready for the requests that follow.
    ///
    /// Its documents are asked for with the token of the access, if that may be sent there. An override without a
    /// document is used as it is, and a 401 there says nothing of the token, since it may be no service of the cloud.
    pub(crate) async fn discover(
        &self,
        filter: &EndpointFilter,
        access: Option<&Arc<ServiceAccess>>,
        auth_url: Option<&Uri>,
        https_only: bool,
    ) -> Asked<Arc<Discovered>> {
        let of_access = access.map(|access| &**access);
        let prepared = Endpoint::undiscovered(filter, of_access, auth_url).and_then(|undiscovered| {
            let discover_versions = filter.wanted_microversion_range().is_some();
            Ok((undiscovered, question(filter, discover_versions, of_access)?))
        });
        let (undiscovered, question) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Asked::failed(error),
        };
        let project_id = project_id(filter, of_access);
        let token = access.map(|access| Token { access, https_only });
        let Sought { endpoint, until, whose, refused_by } =
            self.search(&undiscovered, question, project_id, token).await;
        let overridden = filter.is_overridden();
        let endpoint = match endpoint {
            Err(Error::DiscoveryFailure(failure))
                if overridden && !question.discover_versions && failure.lists_nothing() =>
            {
                Ok(undiscovered.clone())
            }
            endpoint => endpoint,
        };
        let found = endpoint.and_then(|endpoint| {
            // Whoever asks for no version in particular does not want to be sent elsewhere.
            let url = if question.range.is_any() { undiscovered.url() } else { endpoint.url() };
            let offered = (endpoint.min_microversion(), endpoint.max_microversion());
            let wanted = filter.wanted_microversion_range();
            let microversion = wanted.map(|wanted| wanted.newest_supported(offered)).transpose()?;
            Ok(Arc::new(Discovered { base: BaseUrl::parse(url)?, microversion }))
        });
        if let Ok(found) = &found {
            let key = Key {
                filter: filter.clone(),
                undiscovered: undiscovered.url().into(),
                project_id: project_id.map(Into::into),
                whose,
            };
            self.endpoints.insert(key, Answer { until, found: Arc::clone(found) });
        }
        let refused_by = refused_by.into_iter().filter(|_| !overridden).collect();
        Asked { found, refused_by }
    }
}
