use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    pending_request::PendingRequest,
    prepare::prepare,
    request::RequestInfo,
    resolve::{Resolving, resolve},
    response::ResponseObserver,
    settings::Shared,
    source::{Accesses, Source},
};
use crate::BoxError;

pin_project! {
    /// The future of a request that is sent with one plugin.
    #[project = RequestFutureProj]
    pub(super) enum RequestFuture<Src: Accesses, S, F, B> {
        // Boxed, so that the future of a request that need not wait stays small. `None` after completion.
        Pending { pending: Option<Box<PendingRequest<Src, S, B>>> },
        Responding {
            #[pin]
            response: F,
            observer: Option<ResponseObserver<Src>>,
        },
    }
}

impl<Src, S, B> RequestFuture<Src, S, S::Future, B>
where
    Src: Source,
    S: Service<Request<B>> + Clone,
{
    /// Sends the request to the inner service, which must be ready. A request whose access or endpoint is not available
    /// yet is sent by the future.
    #[inline(always)]
    pub(super) fn new(
        info: RequestInfo,
        mut request: Request<B>,
        inner: &mut S,
        shared: &Shared<Src>,
    ) -> Self {
        let filter = info.effective_filter(&shared.settings);
        // Not a closure, which would be compiled out of line.
        let prepared = match resolve(&info, filter, shared) {
            Ok(resolved) => prepare(&info, &mut request, resolved, filter, shared).map_err(Resolving::error),
            Err(resolving) => Err(resolving),
        };
        match prepared {
            Ok(sent) => {
                let response = inner.call(request);
                let observer = sent.map(|sent| ResponseObserver::new(sent, &shared.plugin));
                Self::Responding { response, observer }
            }
            Err(resolving) => {
                // The ready inner service can hold a permit or a slot in a queue. If a waiting request kept it, it
                // could block the login. So the service is replaced, and the future polls a clone until it is ready.
                let inner = release_readiness(inner);
                let pending = PendingRequest::new(resolving, request, info, inner, shared.clone());
                Self::Pending { pending: Some(Box::new(pending)) }
            }
        }
    }
}

/// Replaces the ready service with a clone that is not ready, and returns another clone.
fn release_readiness<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    *service = clone.clone();
    clone
}

impl<Src, S, B, ResBody> Future for RequestFuture<Src, S, S::Future, B>
where
    Src: Source,
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ResBody>, BoxError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                RequestFutureProj::Pending { pending } => {
                    let mut request = pending.take().expect("polled after completion");
                    match request.poll_resolved(cx) {
                        Poll::Ready(resolved) => {
                            let (response, observer) = request.send(resolved?)?;
                            self.set(Self::Responding { response, observer });
                        }
                        Poll::Pending => {
                            *pending = Some(request);
                            return Poll::Pending;
                        }
                    }
                }
                RequestFutureProj::Responding { response, observer } => {
                    let mut result = ready!(response.poll(cx)).map_err(Into::into);
                    if let (Ok(response), Some(observer)) = (&mut result, observer) {
                        observer.observe(response);
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }
}

/// Shows the state of the request.
impl<Src: Accesses, S, F, B> fmt::Debug for RequestFuture<Src, S, F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending { pending: Some(_) } => "ResponseFuture(pending)",
            Self::Pending { pending: None } => "ResponseFuture(completed)",
            Self::Responding { .. } => "ResponseFuture(sent)",
        })
    }
}
