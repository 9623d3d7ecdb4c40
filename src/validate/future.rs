use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Respond, pending_request::PendingRequest, rejection::respond_with, shared::Shared, validating::Validating,
};

pin_project! {
    /// The response future of [`ValidateToken`](super::ValidateToken).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, F, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, S::Response, F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, T, R, F, B> {
        Responding {
            #[pin]
            response: T,
            shared: Arc<Shared>,
        },
        // Both are boxed, so that the future of a request that need not wait stays small. `None` after completion.
        Rejected { response: Option<Box<R>> },
        Waiting { pending: Option<Box<PendingRequest<S, F, B>>> },
    }
}

impl<S, F, B> ResponseFuture<S, F, B>
where
    S: Service<Request<B>>,
{
    /// Creates the future of a request that was sent to the inner service.
    #[inline(always)]
    pub(super) fn responding(response: S::Future, shared: Arc<Shared>) -> Self {
        Self { state: State::Responding { response, shared } }
    }

    /// Creates the future of a request that was rejected.
    pub(super) fn rejected(response: S::Response) -> Self {
        Self { state: State::Rejected { response: Some(Box::new(response)) } }
    }

    /// Creates the future of a request whose tokens are not validated yet.
    pub(super) fn waiting(
        validating: Validating,
        request: Request<B>,
        inner: S,
        respond: F,
        shared: Arc<Shared>,
    ) -> Self {
        let pending = PendingRequest::new(validating, request, inner, respond, shared);
        Self { state: State::Waiting { pending: Some(Box::new(pending)) } }
    }
}

impl<S, F, B, R> Future for ResponseFuture<S, F, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Respond<R>,
{
    type Output = Result<Response<R>, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().state.project() {
            StateProj::Responding { response, shared } => {
                let mut polled = response.poll(cx);
                if let Poll::Ready(Ok(response)) = &mut polled
                    && response.status() == StatusCode::UNAUTHORIZED
                {
                    add_challenge(response.headers_mut(), &shared.challenge);
                }
                polled
            }
            _ => self.poll_not_sent(cx),
        }
    }
}

impl<S, F, B, R> ResponseFuture<S, F, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Respond<R>,
{
    /// Polls the future of a request that was not sent immediately.
    #[cold]
    #[inline(never)]
    fn poll_not_sent(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<R>, S::Error>> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Responding { .. } => return self.poll(cx),
                StateProj::Rejected { response } => {
                    return Poll::Ready(Ok(*response.take().expect("polled after completion")));
                }
                StateProj::Waiting { pending } => {
                    let mut request = pending.take().expect("polled after completion");
                    let Poll::Ready(decided) = request.poll_decided(cx) else {
                        *pending = Some(request);
                        return Poll::Pending;
                    };
                    match decided? {
                        Ok(()) => {
                            let (response, shared) = request.send();
                            self.set(Self::responding(response, shared));
                        }
                        Err(rejection) => return Poll::Ready(Ok(respond_with(request.respond(), rejection))),
                    }
                }
            }
        }
    }
}

/// Adds the challenge to a 401 of the application, beside those that it has.
#[cold]
fn add_challenge(headers: &mut HeaderMap, challenge: &HeaderValue) {
    if !headers.get_all(WWW_AUTHENTICATE).iter().any(|value| value == challenge) {
        headers.append(WWW_AUTHENTICATE, challenge.clone());
    }
}

/// Shows the state of the request.
impl<S, F, B> fmt::Debug for ResponseFuture<S, F, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Responding { .. } => "ResponseFuture(sent)",
            State::Rejected { response: Some(_) } => "ResponseFuture(rejected)",
            State::Waiting { pending: Some(_) } => "ResponseFuture(waiting)",
            State::Rejected { response: None } | State::Waiting { pending: None } => {
                "ResponseFuture(completed)"
            }
        })
    }
}
