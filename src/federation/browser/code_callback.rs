//! Reads the authorization response, with which the provider sends the browser back (RFC 6749, section 4.1.2).

use std::hint::black_box;

use http::StatusCode;
use zeroize::Zeroizing;

use super::{callback_url::CallbackUrl, fields::Fields, page::Page, request::Request};

/// What an authorization response must match.
pub(super) struct CodeCallback {
    pub(super) url: CallbackUrl,
    pub(super) state: Zeroizing<String>,
    /// Returns whether a response with this `iss` is from the provider that the browser was sent to (RFC 9207, section
    /// 2.4).
    pub(super) is_from_provider: Box<IsFromProvider>,
}

type IsFromProvider = dyn Fn(Option<&str>) -> bool + Send + Sync;

/// The result of a login at the provider.
pub(super) enum AuthorizationResponse {
    Code(Zeroizing<String>),
    /// The `error`, such as `access_denied`, and its `error_description`.
    Error(Box<str>, Option<Box<str>>),
    /// The response is from another provider, or does not say which one it is from.
    WrongIssuer,
}

impl CodeCallback {
    /// Reads an authorization response, or returns the status of the response to a request that is none.
    ///
    /// A request without the state is none, whatever else it contains: it comes from a page that wants to end the login
    /// or to put in one of its own.
    pub(super) fn read(&self, request: &Request<'_>) -> Result<(AuthorizationResponse, Page), StatusCode> {
        self.url.check(request, "GET")?;
        let fields = Fields::read(request.query().as_bytes()).ok_or(StatusCode::BAD_REQUEST)?;
        let state = fields.get("state").ok_or(StatusCode::BAD_REQUEST)?;
        if !is_equal(state.as_bytes(), self.state.as_bytes()) {
            return Err(StatusCode::FORBIDDEN);
        }
        if !(self.is_from_provider)(fields.get("iss")) {
            return Ok((AuthorizationResponse::WrongIssuer, Page::FAILED));
        }
        match (fields.get("code"), fields.get("error")) {
            (Some(code), None) => {
                Ok((AuthorizationResponse::Code(Zeroizing::new(code.to_owned())), Page::COMPLETE))
            }
            (None, Some(error)) => {
                let description = fields.get("error_description").map(Box::from);
                Ok((AuthorizationResponse::Error(error.into(), description), Page::FAILED))
            }
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }
}

/// Compares secrets in a time that depends on their lengths only.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |bits, (one, other)| black_box(bits | (one ^ other)));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::{super::request::RequestReader, *};

    fn callback(issuer: Option<&'static str>) -> CodeCallback {
        CodeCallback {
            url: CallbackUrl { host: "127.0.0.1", port: 1, path: "/callback".into() },
            state: Zeroizing::new("st4te".to_owned()),
            is_from_provider: Box::new(move |iss| issuer.is_none() || iss == issuer),
        }
    }

    /// Returns the response as text, or the status.
    fn read(callback: &CodeCallback, query: &str) -> Result<String, u16> {
        let mut reader = RequestReader::new();
        let request = format!("GET /callback{query} HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
        reader.room().put_slice(request.as_bytes());
        assert_eq!(reader.is_complete(), Ok(true));
        match callback.read(&reader.request().unwrap()) {
            Ok((AuthorizationResponse::Code(code), Page::COMPLETE)) => Ok(code.to_string()),
            Ok((AuthorizationResponse::Error(error, description), Page::FAILED)) => {
                Ok(format!("{error} {description:?}"))
            }
            Ok((AuthorizationResponse::WrongIssuer, Page::FAILED)) => Ok("wrong issuer".to_owned()),
            Ok(_) => panic!("another page"),
            Err(status) => Err(status.as_u16()),
        }
    }

    #[test]
    fn a_response_has_the_state_and_a_code_or_an_error() {
        for (query, result) in [
            ("?code=c%2F1&state=st4te", Ok("c/1")),
            ("?state=st4te&session_state=x&code=c", Ok("c")),
            ("?error=access_denied&state=st4te", Ok("access_denied None")),
            (
                "?error=access_denied&error_description=no+thanks&state=st4te",
                Ok("access_denied Some(\"no thanks\")"),
            ),
            ("?code=c", Err(400)),
            ("?code=c&state=", Err(400)),
            ("?code=c&state=st4t", Err(403)),
            ("?code=c&state=st4te1", Err(403)),
            ("?code=c&state=St4te", Err(403)),
            ("?error=access_denied", Err(400)),
            ("?error=access_denied&state=other", Err(403)),
            ("?state=st4te", Err(400)),
            ("?state=st4te&code=", Err(400)),
            ("?state=st4te&code=c&error=access_denied", Err(400)),
            ("?code=c&state=st4te&code=d", Err(400)),
            ("?code=c&state=st4te&state=st4te", Err(400)),
            ("?code=c&state=other&state=st4te", Err(400)),
            ("?code=%ff&state=st4te", Err(400)),
            ("", Err(400)),
        ] {
            assert_eq!(read(&callback(None), query), result.map(str::to_owned), "{query}");
        }
    }

    #[test]
    fn a_response_is_from_the_issuer() {
        const ISSUER: &str = "https://op.example.com";
        for (iss, issuer, is_right) in [
            ("&iss=https%3A%2F%2Fop.example.com", Some(ISSUER), true),
            ("&iss=https%3A%2F%2Fop.example.com%2F", Some(ISSUER), false),
            ("&iss=https%3A%2F%2Fevil.example.org", Some(ISSUER), false),
            ("&iss=", Some(ISSUER), false),
            ("", Some(ISSUER), false),
            ("", None, true),
        ] {
            let callback = callback(issuer);
            let expected = if is_right { "c" } else { "wrong issuer" };
            assert_eq!(
                read(&callback, &format!("?code=c&state=st4te{iss}")).as_deref(),
                Ok(expected),
                "{iss}"
            );
            let error = read(&callback, &format!("?error=e&state=st4te{iss}"));
            assert_eq!(error.as_deref() == Ok("wrong issuer"), !is_right, "{iss}");
            // The state comes first: without it, a page could end the login by the name of another issuer.
            assert_eq!(read(&callback, &format!("?code=c&state=x{iss}")), Err(403), "{iss}");
        }
    }
}
