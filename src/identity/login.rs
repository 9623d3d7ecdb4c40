//! Credentials on their way to Keystone, and along the few redirects that may take them further.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::request_body::Json;
use crate::{Error, Secret, Transport, access::token_header, discovery::location, endpoint::Origin};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// The request that brings `auth` to this URL, with what of the credentials goes in headers.
pub(super) fn request<'a>(
    url: String,
    headers: impl IntoIterator<Item = (&'static str, &'a Secret)>,
    auth: Vec<(&str, Json<'_>)>,
) -> Result<Request<Bytes>, Error> {
    let body = Json::Object(vec![("auth", Json::Object(auth))])
        .into_bytes()
        .map_err(|_| Error::AuthorizationFailure { reason: "the credentials cannot be written as JSON" })?;
    let json = HeaderValue::from_static("application/json");
    let request = Request::post(url).header(ACCEPT, json.clone()).header(CONTENT_TYPE, json);
    let mut request = request
        .body(body)
        .map_err(|_| Error::InvalidEndpoint { what: "the auth_url", reason: "it is too long" })?;
    for (name, secret) in headers {
        request.headers_mut().insert(name, token_header(secret.expose())?);
    }
    Ok(request)
}

/// Sends credentials, and hands out the first answer that is no redirect.
///
/// Redirects that keep method and body (307, 308) are followed within the origin. All others are
/// [`Error::LoginRedirected`]: credentials go to the host that was named for them, and to no other.
pub(super) async fn send(
    transport: &Transport,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, Error> {
    let auth_url = request.uri().clone();
    let mut followed = 0;
    loop {
        let answer = transport.send(request.clone()).await?;
        let status = answer.status();
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(answer);
        }
        let location = location(&request.uri().to_string(), answer.headers());
        let keeps_body = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        match location {
            Some(to) if keeps_body && followed < MAX_REDIRECTS && same_origin(&auth_url, &to) => {
                *request.uri_mut() = to;
                followed += 1;
            }
            _ => return Err(Error::login_redirected(status, &auth_url, location.as_ref())),
        }
    }
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    Origin::from_uri(one).is_some_and(|origin| Origin::from_uri(other) == Some(origin))
}
