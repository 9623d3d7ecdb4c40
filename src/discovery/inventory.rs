//! The versions of a whole cloud.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use super::{
    Allow, Discovery, Endpoint, Version, VersionData, VersionRange, candidate_urls::Candidates,
    document_cache::Known, token::Asked,
};
use crate::{EndpointFilter, Error, IdentityPlugin, ServiceAccess, endpoint::Origin, service_types};

/// Versions by region, interface and official service type.
pub type VersionsByRegion = BTreeMap<Box<str>, BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<VersionData>>>>;

/// How many services are asked at once.
const AT_ONCE: usize = 8;

impl Discovery {
    /// The versions of all endpoints of the catalog that match a filter: keystoneauth's
    /// `get_all_version_data`. Without an interface in the filter, public endpoints count.
    ///
    /// Up to eight services are asked at once. An endpoint without a region or an interface is left out;
    /// one that says nothing of its versions has the one that its URL names, or none.
    ///
    /// # Errors
    ///
    /// Those of the plugin, and those of a filter that contradicts itself.
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
        let asked = self.inventory(&access, filter).await;
        if !asked.tell(plugin, &access) {
            return asked.found;
        }
        let access = plugin.access().await?;
        let asked = self.inventory(&access, filter).await;
        asked.tell(plugin, &access);
        asked.found
    }

    async fn inventory(
        &self,
        access: &Arc<ServiceAccess>,
        filter: &EndpointFilter,
    ) -> Asked<VersionsByRegion> {
        let mut asked = Asked { found: Ok(VersionsByRegion::new()), refused_by: Vec::new() };
        let Some(auth_ref) = access.auth_ref() else { return asked };
        let found = auth_ref.service_catalog().endpoints_data(&filter.clone().public_by_default());
        let endpoints = found.into_iter().flat_map(|(_, found)| found).map(Endpoint::from);
        let is_placed = |endpoint: &Endpoint| endpoint.region_name.is_some() && endpoint.interface.is_some();
        let asking = endpoints.filter(is_placed).enumerate().map(|(place, endpoint)| async move {
            let versions = self.versions_at(&endpoint, access).await;
            (place, endpoint, versions)
        });
        // Of two endpoints of one kind, the later one in the catalog counts.
        let mut answers = few_at_once(asking).await;
        answers.sort_by_key(|(place, ..)| *place);
        for (_, endpoint, (versions, refused_by)) in answers {
            if let Some(by) = refused_by.filter(|by| !asked.refused_by.contains(by)) {
                asked.refused_by.push(by);
            }
            let (Some(region_name), Some(interface)) = (endpoint.region_name, endpoint.interface) else {
                continue;
            };
            let listed = endpoint.service_type.unwrap_or_default();
            let service_type = service_types::official(&listed).map_or(listed, Into::into);
            match (&mut asked.found, versions) {
                (Ok(all), Ok(versions)) => {
                    let by_interface = all.entry(region_name).or_default();
                    by_interface.entry(interface.as_str().into()).or_default().insert(service_type, versions);
                }
                (found, Err(error)) => *found = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
        asked
    }

    /// What the first document says that an endpoint has, or else what its URL says; and who refused the token.
    async fn versions_at(
        &self,
        endpoint: &Endpoint,
        access: &Arc<ServiceAccess>,
    ) -> (Result<Vec<VersionData>, Error>, Option<Origin>) {
        let (project_id, token) = (access.project_id(), self.token(access));
        let mut refused_by = None;
        for url in Candidates::of(endpoint, project_id, VersionRange::default(), Some(&self.hacks)).urls {
            let Known { landed, .. } = match self.cache.ask(&url, Some(token)).await {
                Ok(known) => known,
                Err(error) => return (Err(error), refused_by),
            };
            match &landed.fetched {
                Ok(fetched) => {
                    let versions: Vec<_> = fetched.document.version_data(Allow::default()).cloned().collect();
                    if !versions.is_empty() {
                        return (Ok(versions), refused_by);
                    }
                    break;
                }
                Err(miss) => refused_by = refused_by.or_else(|| miss.rejected_by().cloned()),
            }
        }
        let url = endpoint.url().trim_end_matches('/');
        // The id may be the end of a segment: Swift has `AUTH_` before it.
        let has_id = project_id.is_some_and(|project_id| !project_id.is_empty() && url.ends_with(project_id));
        let above = url.rsplit_once('/').filter(|_| has_id).map_or(url, |(above, _)| above);
        let url = format!("{above}/");
        (Ok(vec![VersionData::inferred(url.into(), Version::from_url(endpoint.url()))]), refused_by)
    }
}

/// Waits for all of these, a few of them at once. The order is that in which they are done.
///
/// They need no tasks of their own: documents are fetched in those of the cache.
async fn few_at_once<F: Future>(mut waiting: impl Iterator<Item = F>) -> Vec<F::Output> {
    let (mut begun, mut done) = (Vec::new(), Vec::new());
    poll_fn(|cx| {
        loop {
            begun.extend(waiting.by_ref().take(AT_ONCE - begun.len()).map(Box::pin));
            if begun.is_empty() {
                return Poll::Ready(());
            }
            let done_before = done.len();
            begun.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    done.push(output);
                    false
                }
                Poll::Pending => true,
            });
            if done.len() == done_before {
                return Poll::Pending;
            }
        }
    })
    .await;
    done
}
