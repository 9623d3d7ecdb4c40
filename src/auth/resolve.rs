//! Resolves what a request needs before it can be sent: its access and, with version discovery, its endpoint.

use std::{
    future::{self, Future},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    request::{EffectiveFilter, RequestInfo},
    request_access::RequestAccess,
    settings::Shared,
    source::{Accesses, Source},
};
use crate::{
    EndpointFilter, Error, ServiceAccess,
    discovery::{DiscoveredEndpoint, Discovery},
    endpoint::WantsDiscovery,
};

/// The access and the discovered endpoint of a request. Each is `None` if the request does not need it.
#[derive(Clone)]
pub(super) struct Resolved<A> {
    pub(super) access: Option<A>,
    pub(super) discovered: Option<Arc<DiscoveredEndpoint>>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What a request waits for before it can be sent.
pub(super) enum Resolving<Src: Accesses> {
    /// The access. The endpoint is resolved afterwards.
    Access(Src::Pending),
    /// Version discovery, and then the access that is current. Also an error that is ready.
    Discovery(BoxFuture<Resolved<Src::Access>>),
}

/// Returns the access and the endpoint of a request if both are available now, or what the request has to wait for.
#[inline(always)]
pub(super) fn resolve<Src: Source>(
    info: &RequestInfo,
    filter: EffectiveFilter<'_>,
    shared: &Shared<Src>,
) -> Result<Resolved<Src::Access>, Resolving<Src>> {
    if let Some(filter) = filter.extended {
        filter.check().map_err(Resolving::error)?;
    }
    let access = match info.needs_access(filter) {
        true => {
            info.check().map_err(Resolving::error)?;
            Some(shared.plugin.request_access().map_err(Resolving::Access)?)
        }
        false => None,
    };
    match filter.extended {
        None => Ok(Resolved { access, discovered: None }),
        Some(filter) => resolve_endpoint(access, filter, info, shared),
    }
}

/// Continues [`resolve`] with the access that the request has waited for.
fn resolve_with_access<Src: Source>(
    access: Src::Access,
    info: &RequestInfo,
    shared: &Shared<Src>,
) -> Result<Resolved<Src::Access>, Resolving<Src>> {
    match info.effective_filter(&shared.settings).extended {
        None => Ok(Resolved { access: Some(access), discovered: None }),
        Some(filter) => resolve_endpoint(Some(access), filter, info, shared),
    }
}

/// Resolves the endpoint with version discovery, if the filter asks for a version.
fn resolve_endpoint<Src: Source>(
    access: Option<Src::Access>,
    filter: &EndpointFilter,
    info: &RequestInfo,
    shared: &Shared<Src>,
) -> Result<Resolved<Src::Access>, Resolving<Src>> {
    let current_access = access.as_ref().map(|access| &**access.access());
    let wants_discovery = info.wants_discovery(filter, current_access);
    let discovered = match (wants_discovery, &shared.settings.discovery) {
        (WantsDiscovery::No, _) | (WantsDiscovery::IfConfigured, None) => None,
        (WantsDiscovery::Yes, None) => return Err(Resolving::error(Error::NoDiscovery)),
        (_, Some(discovery)) => {
            match discovery.cached_endpoint_for(filter, current_access, shared.plugin.auth_url()) {
                Some(discovered) => Some(discovered),
                None => {
                    let access = access.as_ref().map(|access| Arc::clone(access.access()));
                    let discovering = discover(discovery.clone(), filter.clone(), access, shared.clone());
                    return Err(Resolving::Discovery(Box::pin(discovering)));
                }
            }
        }
    };
    Ok(Resolved { access, discovered })
}

/// Runs version discovery, a second time with a new token if the token is rejected and the plugin can renew it.
async fn discover<Src: Source>(
    discovery: Discovery,
    filter: EndpointFilter,
    access: Option<Arc<ServiceAccess>>,
    Shared { plugin, settings }: Shared<Src>,
) -> Result<Resolved<Src::Access>, Error> {
    let search = |access| discovery.discover(&filter, access, plugin.auth_url(), settings.require_https);
    let Some(access) = access else {
        return Ok(Resolved { access: None, discovered: Some(search(None).await.result?) });
    };
    let mut outcome = search(Some(&access)).await;
    if outcome.report_rejections(&plugin, &access) {
        let access = plugin.access().await?;
        outcome = search(Some(&access)).await;
        outcome.report_rejections(&plugin, &access);
    }
    let discovered = outcome.result?;
    // The token may have expired during discovery.
    let access = match plugin.request_access() {
        Ok(access) => access,
        Err(pending) => pending.await?,
    };
    Ok(Resolved { access: Some(access), discovered: Some(discovered) })
}

impl<Src: Source> Resolving<Src> {
    /// Creates a resolution that fails with this error.
    pub(super) fn error(error: Error) -> Self {
        Self::Discovery(Box::pin(future::ready(Err(error))))
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        info: &RequestInfo,
        shared: &Shared<Src>,
    ) -> Poll<Result<Resolved<Src::Access>, Error>> {
        loop {
            *self = match self {
                Self::Access(access) => {
                    let access = ready!(Pin::new(access).poll(cx))?;
                    match resolve_with_access(access, info, shared) {
                        Ok(resolved) => return Poll::Ready(Ok(resolved)),
                        Err(resolving) => resolving,
                    }
                }
                Self::Discovery(future) => return future.as_mut().poll(cx),
            };
        }
    }
}
