//! The pages that the browser shows.

use http::StatusCode;

/// A response: a status and a fixed text. Nothing of the request is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    text: &'static str,
}

impl Page {
    /// The browser has brought what the program was waiting for.
    pub(super) const COMPLETE: Self = Self {
        status: StatusCode::OK,
        title: "Login received",
        text: "You can close this window and return to the program.",
    };

    /// The identity provider has refused the login.
    pub(super) const FAILED: Self = Self {
        status: StatusCode::OK,
        title: "Login failed",
        text: "The identity provider did not log you in. The program that you came from shows the reason.",
    };

    /// A request that does not belong to the login.
    pub(super) const fn refused(status: StatusCode) -> Self {
        Self {
            status,
            title: "Request refused",
            text: "This request does not belong to the login that is in progress.",
        }
    }

    /// Returns the bytes of the response.
    pub(super) fn to_response(self) -> String {
        let Self { status, title, text } = self;
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body><h1>{title}</h1><p>{text}</p></body>\n</html>\n"
        );
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
             Referrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\n\
             \r\n\
             {body}",
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_the_length_of_its_body() {
        for page in [Page::COMPLETE, Page::FAILED, Page::refused(StatusCode::NOT_FOUND)] {
            let response = page.to_response();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert!(head.lines().skip(1).all(|line| line.contains(": ")), "{head}");
        }
        assert!(Page::refused(StatusCode::NOT_FOUND).to_response().starts_with("HTTP/1.1 404 Not Found\r\n"),);
    }
}
