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
    outgoing::{Outgoing, SentWith},
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
        Failed { error: Option<Error> },
        // Boxed, so that requests which need not wait do not carry the room for it.
        Waiting { waiting: Box<Waiting<P, S, B>> },
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
    /// `None` once sent.
    request: Option<(Request<B>, Outgoing)>,
    ready: S,
    shared: Shared<P>,
}

impl<P, S, B> ResponseFuture<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>>,
{
    /// Sends the request with what it needs to a service that is ready.
    pub(crate) fn sent(
        mut request: Request<B>,
        outgoing: Outgoing,
        found: Result<Found, Error>,
        ready: &mut S,
        shared: &Shared<P>,
    ) -> Self {
        let prepared = found.and_then(|found| {
            outgoing.prepare(&mut request, &found, shared)?;
            Ok(found.access.filter(|_| outgoing.carries_our_token()))
        });
        let state = match prepared {
            Ok(used) => State::Responding {
                response: ready.call(request),
                used: used.map(|access| (Arc::clone(&shared.plugin), access)),
            },
            Err(error) => State::Failed { error: Some(error) },
        };
        Self { state }
    }

    /// Whether the request failed without being sent.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed { .. })
    }

    /// Sends the request once what it needs is there.
    pub(crate) fn waiting(
        request: Request<B>,
        outgoing: Outgoing,
        awaited: Awaited,
        ready: S,
        shared: Shared<P>,
    ) -> Self {
        let waiting = Waiting { awaited, request: Some((request, outgoing)), ready, shared };
        Self { state: State::Waiting { waiting: Box::new(waiting) } }
    }
}

impl<P, S, B, ResBody> Future for ResponseFuture<P, S, B>
where
    P: IdentityPlugin,
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ResBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProj::Failed { error } => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
                StateProj::Waiting { waiting } => {
                    let Waiting { awaited, request, ready, shared } = &mut **waiting;
                    let (_, outgoing) = request.as_ref().expect("a request is sent once");
                    let found = ready!(awaited.poll(cx, outgoing, shared));
                    let (request, outgoing) = request.take().expect("a request is sent once");
                    Self::sent(request, outgoing, found, ready, shared)
                }
                StateProj::Responding { response, used } => {
                    let mut response = ready!(response.poll(cx)).map_err(Into::into)?;
                    let status = response.status();
                    if status.as_u16() >= 400
                        && let Some((plugin, used)) = used
                    {
                        if status == StatusCode::UNAUTHORIZED {
                            let refusal = Refusal::new(plugin.invalidate(used));
                            response.extensions_mut().insert(refusal);
                        }
                        response.extensions_mut().insert(SentWith(Arc::clone(used)));
                    }
                    return Poll::Ready(Ok(response));
                }
            };
            self.set(next);
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
            State::Failed { .. } => "ResponseFuture(failed)",
            State::Waiting { .. } => "ResponseFuture(waiting to be sent)",
            State::Responding { .. } => "ResponseFuture(sent)",
        })
    }
}
