//! Sends an assertion to a SAML service provider, and gets an unscoped token in the session that it starts.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, SET_COOKIE},
};
use zeroize::Zeroizing;

use super::unscoped::unscoped_token;
use crate::{
    AccessInfo, Error, Transport,
    error::{FederatedLoginFailed, LoginStep, secrets_in},
    identity::is_same_origin,
};

/// The content type of an assertion in an envelope of SOAP, by the profile for enhanced clients (ECP).
pub(super) const PAOS: HeaderValue = HeaderValue::from_static("application/vnd.paos+xml");

/// Maximum size of an assertion or another envelope, in bytes.
pub(super) const MAX_ENVELOPE: usize = 1024 * 1024;

/// Maximum size of the cookies of a session, in bytes.
const MAX_COOKIES: usize = 16 * 1024;

/// A login at a service provider.
pub(super) struct ServiceProvider<'a> {
    pub(super) transport: &'a Transport,
    /// The URL that receives the assertion: the assertion consumer service.
    pub(super) consumer_url: &'a Uri,
    /// The URL of Keystone that yields an unscoped token in a session.
    pub(super) federated_url: &'a Uri,
    /// The headers of the request to that URL.
    pub(super) headers: HeaderMap,
}

impl ServiceProvider<'_> {
    /// Sends an assertion and returns the unscoped token.
    ///
    /// A redirect (302 or 303) says that there is a session now. It is not followed: the token is requested from the
    /// federated URL, with the cookies of this response only. They are sent to the origin that set them, and to no
    /// other. A response may also have the token itself.
    pub(super) async fn log_in(self, assertion: Bytes) -> Result<AccessInfo, Error> {
        let response = self.send_assertion(assertion).await?;
        if response.status().is_success() {
            return unscoped_token(self.consumer_url, response, []);
        }
        let is_same_origin = is_same_origin(self.consumer_url, self.federated_url);
        let cookies = session_cookies(response.headers()).filter(|_| is_same_origin);
        let mut request =
            Request::get(self.federated_url).body(Bytes::new()).map_err(|_| Error::InvalidRequestUri)?;
        *request.headers_mut() = self.headers;
        let secrets = cookies.clone();
        request.headers_mut().extend(cookies.map(|cookies| (COOKIE, cookies)));
        let response = send(self.transport, LoginStep::Federation, request).await?;
        let secrets = secrets.as_ref().into_iter().flat_map(secrets_in);
        let asks_for_login = response.status().is_redirection()
            || has_media_type(response.headers(), &PAOS)
            || is_unauthorized_by_web_server(&response);
        if asks_for_login {
            let failed =
                FederatedLoginFailed::read(LoginStep::Federation, self.federated_url, &response, secrets);
            let hint = match is_same_origin {
                true => {
                    "the service provider has not accepted the assertion: it asks for another login; see its log, and \
                     check that the clocks agree"
                }
                false => {
                    "the session is of another origin, to which the assertion was sent, so that its cookie was not sent \
                     here; give the service provider an sp_url of the same origin as its auth_url"
                }
            };
            return Err(failed.with_hint(hint).into());
        }
        unscoped_token(self.federated_url, response, secrets)
    }

    /// Returns a successful response, or a redirect after which there is a session.
    async fn send_assertion(&self, assertion: Bytes) -> Result<Response<Bytes>, Error> {
        let request = Request::post(self.consumer_url).header(ACCEPT, "*/*").header(CONTENT_TYPE, PAOS);
        let request = request.body(assertion.clone()).map_err(|_| Error::InvalidRequestUri)?;
        let response = send(self.transport, LoginStep::ServiceProvider, request).await?;
        let status = response.status();
        let is_session = matches!(status, StatusCode::FOUND | StatusCode::SEE_OTHER);
        let failed = |hint| {
            let failed = FederatedLoginFailed::at(LoginStep::ServiceProvider, self.consumer_url, hint, false);
            Err(failed.with_status(status).into())
        };
        if status.is_redirection() && !is_session {
            return failed(
                "an assertion is not sent on to another URL; correct the URL of the service provider",
            );
        }
        if status.is_success() && !response.headers().contains_key("x-subject-token") {
            return failed(
                "it has started no session; see the log of the service provider, and check that the clocks agree",
            );
        }
        if status.is_success() || is_session {
            return Ok(response);
        }
        let assertion = str::from_utf8(&assertion).unwrap_or_default();
        let failed =
            FederatedLoginFailed::read(LoginStep::ServiceProvider, self.consumer_url, &response, [assertion]);
        Err(match status.is_client_error() {
            true => failed.with_hint(
                "it has not accepted the assertion: check that it trusts the identity provider, and that the clocks agree",
            ),
            false => failed,
        }
        .into())
    }
}

/// Sends a request, and names the step if the connection fails.
pub(super) async fn send(
    transport: &Transport,
    step: LoginStep,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Error> {
    transport.send(request).await.map_err(|error| FederatedLoginFailed::unreachable(step, error))
}

/// Returns whether the web server in front of Keystone rejects a request (401), and not Keystone.
pub(super) fn is_unauthorized_by_web_server(response: &Response<Bytes>) -> bool {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    response.status() == StatusCode::UNAUTHORIZED && !has_media_type(response.headers(), &JSON)
}

/// Returns whether a response has this media type, with any parameters.
pub(super) fn has_media_type(headers: &HeaderMap, media_type: &HeaderValue) -> bool {
    let found =
        headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    found.is_some_and(|found| found.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes()))
}

/// Copies a response body to memory that is wiped when the last clone of the result is dropped.
pub(super) fn wiped_body(body: &[u8]) -> Bytes {
    Bytes::from_owner(Zeroizing::new(body.to_vec()))
}

/// Returns the cookies that a response sets, as the value of `Cookie`. Its memory is wiped.
///
/// Of each `Set-Cookie`, this is the part up to the first semicolon. Cookies without a value are those that the server
/// removes.
fn session_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs = || {
        let values = headers.get_all(SET_COOKIE).iter();
        let pairs = values.filter_map(|value| value.as_bytes().split(|byte| *byte == b';').next());
        pairs.map(<[u8]>::trim_ascii).filter(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let is_there = |part: Option<&[u8]>| part.is_some_and(|part| !part.trim_ascii().is_empty());
            is_there(parts.next()) && is_there(parts.next())
        })
    };
    let length: usize = pairs().map(|pair| pair.len() + 2).sum();
    if length == 0 || length > MAX_COOKIES {
        return None;
    }
    let mut cookies = Zeroizing::new(Vec::with_capacity(length));
    for pair in pairs() {
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend_from_slice(pair);
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(cookies)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(set: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in set {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
        }
        let value = session_cookies(&headers)?;
        assert!(value.is_sensitive());
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_are_sent_back_without_their_attributes() {
        for (set, sent) in [
            (&["a=1; Path=/; HttpOnly"][..], Some("a=1")),
            (&["a=1", " b = x=y ;Secure"], Some("a=1; b = x=y")),
            (&["gone=; Max-Age=0", "=x", "x", ""], None),
            (&[], None),
        ] {
            assert_eq!(cookies(set).as_deref(), sent, "{set:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, HeaderValue::try_from(format!("a={}", "x".repeat(MAX_COOKIES))).unwrap());
        assert!(session_cookies(&headers).is_none());
    }

    #[test]
    fn a_media_type_may_have_parameters() {
        for (value, expected) in [
            ("application/vnd.paos+xml", true),
            ("Application/VND.PAOS+xml ; charset=utf-8", true),
            ("application/vnd.paos+xml2", false),
            ("text/html", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(has_media_type(&headers, &PAOS), expected, "{value}");
        }
        assert!(!has_media_type(&HeaderMap::new(), &PAOS));
    }
}
