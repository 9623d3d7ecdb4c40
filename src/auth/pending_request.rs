//! A request that cannot be sent immediately.

use std::task::{Context, Poll, ready};

use http::Request;
use tower_service::Service;

use super::{
    prepare::prepare,
    request::RequestInfo,
    resolve::{Resolved, Resolving, resolve},
    response::{Observer, ResponseObserver},
    settings::Shared,
    source::{Accesses, Source},
};
use crate::BoxError;

/// Maximum number of times that a request waits for a new access because its access expired or was rejected before the
/// inner service was ready.
const MAX_RESOLUTIONS: usize = 3;

/// A request that waits for its access and endpoint, and then for the inner service to be ready.
///
/// While it waits for its access, it does not hold the readiness of the inner service.
pub(super) struct PendingRequest<Src: Accesses, S, B> {
    state: State<Src>,
    /// `None` after it was sent.
    request: Option<Request<B>>,
    info: RequestInfo,
    inner: S,
    shared: Shared<Src>,
    resolutions_left: usize,
}

enum State<Src: Accesses> {
    /// Waits for the access and the endpoint.
    Resolving(Resolving<Src>),
    /// Waits until the inner service is ready. `has_waited` is true if it was not ready at the first poll.
    NotReady { resolved: Resolved<Src::Access>, has_waited: bool },
}

/// The response future of a request that was sent, and its observer.
type Sent<F, P> = Result<(F, Observer<P>), BoxError>;

impl<Src: Accesses, S, B> PendingRequest<Src, S, B> {
    pub(super) fn new(
        resolving: Resolving<Src>,
        request: Request<B>,
        info: RequestInfo,
        inner: S,
        shared: Shared<Src>,
    ) -> Self {
        Self {
            state: State::Resolving(resolving),
            request: Some(request),
            info,
            inner,
            shared,
            resolutions_left: MAX_RESOLUTIONS,
        }
    }
}

impl<Src, S, B> PendingRequest<Src, S, B>
where
    Src: Source,
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Sends the request to the inner service when its access and endpoint are resolved and the service is ready.
    pub(super) fn poll_sent<P>(&mut self, cx: &mut Context<'_>) -> Poll<Sent<S::Future, P>>
    where
        ResponseObserver<Src>: Into<Observer<P>>,
    {
        let resolved = ready!(self.poll_resolved(cx))?;
        let mut request = self.request.take().expect("polled after completion");
        let filter = self.info.effective_filter(&self.shared.settings);
        let sent = prepare(&self.info, &mut request, resolved, filter, &self.shared)?;
        let response = self.inner.call(request);
        Poll::Ready(Ok((response, Observer::new(sent, &self.shared.plugin))))
    }

    /// Resolves to the access and endpoint of the request, once the inner service is ready too.
    fn poll_resolved(&mut self, cx: &mut Context<'_>) -> Poll<Result<Resolved<Src::Access>, BoxError>> {
        loop {
            match &mut self.state {
                State::Resolving(resolving) => {
                    let resolved = ready!(resolving.poll(cx, &self.info, &self.shared))?;
                    // The access may have been replaced before this task was polled.
                    let resolved = self.resolve_again().unwrap_or(resolved);
                    self.state = State::NotReady { resolved, has_waited: false };
                }
                State::NotReady { resolved, has_waited } => {
                    let Poll::Ready(ready) = self.inner.poll_ready(cx) else {
                        *has_waited = true;
                        return Poll::Pending;
                    };
                    ready.map_err(Into::into)?;
                    let (resolved, has_waited) = (resolved.clone(), *has_waited);
                    if !has_waited {
                        return Poll::Ready(Ok(resolved));
                    }
                    match self.resolve_again() {
                        Ok(current) => return Poll::Ready(Ok(current)),
                        Err(_) if self.resolutions_left == 0 => return Poll::Ready(Ok(resolved)),
                        Err(resolving) => {
                            self.resolutions_left -= 1;
                            self.state = State::Resolving(resolving);
                            self.inner = self.inner.clone();
                        }
                    }
                }
            }
        }
    }

    fn resolve_again(&self) -> Result<Resolved<Src::Access>, Resolving<Src>> {
        resolve(&self.info, self.info.effective_filter(&self.shared.settings), &self.shared)
    }
}
