use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    pending_request::PendingRequest, request::RequestInfo, resolve::Resolving, response::ResponseObserver,
    settings::Settings,
};
use crate::{BoxError, IdentityPlugin};

pin_project! {
    /// The response future of [`Auth`](super::Auth).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<P, S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<P, S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<P, S, F, B> {
        // Boxed, so that the future of a request that need not wait stays small. `None` after completion.
        Pending { pending: Option<Box<PendingRequest<P, S, B>>> },
        Responding {
            #[pin]
            response: F,
            observer: Option<ResponseObserver<P>>,
        },
    }
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// Creates the future of a request that was sent.
    #[inline(always)]
    pub(super) fn sent(response: S::Future, observer: Option<ResponseObserver<P>>) -> Self {
        Self { state: State::Responding { response, observer } }
    }

    /// Creates the future of a request that is sent when its access and endpoint are resolved and the inner service
    /// is ready.
    pub(super) fn pending(
        resolving: Resolving,
        request: Request<B>,
        info: RequestInfo<P>,
        inner: S,
        settings: Arc<Settings>,
    ) -> Self {
        let pending = PendingRequest::new(resolving, request, info, inner, settings);
        Self { state: State::Pending { pending: Some(Box::new(pending)) } }
    }
}

impl<P, S, B, ResBody> Future for ResponseFuture<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ResBody>, BoxError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Pending { pending } => {
                    let mut request = pending.take().expect("polled after completion");
                    match request.poll_resolved(cx) {
                        Poll::Ready(resolved) => {
                            let (response, observer) = request.send(resolved?)?;
                            self.set(Self::sent(response, observer));
                        }
                        Poll::Pending => {
                            *pending = Some(request);
                            return Poll::Pending;
                        }
                    }
                }
                StateProj::Responding { response, observer } => {
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
impl<P, S, B> fmt::Debug for ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Pending { pending: Some(_) } => "ResponseFuture(pending)",
            State::Pending { pending: None } => "ResponseFuture(completed)",
            State::Responding { .. } => "ResponseFuture(sent)",
        })
    }
}
