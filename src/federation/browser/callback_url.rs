//! The URL that a login comes back to, and which requests are for it.

use http::StatusCode;

use super::request::Request;

/// The URL on a loopback port that the browser comes back to.
pub(super) struct CallbackUrl {
    /// The host: `127.0.0.1` or `localhost`.
    pub(super) host: &'static str,
    pub(super) port: u16,
    /// The path, which starts with a `/`.
    pub(super) path: Box<str>,
}

impl CallbackUrl {
    pub(super) fn to_text(&self) -> String {
        let Self { host, port, path } = self;
        format!("http://{host}:{port}{path}")
    }

    /// Returns the URL without its path.
    pub(super) fn to_origin(&self) -> Box<str> {
        format!("http://{}:{}", self.host, self.port).into()
    }

    /// Checks that a request is for this URL.
    ///
    /// Its `Host` must be that of the URL: another one is that of a web site whose name was pointed at this machine
    /// (DNS rebinding).
    pub(super) fn check(&self, request: &Request<'_>, method: &str) -> Result<(), StatusCode> {
        let host = request.header("host")?.ok_or(StatusCode::BAD_REQUEST)?;
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, port),
            None => (host, "80"),
        };
        if !name.eq_ignore_ascii_case(self.host) || port != self.port.to_string() {
            Err(StatusCode::MISDIRECTED_REQUEST)
        } else if request.path() != &*self.path {
            Err(StatusCode::NOT_FOUND)
        } else if request.method() != method {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::{super::request::RequestReader, *};

    fn check(url: &CallbackUrl, request_line: &str, host: &str) -> Result<(), u16> {
        let mut reader = RequestReader::new();
        reader.room().put_slice(format!("{request_line} HTTP/1.1\r\n{host}\r\n\r\n").as_bytes());
        assert_eq!(reader.is_complete(), Ok(true));
        url.check(&reader.request().unwrap(), "GET").map_err(|status| status.as_u16())
    }

    #[test]
    fn a_request_is_for_the_host_the_path_and_the_method() {
        let url = CallbackUrl { host: "127.0.0.1", port: 9990, path: "/callback".into() };
        assert_eq!(url.to_text(), "http://127.0.0.1:9990/callback");
        let right = "Host: 127.0.0.1:9990";
        for (request_line, host, result) in [
            ("GET /callback", right, Ok(())),
            ("GET /callback?code=1", right, Ok(())),
            ("GET /callback", "Host: localhost:9990", Err(421)),
            ("GET /callback", "Host: [::1]:9990", Err(421)),
            ("GET /callback", "Host: 127.0.0.1", Err(421)),
            ("GET /callback", "Host: 127.0.0.1:", Err(421)),
            ("GET /callback", "Host: 127.0.0.1:09990", Err(421)),
            ("GET /callback", "Host: 127.0.0.1:9991", Err(421)),
            ("GET /callback", "Host: evil.example.org:9990", Err(421)),
            ("GET /callback", "Host: user@127.0.0.1:9990", Err(421)),
            ("GET /favicon.ico", "Host: evil.example.org:9990", Err(421)),
            ("GET /callback", "Host:", Err(421)),
            ("GET /callback", "X: y", Err(400)),
            ("GET /callback", "Host: 127.0.0.1:9990\r\nHost: 127.0.0.1:9990", Err(400)),
            ("GET /favicon.ico", right, Err(404)),
            ("GET /callback/", right, Err(404)),
            ("GET //callback", right, Err(404)),
            ("GET /%63allback", right, Err(404)),
            ("GET /", right, Err(404)),
            ("OPTIONS /callback", right, Err(405)),
            ("HEAD /callback", right, Err(405)),
        ] {
            assert_eq!(check(&url, request_line, host), result, "{request_line} {host}");
        }
    }

    #[test]
    fn browsers_leave_out_port_80() {
        let url = CallbackUrl { host: "localhost", port: 80, path: "/".into() };
        for host in ["Host: localhost", "Host: localhost:80", "Host: LocalHost"] {
            assert_eq!(check(&url, "GET /", host), Ok(()));
        }
        assert_eq!(check(&url, "GET /", "Host: localhost:443"), Err(421));
    }
}
