//! What a request has to have before it can be sent: an access, and the endpoint of a version.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    Access, AccessFuture, EndpointFilter, Error, IdentityPlugin,
    discovery::{Discovered, Discovery},
    endpoint::WantsDiscovery,
    layer::Shared,
    outgoing::{Asked, Outgoing},
};

/// What a request is sent with; each only if it needs it.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) discovered: Option<Arc<Discovered>>,
}

/// What a request waits for.
pub(crate) enum Awaited {
    Access(AccessFuture),
    /// Version documents, and the access as it is after them.
    Found(Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>),
}

impl Found {
    /// What the request needs, if that is there at once.
    #[inline(always)]
    pub(crate) fn at_once<P: IdentityPlugin>(
        outgoing: &Outgoing,
        asked: Asked<'_>,
        shared: &Shared<P>,
    ) -> Result<Self, Awaited> {
        if let Some(filter) = asked.special {
            filter.check().map_err(Awaited::error)?;
        }
        let access = match outgoing.needs_access(asked) {
            true if outgoing.obtains_access() => return Err(Awaited::error(Error::Recursion)),
            true => Some(shared.plugin.access().now().map_err(Awaited::Access)?),
            false => None,
        };
        match asked.special {
            None => Ok(Self { access, discovered: None }),
            Some(filter) => Self::discovered(access, filter, outgoing, shared),
        }
    }

    /// The same once the access is there.
    fn with<P: IdentityPlugin>(
        access: Arc<Access>,
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Self, Awaited> {
        match outgoing.asked(&shared.settings).special {
            None => Ok(Self { access: Some(access), discovered: None }),
            Some(filter) => Self::discovered(Some(access), filter, outgoing, shared),
        }
    }

    fn discovered<P: IdentityPlugin>(
        access: Option<Arc<Access>>,
        filter: &EndpointFilter,
        outgoing: &Outgoing,
        shared: &Shared<P>,
    ) -> Result<Self, Awaited> {
        let wanted = outgoing.wants_discovery(filter, access.as_deref());
        let discovered = match (wanted, &shared.settings.discovery) {
            (WantsDiscovery::No, _) | (WantsDiscovery::IfThereIs, None) => None,
            (WantsDiscovery::Yes, None) => return Err(Awaited::error(Error::NoDiscovery)),
            (_, Some(discovery)) => {
                match discovery.ready_for(filter, access.as_deref(), shared.plugin.auth_url()) {
                    Some(discovered) => Some(discovered),
                    None => {
                        let discovering = discover(discovery.clone(), filter.clone(), access, shared.clone());
                        return Err(Awaited::Found(Box::pin(discovering)));
                    }
                }
            }
        };
        Ok(Self { access, discovered })
    }
}

/// Asks for the endpoint of a version.
async fn discover<P: IdentityPlugin>(
    discovery: Discovery,
    filter: EndpointFilter,
    access: Option<Arc<Access>>,
    Shared { plugin, settings }: Shared<P>,
) -> Result<Found, Error> {
    let ask = |access| discovery.discover(&filter, access, plugin.auth_url(), settings.require_https);
    let Some(access) = access else {
        return Ok(Found { access: None, discovered: Some(ask(None).await.found?) });
    };
    let mut asked = ask(Some(&access)).await;
    if asked.tell(&*plugin, &access) {
        let access = plugin.access().await?;
        asked = ask(Some(&access)).await;
        asked.tell(&*plugin, &access);
    }
    let discovered = asked.found?;
    // Documents take their time, in which a token ends.
    Ok(Found { access: Some(plugin.access().await?), discovered: Some(discovered) })
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
                    match Found::with(access, outgoing, shared) {
                        Ok(found) => return Poll::Ready(Ok(found)),
                        Err(awaited) => awaited,
                    }
                }
                Self::Found(found) => return found.as_mut().poll(cx),
            };
        }
    }
}
