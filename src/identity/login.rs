//! Sends login requests and follows same-origin redirects.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::request_body::Json;
use crate::{Error, Secret, Transport, access::token_header, discovery::location, endpoint::Origin};

/// Maximum number of redirects to follow.
const MAX_REDIRECTS: usize = 3;

/// Returns a login request with this `auth` object and these secret headers.
pub(crate) fn request<'a>(
    url: String,
    headers: impl IntoIterator<Item = (&'static str, &'a Secret)>,
    auth: Vec<(&str, Json<'_>)>,
) -> Result<Request<Bytes>, Error> {
    let body = Json::Object(vec![("auth", Json::Object(auth))])
        .into_bytes()
        .map_err(|_| Error::AuthorizationFailure { reason: "they cannot be written as JSON" })?;
    let json = HeaderValue::from_static("application/json");
    let request = Request::post(url).header(ACCEPT, json.clone()).header(CONTENT_TYPE, json);
    let mut request = request
        .body(body)
        .map_err(|_| Error::InvalidEndpoint { what: "the auth_url", reason: "it is too long for a URL" })?;
    for (name, secret) in headers {
        request.headers_mut().insert(name, token_header(secret.expose())?);
    }
    Ok(request)
}

/// Sends a login request and returns the first response that is not a redirect.
///
/// It follows up to [`MAX_REDIRECTS`] redirects with status 307 or 308 within the origin of the `auth_url`. Any other
/// redirect is an [`Error::LoginRedirected`]: credentials are never sent to another origin, and the statuses 301, 302
/// and 303 change the method to GET.
pub(crate) async fn send(
    transport: &Transport,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, Error> {
    let mut redirects = Redirects::of(&request);
    loop {
        let response = transport.send(request.clone()).await?;
        if let Some(response) = redirects.follow(&mut request, response)? {
            return Ok(response);
        }
    }
}

/// Sends a login request like [`send`], each time with a new header.
///
/// The secrets in the headers are added to `secrets`.
#[cfg(feature = "federation")]
pub(crate) async fn send_with_header(
    transport: &Transport,
    mut request: Request<Bytes>,
    header: &super::LoginHeader,
    secrets: &mut Vec<Secret>,
) -> Result<Response<Bytes>, Error> {
    let mut redirects = Redirects::of(&request);
    loop {
        let mut sent = request.clone();
        secrets.extend(header.insert(&mut sent).await?);
        let response = transport.send(sent).await?;
        if let Some(response) = redirects.follow(&mut request, response)? {
            return Ok(response);
        }
    }
}

/// The redirects that a login request has followed.
struct Redirects {
    auth_url: Uri,
    followed: usize,
}

impl Redirects {
    fn of(request: &Request<Bytes>) -> Self {
        Self { auth_url: request.uri().clone(), followed: 0 }
    }

    /// Returns a response that is not a redirect. For a redirect that may be followed, it changes the URL of the request.
    fn follow(
        &mut self,
        request: &mut Request<Bytes>,
        response: Response<Bytes>,
    ) -> Result<Option<Response<Bytes>>, Error> {
        let status = response.status();
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(Some(response));
        }
        let location = location(&request.uri().to_string(), response.headers());
        let keeps_body = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        match location {
            Some(to)
                if keeps_body && self.followed < MAX_REDIRECTS && is_same_origin(&self.auth_url, &to) =>
            {
                *request.uri_mut() = to;
                self.followed += 1;
                Ok(None)
            }
            _ => Err(Error::login_redirected(status, &self.auth_url, location.as_ref())),
        }
    }
}

/// Returns whether two URLs have the same origin.
pub(crate) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    Origin::from_uri(one).is_some_and(|origin| Origin::from_uri(other) == Some(origin))
}
