use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{request_future::RequestFuture, source::RequestIdentity};
use crate::{BoxError, IdentityPlugin};

pin_project! {
    /// The response future of [`Auth`](super::Auth).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<P, S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        request: SendingPlugin<P, S, S::Future, B>,
    }
}

pin_project! {
    /// The future of the request, for the plugin that it is sent with.
    #[project = FutureProj]
    enum SendingPlugin<P, S, F, B> {
        Layer {
            #[pin]
            future: RequestFuture<Arc<P>, S, F, B>,
        },
        Identity {
            #[pin]
            future: RequestFuture<RequestIdentity<P>, S, F, B>,
        },
    }
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// Creates the future of a request that is sent with the plugin of the layer.
    #[inline(always)]
    pub(super) fn with_layer(future: RequestFuture<Arc<P>, S, S::Future, B>) -> Self {
        Self { request: SendingPlugin::Layer { future } }
    }

    /// Creates the future of a request that is sent with an identity.
    #[inline(always)]
    pub(super) fn with_identity(future: RequestFuture<RequestIdentity<P>, S, S::Future, B>) -> Self {
        Self { request: SendingPlugin::Identity { future } }
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
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().request.project() {
            FutureProj::Layer { future } => future.poll(cx),
            FutureProj::Identity { future } => poll_out_of_line(future, cx),
        }
    }
}

/// Keeps the code for one kind of request out of that for the other.
#[inline(never)]
fn poll_out_of_line<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(cx)
}

/// Shows the state of the request.
impl<P, S, B> fmt::Debug for ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request {
            SendingPlugin::Layer { future } => future.fmt(f),
            SendingPlugin::Identity { future } => future.fmt(f),
        }
    }
}
