//! The versions of all services of a cloud.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use super::{
    Allow, Discovery, Endpoint, Version, VersionData, VersionRange, candidate_urls::Candidates,
    document_cache::Lookup, outcome::Outcome,
};
use crate::{EndpointFilter, Error, IdentityPlugin, ServiceAccess, endpoint::Origin, service_types};

/// Versions by region, interface and official service type.
pub type VersionsByRegion = BTreeMap<Box<str>, BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<VersionData>>>>;

/// Maximum number of endpoints whose documents are fetched at the same time.
const MAX_CONCURRENT: usize = 8;

impl Discovery {
    /// Returns the versions of all endpoints of the catalog that match a filter: keystoneauth's
    /// `get_all_version_data`.
    ///
    /// If the filter names no interface, only public endpoints match. Endpoints without a region or an interface are
    /// skipped. If an endpoint has no version document, or the document lists no version, the result contains one
    /// [`VersionData`] for that endpoint. Its version is the one that the endpoint's URL names, if any. At most eight
    /// documents are fetched at the same time.
    ///
    /// # Errors
    ///
    /// The errors of the plugin, and of a filter that contradicts itself (see
    /// [`endpoint_data`](Self::endpoint_data)).
    pub async fn all_version_data<P>(
        &self,
        plugin: &P,
        filter: &EndpointFilter,
    ) -> Result<VersionsByRegion, Error>
    where
        P: IdentityPlugin + ?Sized,
    {
        filter.check()?;
        let access = plugin.access().await?;
        let outcome = self.all_version_data_with_access(&access, filter).await;
        if !outcome.report_rejections(plugin, &access) {
            return outcome.result;
        }
        let access = plugin.access().await?;
        let outcome = self.all_version_data_with_access(&access, filter).await;
        outcome.report_rejections(plugin, &access);
        outcome.result
    }

    async fn all_version_data_with_access(
        &self,
        access: &Arc<ServiceAccess>,
        filter: &EndpointFilter,
    ) -> Outcome<VersionsByRegion> {
        let mut outcome = Outcome { result: Ok(VersionsByRegion::new()), rejected_by: Vec::new() };
        let Some(auth_ref) = access.auth_ref() else { return outcome };
        let matches = auth_ref.service_catalog().endpoints_data(&filter.clone().public_by_default());
        let endpoints = matches.into_iter().flat_map(|(_, endpoints)| endpoints).map(Endpoint::from);
        let is_complete =
            |endpoint: &Endpoint| endpoint.region_name.is_some() && endpoint.interface.is_some();
        let lookups = endpoints.filter(is_complete).enumerate().map(|(index, endpoint)| async move {
            let versions = self.endpoint_versions(&endpoint, access).await;
            (index, endpoint, versions)
        });
        let mut results = run_concurrently(lookups).await;
        // If two endpoints have the same place in the result, the later one in the catalog is used.
        results.sort_by_key(|(index, ..)| *index);
        for (_, endpoint, (versions, rejected_by)) in results {
            if let Some(origin) = rejected_by.filter(|origin| !outcome.rejected_by.contains(origin)) {
                outcome.rejected_by.push(origin);
            }
            let (Some(region_name), Some(interface)) = (endpoint.region_name, endpoint.interface) else {
                continue;
            };
            let service_type = endpoint.service_type.unwrap_or_default();
            let service_type = service_types::official(&service_type).map_or(service_type, Into::into);
            match (&mut outcome.result, versions) {
                (Ok(all), Ok(versions)) => {
                    let by_interface = all.entry(region_name).or_default();
                    by_interface.entry(interface.as_str().into()).or_default().insert(service_type, versions);
                }
                (result, Err(error)) => *result = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
        outcome
    }

    /// Returns the versions that the first document lists, or else the version that the URL names.
    ///
    /// The second value is the origin that rejected the token.
    async fn endpoint_versions(
        &self,
        endpoint: &Endpoint,
        access: &Arc<ServiceAccess>,
    ) -> (Result<Vec<VersionData>, Error>, Option<Origin>) {
        let (project_id, auth) = (access.project_id(), self.auth(access));
        let mut rejected_by = None;
        for url in Candidates::new(endpoint, project_id, VersionRange::default(), Some(&self.hacks)).urls {
            let Lookup { cached, .. } = match self.documents.get_or_fetch(&url, Some(auth)).await {
                Ok(lookup) => lookup,
                Err(error) => return (Err(error), rejected_by),
            };
            match &cached.result {
                Ok(fetched) => {
                    let versions: Vec<_> = fetched.document.version_data(Allow::default()).cloned().collect();
                    if !versions.is_empty() {
                        return (Ok(versions), rejected_by);
                    }
                    break;
                }
                Err(no_document) => rejected_by = rejected_by.or_else(|| no_document.rejected_by().cloned()),
            }
        }
        let url = endpoint.url().trim_end_matches('/');
        // The project id can be the end of a segment, such as `AUTH_<id>` of Swift.
        let ends_in_id =
            project_id.is_some_and(|project_id| !project_id.is_empty() && url.ends_with(project_id));
        let base = url.rsplit_once('/').filter(|_| ends_in_id).map_or(url, |(base, _)| base);
        let url = format!("{base}/");
        (Ok(vec![VersionData::inferred(url.into(), Version::from_url(endpoint.url()))]), rejected_by)
    }
}

/// Runs futures concurrently, at most [`MAX_CONCURRENT`] at a time, and returns their outputs in order of completion.
///
/// The futures need no tasks of their own, because the cache fetches documents in tasks.
async fn run_concurrently<F: Future>(mut futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let (mut running, mut outputs) = (Vec::new(), Vec::new());
    poll_fn(|cx| {
        loop {
            running.extend(futures.by_ref().take(MAX_CONCURRENT - running.len()).map(Box::pin));
            if running.is_empty() {
                return Poll::Ready(());
            }
            let outputs_before = outputs.len();
            running.retain_mut(|future| match future.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    outputs.push(output);
                    false
                }
                Poll::Pending => true,
            });
            if outputs.len() == outputs_before {
                return Poll::Pending;
            }
        }
    })
    .await;
    outputs
}
