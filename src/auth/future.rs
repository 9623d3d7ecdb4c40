use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    TokenRejected, pending_request::PendingRequest, prepare::SentToken, request::RequestInfo,
    resolve::Resolving, settings::Shared,
};
use crate::{BoxError, IdentityPlugin, ServiceAccess, endpoint::Origin};

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
            sent: Option<Sent<P>>,
        },
    }
}

/// The token that a request carries, the plugin that issued it, and the origin that the request was sent to.
struct Sent<P> {
    plugin: Arc<P>,
    access: Arc<ServiceAccess>,
    origin: Arc<Origin>,
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// Creates the future of a request that was sent.
    #[inline(always)]
    pub(super) fn sent(response: S::Future, sent: Option<SentToken>, plugin: &Arc<P>) -> Self {
        let sent =
            sent.map(|SentToken { access, origin }| Sent { plugin: Arc::clone(plugin), access, origin });
        Self { state: State::Responding { response, sent } }
    }

    /// Creates the future of a request that is sent when its access and endpoint are resolved and the inner service
    /// is ready.
    pub(super) fn pending(
        resolving: Resolving,
        request: Request<B>,
        info: RequestInfo,
        inner: S,
        shared: Shared<P>,
    ) -> Self {
        let pending = PendingRequest::new(resolving, request, info, inner, shared);
        Self { state: State::Pending { pending: Some(Box::new(pending)) } }
    }
}

impl<P: IdentityPlugin> Sent<P> {
    /// Records that the origin accepted the token, or handles an error status.
    #[inline(always)]
    fn observe<ResBody>(&self, response: &mut Response<ResBody>) {
        match response.status().as_u16() < 400 {
            true => self.access.accepted_by(&self.origin),
            false => self.observe_error(response),
        }
    }

    /// Reports a rejected token to the plugin, and inserts the extensions of an error response.
    fn observe_error<ResBody>(&self, response: &mut Response<ResBody>) {
        if response.status() == StatusCode::UNAUTHORIZED {
            let rejected = TokenRejected::new(self.plugin.invalidate(&self.access, &self.origin));
            response.extensions_mut().insert(rejected);
        }
        response.extensions_mut().insert(SentWith(Arc::clone(&self.access)));
    }
}

/// A response extension that holds the access that the request was sent with.
///
/// Only error responses have it. [`RaiseForStatus`](crate::RaiseForStatus) redacts the secrets of this access.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) Arc<ServiceAccess>);

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
                            let plugin = request.plugin();
                            let (response, sent) = request.send(resolved?)?;
                            self.set(Self::sent(response, sent, &plugin));
                        }
                        Poll::Pending => {
                            *pending = Some(request);
                            return Poll::Pending;
                        }
                    }
                }
                StateProj::Responding { response, sent } => {
                    let mut result = ready!(response.poll(cx)).map_err(Into::into);
                    if let (Ok(response), Some(sent)) = (&mut result, sent) {
                        sent.observe(response);
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
