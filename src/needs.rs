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
    layer::Shared,
    outgoing::Outgoing,
};

/// What a request is sent with; each only if it needs it.
#[derive(Default)]
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
    /// What the request needs, or the error of finding it, if that is there at once.
    pub(crate) fn at_once<P: IdentityPlugin>(
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Result<Self, Error>, Awaited> {
        if !outgoing.needs_access() {
            return Self::with(None, outgoing, shared);
        }
        if outgoing.obtains_access() {
            return Ok(Err(Error::Recursion));
        }
        match shared.plugin.access().now().map_err(Awaited::Access)? {
            Ok(access) => Self::with(Some(access), outgoing, shared),
            Err(error) => Ok(Err(error)),
        }
    }

    fn with<P: IdentityPlugin>(
        access: Option<Arc<Access>>,
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Result<Self, Error>, Awaited> {
        match outgoing.discover(access.as_ref(), shared) {
            Ok(None) => Ok(Ok(Self { access, discovered: None })),
            Ok(Some(Ok(discovered))) => Ok(Ok(Self { access, discovered: Some(discovered) })),
            Ok(Some(Err(future))) => Err(Awaited::Discovered(access, future)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Awaited {
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
                        Ok(found) => return Poll::Ready(found),
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
