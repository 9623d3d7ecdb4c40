//! A layer written by hand for services whose callers' tokens are cached: what `ValidateTokenLayer` is compared with.

use std::{
    future::Future,
    hash::{BuildHasherDefault, Hasher},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use quick_cache::{UnitWeighter, sync::Cache};
use sha2::{Digest, Sha256};
use tower::Service;
use tower_keystone::AccessInfo;

use crate::{peers::X_AUTH_TOKEN, sample::Body};

/// A minimal layer: it looks up the token, checks when it expires, and inserts the access info into the extensions.
///
/// It removes no headers, and knows neither service tokens nor access rules.
#[derive(Clone)]
pub struct HandWritten<S> {
    tokens: Arc<Tokens>,
    inner: S,
}

/// The cached tokens. Their keys are salted hashes.
pub struct Tokens {
    salted: Sha256,
    cache: Cache<[u8; 32], (Arc<AccessInfo>, SystemTime), UnitWeighter, BuildHasherDefault<FirstBytes>>,
}

/// Takes the first bytes of a key, which are random, as its hash.
#[derive(Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_usize(&mut self, _length: usize) {}

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
    }
}

impl Tokens {
    pub fn new(capacity: usize) -> Self {
        let cache =
            Cache::with(capacity, capacity as u64, UnitWeighter, Default::default(), Default::default());
        Self { salted: Sha256::new_with_prefix([7; 64]), cache }
    }

    pub fn insert(&self, token: &str, access_info: AccessInfo) {
        let expires = access_info.expires().expect("a timestamp").expect("an expiry");
        self.cache.insert(self.key(token.as_bytes()), (Arc::new(access_info), expires));
    }

    /// Returns the salted hash of a token.
    #[inline]
    pub fn key(&self, token: &[u8]) -> [u8; 32] {
        let mut hash = self.salted.clone();
        hash.update(token);
        hash.finalize().into()
    }

    #[inline]
    fn get(&self, token: &[u8]) -> Option<Arc<AccessInfo>> {
        let (access_info, expires) = self.cache.get(&self.key(token))?;
        (SystemTime::now() < expires).then_some(access_info)
    }
}

impl<S> HandWritten<S> {
    pub fn new(tokens: Tokens, inner: S) -> Self {
        Self { tokens: Arc::new(tokens), inner }
    }
}

impl<S, B> Service<Request<B>> for HandWritten<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HandWrittenFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let token = request.headers().get(X_AUTH_TOKEN);
        match token.and_then(|token| self.tokens.get(token.as_bytes())) {
            Some(access_info) => {
                request.extensions_mut().insert(access_info);
                HandWrittenFuture::Inner { response: self.inner.call(request) }
            }
            None => HandWrittenFuture::Rejected,
        }
    }
}

pin_project! {
    #[project = StateProj]
    pub enum HandWrittenFuture<F> {
        Inner {
            #[pin]
            response: F,
        },
        Rejected,
    }
}

impl<F, E> Future for HandWrittenFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            StateProj::Inner { response } => response.poll(cx),
            StateProj::Rejected => {
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                Poll::Ready(Ok(response))
            }
        }
    }
}
