//! What a request has to have before it can be sent: an access, and the endpoint of a version.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    Access, AccessFuture, Error, IdentityPlugin,
    discovery::{Discovered, DiscoveredFuture},
    endpoint::WantsDiscovery,
    layer::Shared,
    outgoing::Outgoing,
};

/// What a request is sent with; each only if it needs it.
pub(crate) struct Found {
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) discovered: Option<Arc<Discovered>>,
}

/// What a request waits for.
pub(crate) enum Awaited {
    Access(AccessFuture),
    Discovered(Option<Arc<Access>>, DiscoveredFuture),
}

impl Found {
    /// What the request needs, if that is there at once.
    #[inline(always)]
    pub(crate) fn at_once<P: IdentityPlugin>(
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Self, Awaited> {
        if !outgoing.needs_access() {
            return Self::with(None, outgoing, shared);
        }
        if outgoing.obtains_access() {
            return Err(Awaited::error(Error::Recursion));
        }
        let access = shared.plugin.access().now().map_err(Awaited::Access)?;
        Self::with(Some(access), outgoing, shared)
    }

    #[inline(always)]
    fn with<P: IdentityPlugin>(
        access: Option<Arc<Access>>,
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Self, Awaited> {
        let wanted = outgoing.wants_discovery(access.as_deref());
        let discovered = match (wanted, &shared.settings.discovery) {
            (WantsDiscovery::No, _) | (WantsDiscovery::IfThereIs, None) => None,
            (WantsDiscovery::Yes, None) => return Err(Awaited::error(Error::NoDiscovery)),
            (_, Some(discovery)) => match outgoing.discover(discovery, access.as_ref(), shared) {
                Ok(discovered) => Some(discovered),
                Err(future) => return Err(Awaited::Discovered(access, future)),
            },
        };
        Ok(Self { access, discovered })
    }
}

impl Awaited {
    /// Nothing but this error: an access that cannot be had, whatever went wrong.
    pub(crate) fn error(error: Error) -> Self {
        Self::Access(AccessFuture::ready(Err(error)))
    }

    pub(crate) fn poll<P: IdentityPlugin>(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Poll<Result<Found, Error>> {
        loop {
            *self = match self {
                Self::Access(access) => {
                    let access = ready!(Pin::new(access).poll(cx))?;
                    match Found::with(Some(access), outgoing, shared) {
                        Ok(found) => return Poll::Ready(Ok(found)),
                        Err(awaited) => awaited,
                    }
                }
                Self::Discovered(access, discovered) => {
                    let discovered = Some(ready!(discovered.as_mut().poll(cx))?);
                    return Poll::Ready(Ok(Found { access: access.take(), discovered }));
                }
            };
        }
    }
}
