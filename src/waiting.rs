//! A request that cannot be sent at once.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use tower_service::Service;

use crate::{
    BoxError, Error, IdentityPlugin,
    layer::Shared,
    needs::{Awaited, Found},
    outgoing::{Carried, Outgoing},
};

/// How often a request that had to wait for the inner service too waits for another access, since the one that it had
/// is not current any more.
const LOOKS: usize = 3;

/// A request that waits for its access or its endpoint, and then for the inner service to be ready.
///
/// It is ready for neither at first, and holds no readiness of the inner service while it waits for its access.
pub(crate) struct Waiting<P, S, B> {
    needs: Needs,
    request: Request<B>,
    outgoing: Outgoing,
    inner: S,
    shared: Shared<P>,
    looks: usize,
}

enum Needs {
    Awaited(Awaited),
    /// The inner service has to be ready yet; `late` if it was not when it was asked first.
    Found {
        found: Found,
        late: bool,
    },
}

impl<P, S, B> Waiting<P, S, B> {
    pub(crate) fn new(
        awaited: Awaited,
        request: Request<B>,
        outgoing: Outgoing,
        inner: S,
        shared: Shared<P>,
    ) -> Self {
        Self { needs: Needs::Awaited(awaited), request, outgoing, inner, shared, looks: LOOKS }
    }

    pub(crate) fn plugin(&self) -> Arc<P> {
        Arc::clone(&self.shared.plugin)
    }
}

impl<P, S, B> Waiting<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Returns what the request is to be sent with, once the inner service is ready for it.
    pub(crate) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, BoxError>> {
        loop {
            match &mut self.needs {
                Needs::Awaited(awaited) => {
                    let found = ready!(awaited.poll(cx, &self.outgoing, &self.shared))?;
                    // Who is polled late gets what is current now.
                    let found = self.look().unwrap_or(found);
                    self.needs = Needs::Found { found, late: false };
                }
                Needs::Found { found, late } => {
                    let Poll::Ready(ready) = self.inner.poll_ready(cx) else {
                        *late = true;
                        return Poll::Pending;
                    };
                    ready.map_err(Into::into)?;
                    let (found, late) = (found.clone(), *late);
                    if !late {
                        return Poll::Ready(Ok(found));
                    }
                    match self.look() {
                        Ok(current) => return Poll::Ready(Ok(current)),
                        Err(_) if self.looks == 0 => return Poll::Ready(Ok(found)),
                        Err(awaited) => {
                            self.looks -= 1;
                            self.needs = Needs::Awaited(awaited);
                            self.inner = self.inner.clone();
                        }
                    }
                }
            }
        }
    }

    fn look(&self) -> Result<Found, Awaited> {
        Found::at_once(&self.outgoing, self.outgoing.asked(&self.shared.settings), &self.shared)
    }

    /// Sends the request through the inner service, which has to be ready.
    pub(crate) fn send(mut self, found: Found) -> Result<(S::Future, Option<Carried>), Error> {
        let asked = self.outgoing.asked(&self.shared.settings);
        let carried = self.outgoing.prepare(&mut self.request, found, asked, &self.shared)?;
        Ok((self.inner.call(self.request), carried))
    }
}
