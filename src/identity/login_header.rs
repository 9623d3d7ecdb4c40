use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use crate::{
    BoxError, Error, Secret,
    error::{FederatedLoginFailed, LoginStep, secrets_in},
    task::CatchPanic,
};

/// A function that makes the `Authorization` header of each login request, such as `Negotiate` of Kerberos.
///
/// It is for schemes that this crate does not implement: a library of your choice makes the value.
/// [`AuthMethod::kerberos`](super::AuthMethod::kerberos), [`AuthMethod::oauth1`](super::AuthMethod::oauth1) and
/// [`Grant::header`](crate::federation::Grant::header) use it. The function is called once per request, also after a
/// redirect within the origin of Keystone, because a signature or a ticket can be valid for one request only.
///
/// The value is marked as sensitive, and never shown. If the function fails, the login fails with
/// [`Error::FederatedLoginFailed`] of the step [`LoginStep::LoginHeader`], which is transient: the next login calls the
/// function again. To decide this itself, the function can fail with an error of this crate, such as [`Error::plugin`],
/// which is returned unchanged. If it panics, the error is [`Error::PluginPanicked`]. A function that blocks should run
/// in `tokio::task::spawn_blocking`.
///
/// ```
/// use http::HeaderValue;
/// use tower_keystone::{
///     AuthMethod, BoxError, Error, V3Credentials,
///     federation::LoginHeader,
/// };
///
/// /// Gets a ticket for `HTTP@host` from a library for GSSAPI, in base64.
/// fn ticket(host: &str) -> Result<String, BoxError> {
/// #   let _ = host;
///     // …
/// #   Ok(String::new())
/// }
///
/// let negotiate = LoginHeader::new(|_, url| {
///     let host = url.host().unwrap_or_default().to_owned();
///     async move {
///         let ticket = tokio::task::spawn_blocking(move || ticket(&host)).await??;
///         Ok(HeaderValue::try_from(format!("Negotiate {ticket}"))?)
///     }
/// });
/// let credentials = V3Credentials::new("https://keystone.example.com/v3", AuthMethod::kerberos(negotiate));
/// # let _ = credentials;
/// ```
#[derive(Clone)]
pub struct LoginHeader {
    make: Arc<MakeHeader>,
    name: Option<Box<str>>,
}

type MakeHeader = dyn Fn(&Method, &Uri) -> HeaderFuture + Send + Sync;

type HeaderFuture = Pin<Box<dyn Future<Output = Result<HeaderValue, BoxError>> + Send>>;

impl LoginHeader {
    /// Calls this function with the method and the URL of each login request.
    pub fn new<F>(header: impl Fn(&Method, &Uri) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HeaderValue, BoxError>> + Send + 'static,
    {
        Self { make: Arc::new(move |method, url| Box::pin(header(method, url))), name: None }
    }

    /// Names the identity that the header proves, such as `alice@EXAMPLE.COM`.
    ///
    /// The name is not sent. Credentials have a cache id only with a name, because what the function returns does not
    /// say who logs in. Functions that log in as different users must have different names.
    #[must_use]
    pub fn named(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Returns the name of the identity.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Inserts the header into a request. Returns the secrets in it, which errors must not show.
    pub(crate) async fn insert<B>(&self, request: &mut Request<B>) -> Result<Vec<Secret>, Error> {
        let url = request.uri();
        let value = CatchPanic::new(|| (self.make)(request.method(), url));
        let mut value =
            value.await.map_err(|_| Error::PluginPanicked)?.map_err(|error| failed(url, error))?;
        value.set_sensitive(true);
        // The token of `Negotiate` and the parameters of `OAuth` are secrets without their scheme, too.
        let text = str::from_utf8(value.as_bytes()).ok();
        let credentials = text.and_then(|text| Some(text.split_once(' ')?.1.trim_start()));
        let secrets = secrets_in(&value).chain(credentials).map(Secret::new).collect();
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(secrets)
    }
}

/// Returns whether a web server has rejected a Kerberos ticket, or asks for one (RFC 4559, section 4.1).
pub(crate) fn is_ticket_rejected(status: StatusCode, headers: &HeaderMap) -> bool {
    let is_negotiate = |challenge: &str| {
        let scheme = challenge.split_ascii_whitespace().next();
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("negotiate"))
    };
    let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    status == StatusCode::UNAUTHORIZED && challenges.any(|value| value.split(',').any(is_negotiate))
}

/// Returns the error of a function that failed for a request to this URL.
fn failed(url: &Uri, error: BoxError) -> Error {
    match Error::find(&*error) {
        Some(error) => error.clone(),
        None => {
            let hint = "it failed";
            FederatedLoginFailed::at(LoginStep::LoginHeader, url, hint, true).with_source(error.into()).into()
        }
    }
}

impl fmt::Debug for LoginHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginHeader")
    }
}
