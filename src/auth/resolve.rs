//! Resolves what a request needs before it can be sent: its access, and the endpoint of a version.

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
    discovery::{Discovered, Discovery},
    endpoint::WantsDiscovery,
};

/// The access and the discovered endpoint of a request. Each is `None` if the request does not need it.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) access: Option<Arc<ServiceAccess>>,
    pub(super) discovered: Option<Arc<Discovered>>,
}

/// What a pending request waits for.
pub(super) enum Resolving {
    Access(AccessFuture),
    /// Version discovery, and the access that is current afterwards.
    Discovery(Pin<Box<dyn Future<Output = Result<Resolved, Error>> + Send>>),
}

impl Resolved {
    /// Returns what the request needs if it is available now.
    #[inline(always)]
    pub(super) fn immediate<P: IdentityPlugin>(
        info: &RequestInfo,
        filter: EffectiveFilter<'_>,
        shared: &Shared<P>,
    ) -> Result<Self, Resolving> {
        if let Some(filter) = filter.beyond_catalog {
            filter.check().map_err(Resolving::error)?;
        }
        let access = match info.needs_access(filter) {
            true if info.obtains_token() => return Err(Resolving::error(Error::Recursion)),
            true => Some(shared.plugin.access().now().map_err(Resolving::Access)?),
            false => None,
        };
        match filter.beyond_catalog {
            None => Ok(Self { access, discovered: None }),
            Some(filter) => Self::discovered(access, filter, info, shared),
        }
    }

    /// Returns the same with an access that the request has waited for.
    fn with_access<P: IdentityPlugin>(
        access: Arc<ServiceAccess>,
        info: &RequestInfo,
        shared: &Shared<P>,
    ) -> Result<Self, Resolving> {
        match info.effective_filter(&shared.settings).beyond_catalog {
            None => Ok(Self { access: Some(access), discovered: None }),
            Some(filter) => Self::discovered(Some(access), filter, info, shared),
        }
    }

    fn discovered<P: IdentityPlugin>(
        access: Option<Arc<ServiceAccess>>,
        filter: &EndpointFilter,
        info: &RequestInfo,
        shared: &Shared<P>,
    ) -> Result<Self, Resolving> {
        let wanted = info.wants_discovery(filter, access.as_deref());
        let discovered = match (wanted, &shared.settings.discovery) {
            (WantsDiscovery::No, _) | (WantsDiscovery::IfConfigured, None) => None,
            (WantsDiscovery::Yes, None) => return Err(Resolving::error(Error::NoDiscovery)),
            (_, Some(discovery)) => {
                match discovery.ready_for(filter, access.as_deref(), shared.plugin.auth_url()) {
                    Some(discovered) => Some(discovered),
                    None => {
                        let discovering = discover(discovery.clone(), filter.clone(), access, shared.clone());
                        return Err(Resolving::Discovery(Box::pin(discovering)));
                    }
                }
            }
        };
        Ok(Self { access, discovered })
    }
}

/// Discovers the endpoint of a version.
async fn discover<P: IdentityPlugin>(
    discovery: Discovery,
    filter: EndpointFilter,
    access: Option<Arc<ServiceAccess>>,
    Shared { plugin, settings }: Shared<P>,
) -> Result<Resolved, Error> {
    let ask = |access| discovery.discover(&filter, access, plugin.auth_url(), settings.require_https);
    let Some(access) = access else {
        return Ok(Resolved { access: None, discovered: Some(ask(None).await.found?) });
    };
    let mut asked = ask(Some(&access)).await;
    if asked.tell(&*plugin, &access) {
        let access = plugin.access().await?;
        asked = ask(Some(&access)).await;
        asked.tell(&*plugin, &access);
    }
    let discovered = asked.found?;
    // The token may have expired during discovery.
    Ok(Resolved { access: Some(plugin.access().await?), discovered: Some(discovered) })
}

impl Resolving {
    /// A resolution that fails with this error.
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
                    match Resolved::with_access(access, info, shared) {
                        Ok(found) => return Poll::Ready(Ok(found)),
                        Err(awaited) => awaited,
                    }
                }
                Self::Discovery(future) => return future.as_mut().poll(cx),
            };
        }
    }
}
