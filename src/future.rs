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
    Access, BoxError, IdentityPlugin, Refusal,
    endpoint::Origin,
    layer::Shared,
    needs::Awaited,
    outgoing::{Carried, Outgoing},
    waiting::Waiting,
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
        // Boxed, so that requests which need not wait do not carry the room for it. `None` once it is over.
        Waiting { waiting: Option<Box<Waiting<P, S, B>>> },
        Responding {
            #[pin]
            response: F,
            sent: Option<Sent<P>>,
        },
    }
}

/// The token that a request carries, the plugin that it is from, and where it went.
struct Sent<P> {
    plugin: Arc<P>,
    access: Arc<Access>,
    origin: Arc<Origin>,
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    S: Service<Request<B>>,
{
    /// The response to a request that was sent, and the token that it carries.
    #[inline(always)]
    pub(crate) fn sent(response: S::Future, carried: Option<Carried>, plugin: &Arc<P>) -> Self {
        let sent =
            carried.map(|Carried { access, origin }| Sent { plugin: Arc::clone(plugin), access, origin });
        Self { state: State::Responding { response, sent } }
    }

    /// Sends the request once what it needs is there and the inner service is ready.
    pub(crate) fn waiting(
        awaited: Awaited,
        request: Request<B>,
        outgoing: Outgoing,
        inner: S,
        shared: Shared<P>,
    ) -> Self {
        let waiting = Waiting::new(awaited, request, outgoing, inner, shared);
        Self { state: State::Waiting { waiting: Some(Box::new(waiting)) } }
    }
}

impl<P: IdentityPlugin> Sent<P> {
    /// Notes what a response says about the token.
    #[inline(always)]
    fn responded<ResBody>(&self, response: &mut Response<ResBody>) {
        match response.status().as_u16() < 400 {
            true => self.access.accepted_by(&self.origin),
            false => self.failed(response),
        }
    }

    /// Tells the plugin if the service has refused the token, and whoever reads the response what it was sent with.
    fn failed<ResBody>(&self, response: &mut Response<ResBody>) {
        if response.status() == StatusCode::UNAUTHORIZED {
            let refusal = Refusal::new(self.plugin.invalidate(&self.access, &self.origin));
            response.extensions_mut().insert(refusal);
        }
        response.extensions_mut().insert(SentWith(Arc::clone(&self.access)));
    }
}

/// An extension of a response that is an error: what its request was sent with, for
/// [`RaiseForStatus`](crate::RaiseForStatus) to know what must not be seen.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) Arc<Access>);

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
                StateProj::Waiting { waiting } => {
                    let mut request = waiting.take().expect("polled after it was ready");
                    match request.poll_found(cx) {
                        Poll::Ready(found) => {
                            let plugin = request.plugin();
                            let (response, carried) = request.send(found?)?;
                            self.set(Self::sent(response, carried, &plugin));
                        }
                        Poll::Pending => {
                            *waiting = Some(request);
                            return Poll::Pending;
                        }
                    }
                }
                StateProj::Responding { response, sent } => {
                    let mut result = ready!(response.poll(cx)).map_err(Into::into);
                    if let (Ok(response), Some(sent)) = (&mut result, sent) {
                        sent.responded(response);
                    }
                    return Poll::Ready(result);
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
