//! Resolves what a request needs before it can be sent: its access and, with version discovery, its endpoint.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    request::{EffectiveFilter, RequestInfo},
    settings::Shared,
};
use crate::{
    AccessFuture, EndpointFilter, Error, IdentityPlugin, ServiceAccess,
    discovery::{DiscoveredEndpoint, Discovery},
    endpoint::WantsDiscovery,
};

/// The access and the discovered endpoint of a request. Each is `None` if the request does not need it.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) access: Option<Arc<ServiceAccess>>,
    pub(super) discovered: Option<Arc<DiscoveredEndpoint>>,
}

/// What a request waits for before it can be sent.
pub(super) enum Resolving {
    /// The access. The endpoint is resolved afterwards.
    Access(AccessFuture),
    /// Version discovery, and then the access that is current.
    Discovery(Pin<Box<dyn Future<Output = Result<Resolved, Error>> + Send>>),
}

/// Returns the access and the endpoint of a request if both are available now, or what the request has to wait for.
#[inline(always)]
pub(super) fn resolve<P: IdentityPlugin>(
    info: &RequestInfo,
    filter: EffectiveFilter<'_>,
    shared: &Shared<P>,
) -> Result<Resolved, Resolving> {
    if let Some(filter) = filter.extended {
        filter.check().map_err(Resolving::error)?;
    }
    let access = match info.needs_access(filter) {
        true if info.obtains_token() => return Err(Resolving::error(Error::Recursion)),
        true => Some(shared.plugin.access().into_ready().map_err(Resolving::Access)?),
        false => None,
    };
    match filter.extended {
        None => Ok(Resolved { access, discovered: None }),
        Some(filter) => resolve_endpoint(access, filter, info, shared),
    }
}

/// Continues [`resolve`] with the access that the request has waited for.
fn resolve_with_access<P: IdentityPlugin>(
    access: Arc<ServiceAccess>,
    info: &RequestInfo,
    shared: &Shared<P>,
) -> Result<Resolved, Resolving> {
    match info.effective_filter(&shared.settings).extended {
        None => Ok(Resolved { access: Some(access), discovered: None }),
        Some(filter) => resolve_endpoint(Some(access), filter, info, shared),
    }
}

/// Resolves the endpoint with version discovery, if the filter asks for a version.
fn resolve_endpoint<P: IdentityPlugin>(
    access: Option<Arc<ServiceAccess>>,
    filter: &EndpointFilter,
    info: &RequestInfo,
    shared: &Shared<P>,
) -> Result<Resolved, Resolving> {
    let wants_discovery = info.wants_discovery(filter, access.as_deref());
    let discovered = match (wants_discovery, &shared.settings.discovery) {
        (WantsDiscovery::No, _) | (WantsDiscovery::IfConfigured, None) => None,
        (WantsDiscovery::Yes, None) => return Err(Resolving::error(Error::NoDiscovery)),
        (_, Some(discovery)) => {
            match discovery.cached_endpoint_for(filter, access.as_deref(), shared.plugin.auth_url()) {
                Some(discovered) => Some(discovered),
                None => {
                    let discovering = discover(discovery.clone(), filter.clone(), access, shared.clone());
                    return Err(Resolving::Discovery(Box::pin(discovering)));
                }
            }
        }
    };
    Ok(Resolved { access, discovered })
}

/// Runs version discovery, a second time with a new token if the token is rejected and the plugin can renew it.
async fn discover<P: IdentityPlugin>(
    discovery: Discovery,
    filter: EndpointFilter,
    access: Option<Arc<ServiceAccess>>,
    Shared { plugin, settings }: Shared<P>,
) -> Result<Resolved, Error> {
    let search = |access| discovery.discover(&filter, access, plugin.auth_url(), settings.require_https);
    let Some(access) = access else {
        return Ok(Resolved { access: None, discovered: Some(search(None).await.result?) });
    };
    let mut outcome = search(Some(&access)).await;
    if outcome.report_rejections(&*plugin, &access) {
        let access = plugin.access().await?;
        outcome = search(Some(&access)).await;
        outcome.report_rejections(&*plugin, &access);
    }
    let discovered = outcome.result?;
    // The token may have expired during discovery.
    Ok(Resolved { access: Some(plugin.access().await?), discovered: Some(discovered) })
}

impl Resolving {
    /// Creates a resolution that fails with this error.
    pub(super) fn error(error: Error) -> Self {
        Self::Access(AccessFuture::ready(Err(error)))
    }

    pub(super) fn poll<P: IdentityPlugin>(
        &mut self,
        cx: &mut Context<'_>,
        info: &RequestInfo,
        shared: &Shared<P>,
    ) -> Poll<Result<Resolved, Error>> {
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
