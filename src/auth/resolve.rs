//! Resolves what a request needs before it can be sent: its access and, with version discovery, its endpoint.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    request::{EffectiveFilter, RequestInfo},
    request_access::{PendingAccess, RequestAccess},
    settings::Settings,
    source::Source,
};
use crate::{
    AccessFuture, EndpointFilter, Error, IdentityPlugin, ServiceAccess,
    discovery::{DiscoveredEndpoint, Discovery},
    endpoint::WantsDiscovery,
};

/// The access and the discovered endpoint of a request. Each is `None` if the request does not need it.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) access: Option<RequestAccess>,
    pub(super) discovered: Option<Arc<DiscoveredEndpoint>>,
}

/// What a request waits for before it can be sent.
pub(super) enum Resolving {
    /// The access. The endpoint is resolved afterwards.
    Access(PendingAccess),
    /// Version discovery, and then the access that is current.
    Discovery(Pin<Box<dyn Future<Output = Result<Resolved, Error>> + Send>>),
}

/// Returns the access and the endpoint of a request if both are available now, or what the request has to wait for.
#[inline(always)]
pub(super) fn resolve<P: IdentityPlugin>(
    info: &RequestInfo<P>,
    filter: EffectiveFilter<'_>,
    settings: &Arc<Settings>,
) -> Result<Resolved, Resolving> {
    if let Some(filter) = filter.extended {
        filter.check().map_err(Resolving::error)?;
    }
    let access = match info.needs_access(filter) {
        true if info.obtains_token() => return Err(Resolving::error(Error::Recursion)),
        true => Some(RequestAccess::current(&info.source).map_err(Resolving::Access)?),
        false => None,
    };
    match filter.extended {
        None => Ok(Resolved { access, discovered: None }),
        Some(filter) => resolve_endpoint(access, filter, info, settings),
    }
}

/// Continues [`resolve`] with the access that the request has waited for.
fn resolve_with_access<P: IdentityPlugin>(
    access: RequestAccess,
    info: &RequestInfo<P>,
    settings: &Arc<Settings>,
) -> Result<Resolved, Resolving> {
    match info.effective_filter(settings).extended {
        None => Ok(Resolved { access: Some(access), discovered: None }),
        Some(filter) => resolve_endpoint(Some(access), filter, info, settings),
    }
}

/// Resolves the endpoint with version discovery, if the filter asks for a version.
fn resolve_endpoint<P: IdentityPlugin>(
    access: Option<RequestAccess>,
    filter: &EndpointFilter,
    info: &RequestInfo<P>,
    settings: &Arc<Settings>,
) -> Result<Resolved, Resolving> {
    let current_access = access.as_ref().map(|access| &*access.access);
    let wants_discovery = info.wants_discovery(filter, current_access);
    let discovered = match (wants_discovery, &settings.discovery) {
        (WantsDiscovery::No, _) | (WantsDiscovery::IfConfigured, None) => None,
        (WantsDiscovery::Yes, None) => return Err(Resolving::error(Error::NoDiscovery)),
        (_, Some(discovery)) => {
            match discovery.cached_endpoint_for(filter, current_access, info.source.auth_url()) {
                Some(discovered) => Some(discovered),
                None => {
                    let access = access.map(|access| access.access);
                    let (source, settings) = (info.source.clone(), Arc::clone(settings));
                    let discovering = discover(discovery.clone(), filter.clone(), access, source, settings);
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
    source: Source<P>,
    settings: Arc<Settings>,
) -> Result<Resolved, Error> {
    let search = |access| discovery.discover(&filter, access, source.auth_url(), settings.require_https);
    let Some(access) = access else {
        return Ok(Resolved { access: None, discovered: Some(search(None).await.result?) });
    };
    let mut outcome = search(Some(&access)).await;
    if outcome.report_rejections(&source, &access) {
        let access = source.access().await?;
        outcome = search(Some(&access)).await;
        outcome.report_rejections(&source, &access);
    }
    let discovered = outcome.result?;
    // A token may have expired during discovery.
    let access = match RequestAccess::current(&source) {
        Ok(access) => access,
        Err(pending) => pending.await?,
    };
    Ok(Resolved { access: Some(access), discovered: Some(discovered) })
}

impl Resolving {
    /// Creates a resolution that fails with this error.
    pub(super) fn error(error: Error) -> Self {
        Self::Access(PendingAccess::Access(AccessFuture::ready(Err(error))))
    }

    pub(super) fn poll<P: IdentityPlugin>(
        &mut self,
        cx: &mut Context<'_>,
        info: &RequestInfo<P>,
        settings: &Arc<Settings>,
    ) -> Poll<Result<Resolved, Error>> {
        loop {
            *self = match self {
                Self::Access(access) => {
                    let access = ready!(Pin::new(access).poll(cx))?;
                    match resolve_with_access(access, info, settings) {
                        Ok(resolved) => return Poll::Ready(Ok(resolved)),
                        Err(resolving) => resolving,
                    }
                }
                Self::Discovery(future) => return future.as_mut().poll(cx),
            };
        }
    }
}
