use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, Method, Uri};

use crate::BoxError;

/// A function that makes the `Authorization` header of each login request, such as `Negotiate` of Kerberos.
#[derive(Clone)]
pub struct LoginHeader(Arc<MakeHeader>);

type MakeHeader = dyn Fn(&Method, &Uri) -> HeaderFuture + Send + Sync;

pub(crate) type HeaderFuture = Pin<Box<dyn Future<Output = Result<HeaderValue, BoxError>> + Send>>;

impl LoginHeader {
    /// Calls this function with the method and the URL of each login request.
    pub fn new<F>(header: impl Fn(&Method, &Uri) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HeaderValue, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |method, url| Box::pin(header(method, url))))
    }
}

impl fmt::Debug for LoginHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginHeader")
    }
}
