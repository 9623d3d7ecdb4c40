//! Reading the requests that come to the port of a login in the browser.

/// The reader of the crate, which has no public API.
#[path = "../../src/federation/browser"]
#[allow(dead_code, reason = "the rest of the crate uses the other items")]
mod browser {
    mod callback_url;
    mod code_callback;
    mod fields;
    mod page;
    mod request;
    mod token_callback;

    use bytes::BufMut;
    use http::StatusCode;
    use zeroize::Zeroizing;

    use self::{
        callback_url::CallbackUrl,
        code_callback::{AuthorizationResponse, CodeCallback},
        page::Page,
        request::{Request, RequestReader},
        token_callback::TokenCallback,
    };

    pub(super) const STATE: &str = "st4te-0123456789";

    /// What becomes of a connection.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Outcome {
        /// It waits for more bytes.
        Waits,
        /// The status of the response to a request that is malformed.
        Malformed(StatusCode),
        /// The results of a login by code and of one by web single sign-on.
        Request(Result<String, StatusCode>, Result<String, StatusCode>),
    }

    /// Reads the bytes of a connection, which arrive in parts of this size.
    pub(super) fn read(bytes: &[u8], part: usize) -> Outcome {
        let mut reader = RequestReader::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut room = reader.room();
            assert!(room.has_remaining_mut(), "it neither ends nor has room");
            let (now, later) = rest.split_at(part.min(rest.len()).min(room.remaining_mut()));
            room.put_slice(now);
            rest = later;
            match reader.is_complete() {
                Ok(false) => assert!(reader.request().is_none()),
                Ok(true) => {
                    let request = reader.request().expect("it is complete");
                    assert!(request.path().starts_with('/') && request.body().len() <= 64 * 1024);
                    return Outcome::Request(code(&request), token(&request));
                }
                Err(status) => return Outcome::Malformed(status),
            }
        }
        Outcome::Waits
    }

    fn code(request: &Request<'_>) -> Result<String, StatusCode> {
        let callback = CodeCallback {
            url: CallbackUrl { host: "127.0.0.1", port: 9990, path: "/callback".into() },
            state: Zeroizing::new(STATE.to_owned()),
            is_from_provider: Box::new(|iss| iss.is_none_or(|iss| iss == "https://op.example.com")),
        };
        let (response, page) = callback.read(request)?;
        let page = page.to_response();
        Ok(match response {
            AuthorizationResponse::Code(code) => {
                assert!(!code.is_empty() && page == Page::COMPLETE.to_response());
                code.to_string()
            }
            AuthorizationResponse::Error(error, _) => {
                assert!(!error.is_empty() && page == Page::FAILED.to_response());
                error.into()
            }
            AuthorizationResponse::WrongIssuer => {
                assert!(page == Page::FAILED.to_response());
                String::new()
            }
        })
    }

    fn token(request: &Request<'_>) -> Result<String, StatusCode> {
        let callback = TokenCallback {
            url: CallbackUrl { host: "localhost", port: 9990, path: "/auth/websso/".into() },
            keystone: "https://keystone.example.com".into(),
        };
        callback.read(request).map(|(token, _)| token.to_string())
    }
}

use self::browser::{Outcome, STATE, read};

/// The input is what a connection receives.
pub fn run(input: &[u8]) {
    let outcome = read(input, usize::MAX);
    for part in [1, 61] {
        assert_eq!(read(input, part), outcome, "in parts of {part}");
    }
    let contains =
        |text: &str| input.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()));
    match outcome {
        Outcome::Waits => assert!(input.len() < 100_000),
        Outcome::Malformed(status) => assert!(status.is_client_error() || status.as_u16() == 505),
        Outcome::Request(code, token) => {
            assert!(code.is_err() || token.is_err(), "it is for both");
            if code.is_ok() {
                assert!(input.starts_with(b"GET /callback?") && contains("127.0.0.1:9990"));
                let is_escaped = contains("%");
                assert!(contains(STATE) || is_escaped);
            }
            if let Ok(token) = token {
                assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
                assert!(input.starts_with(b"POST /auth/websso/") && contains("localhost:9990"));
                assert!(contains("navigate") && contains("document"));
            }
        }
    }
}
