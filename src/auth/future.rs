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

use super::{pending_request::PendingRequest, response::Observer, source::RequestIdentity};
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
        Pending { pending: Option<Box<Pending<P, S, B>>> },
        Responding {
            #[pin]
            response: F,
            observer: Observer<P>,
        },
    }
}

/// A request that waits, with the plugin of the layer or with an identity.
pub(super) enum Pending<P, S, B> {
    Layer(PendingRequest<Arc<P>, S, B>),
    Identity(PendingRequest<RequestIdentity<P>, S, B>),
}

impl<P, S, B> From<PendingRequest<Arc<P>, S, B>> for Pending<P, S, B> {
    fn from(request: PendingRequest<Arc<P>, S, B>) -> Self {
        Self::Layer(request)
    }
}

impl<P, S, B> From<PendingRequest<RequestIdentity<P>, S, B>> for Pending<P, S, B> {
    fn from(request: PendingRequest<RequestIdentity<P>, S, B>) -> Self {
        Self::Identity(request)
    }
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// Creates the future of a request that was sent.
    #[inline(always)]
    pub(super) fn sent(response: S::Future, observer: Observer<P>) -> Self {
        Self { state: State::Responding { response, observer } }
    }

    /// Creates the future of a request that is sent when its access and endpoint are resolved and the inner service is
    /// ready.
    pub(super) fn pending(request: impl Into<Pending<P, S, B>>) -> Self {
        Self { state: State::Pending { pending: Some(Box::new(request.into())) } }
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
                    let request = pending.as_deref_mut().expect("polled after completion");
                    let sent = ready!(match request {
                        Pending::Layer(request) => request.poll_sent(cx),
                        Pending::Identity(request) => request.poll_sent(cx),
                    });
                    *pending = None;
                    let (response, observer) = sent?;
                    self.set(Self::sent(response, observer));
                }
                StateProj::Responding { response, observer } => {
                    let mut result = ready!(response.poll(cx)).map_err(Into::into);
                    if let Ok(response) = &mut result {
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
