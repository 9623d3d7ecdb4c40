//! The hand-written layer with a token that expires.

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;
use tower_keystone::renewal::{Clock, Now};

use crate::{
    peers::{Snapshot, X_AUTH_TOKEN, join},
    sample::Clocks,
};

/// [`Baseline`](crate::peers::Baseline) with a token that expires by one of two clocks, and that a 401 replaces.
#[derive(Clone)]
pub struct ExpiringBaseline<S> {
    token: Arc<Token>,
    keep: bool,
    inner: S,
}

struct Token {
    clock: Box<dyn Clock>,
    current: Mutex<(Arc<Snapshot>, Now)>,
}

impl<S> ExpiringBaseline<S> {
    pub fn new(current: Snapshot, inner: S) -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        let mut end = Clocks.now();
        (end.wall, end.monotonic) = (end.wall + day, end.monotonic + day);
        let token = Token { clock: Box::new(Clocks), current: Mutex::new((Arc::new(current), end)) };
        Self { token: Arc::new(token), keep: false, inner }
    }

    /// Also keeps a clone of each request, to send it again.
    pub fn keeping(current: Snapshot, inner: S) -> Self {
        Self { keep: true, ..Self::new(current, inner) }
    }
}

impl Token {
    fn get(&self) -> Arc<Snapshot> {
        let now = self.clock.now();
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (snapshot, end) = &*current;
        assert!(now.wall < end.wall && now.monotonic < end.monotonic, "the bench is quicker");
        Arc::clone(snapshot)
    }

    fn end(&self, used: &Arc<Snapshot>) {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current.0, used) {
            current.1 = now;
        }
    }
}

impl<S, B, ResBody> Service<Request<B>> for ExpiringBaseline<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ExpiringBaselineFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let kept = self.keep.then(|| request.clone());
        let used = self.token.get();
        if request.uri().scheme().is_none() {
            *request.uri_mut() = join(&used.endpoint, request.uri());
        }
        request.headers_mut().insert(X_AUTH_TOKEN, used.token.clone());
        let token = Arc::clone(&self.token);
        ExpiringBaselineFuture { response: self.inner.call(request), used, token, kept }
    }
}

pin_project! {
    pub struct ExpiringBaselineFuture<F, B> {
        #[pin]
        response: F,
        used: Arc<Snapshot>,
        token: Arc<Token>,
        kept: Option<Request<B>>,
    }
}

impl<F, B, ResBody, E> Future for ExpiringBaselineFuture<F, B>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            this.token.end(this.used);
            black_box(this.kept.take());
        }
        Poll::Ready(Ok(response))
    }
}
