//! Future types.

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

use crate::{
    Access, BoxError, Error, IdentityPlugin, Refusal,
    layer::Shared,
    needs::{Awaited, Found},
    outgoing::Outgoing,
};

pin_project! {
    /// The response future of [`Auth`](crate::Auth).
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
        // Boxed, so that requests which need not wait do not carry the room for it. `None` once it is over:
        // what the inner service has reserved for a request that fails is given back with the error.
        Waiting { waiting: Option<Box<Waiting<P, S, B>>> },
        Responding {
            #[pin]
            response: F,
            used: Option<(Arc<P>, Arc<Access>)>,
        },
    }
}

/// A request that needs something which is still to come, and the service that is ready for it.
struct Waiting<P, S, B> {
    awaited: Awaited,
    request: Request<B>,
    outgoing: Outgoing,
    ready: S,
    shared: Shared<P>,
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// The response to a request that was sent, and the access whose token it carries.
    #[inline(always)]
    pub(crate) fn sent(response: S::Future, used: Option<Arc<Access>>, plugin: &Arc<P>) -> Self {
        let used = used.map(|access| (Arc::clone(plugin), access));
        Self { state: State::Responding { response, used } }
    }

    /// Sends the request once what it needs is there.
    pub(crate) fn waiting(
        awaited: Awaited,
        request: Request<B>,
        outgoing: Outgoing,
        ready: S,
        shared: Shared<P>,
    ) -> Self {
        let waiting = Waiting { awaited, request, outgoing, ready, shared };
        Self { state: State::Waiting { waiting: Some(Box::new(waiting)) } }
    }
}

impl<P: IdentityPlugin, S: Service<Request<B>>, B> Waiting<P, S, B> {
    fn send(mut self, found: Found) -> Result<ResponseFuture<P, S, B>, Error> {
        let used = self.outgoing.prepare(&mut self.request, found, &self.shared)?;
        Ok(ResponseFuture::sent(self.ready.call(self.request), used, &self.shared.plugin))
    }
}

/// An extension of a response that is an error: what its request was sent with, for
/// [`RaiseForStatus`](crate::RaiseForStatus) to know what must not be seen.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) Arc<Access>);

impl<P, S, B, ResBody> Future for ResponseFuture<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ResBody>, BoxError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Waiting { waiting } => {
                    let mut request = waiting.take().expect("polled after it was ready");
                    match request.awaited.poll(cx, &request.outgoing, &request.shared) {
                        Poll::Ready(found) => self.set(request.send(found?)?),
                        Poll::Pending => {
                            *waiting = Some(request);
                            return Poll::Pending;
                        }
                    }
                }
                StateProj::Responding { response, used } => {
                    let mut response = match ready!(response.poll(cx)) {
                        Ok(response) if response.status().as_u16() < 400 => return Poll::Ready(Ok(response)),
                        Ok(response) => response,
                        Err(error) => return Poll::Ready(Err(error.into())),
                    };
                    if let Some((plugin, used)) = used {
                        if response.status() == StatusCode::UNAUTHORIZED {
                            let refusal = Refusal::new(plugin.invalidate(used));
                            response.extensions_mut().insert(refusal);
                        }
                        response.extensions_mut().insert(SentWith(Arc::clone(used)));
                    }
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

/// Which of its stages the request is in.
impl<P, S, B> fmt::Debug for ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Waiting { waiting: Some(_) } => "ResponseFuture(waiting to be sent)",
            State::Waiting { waiting: None } => "ResponseFuture(over)",
            State::Responding { .. } => "ResponseFuture(sent)",
        })
    }
}
