//! Reads the form with the token that a page of Keystone makes the browser send.

use http::StatusCode;
use zeroize::Zeroizing;

use super::{callback_url::CallbackUrl, fields::Fields, page::Page, request::Request};

/// What a form with a token must match.
pub(super) struct TokenCallback {
    pub(super) url: CallbackUrl,
    /// The origin of Keystone as browsers write it, such as `https://keystone.example.com`.
    pub(super) keystone: Box<str>,
}

impl TokenCallback {
    /// Reads the token, or returns the status of the response to a request that brings none.
    ///
    /// The request must be what the page of Keystone makes of a browser: a form that is sent by `POST` and shown as a
    /// document. No script of another page can send such a request and stay unseen. If the browser says which site it
    /// comes from, it must be Keystone. From an https page to this one, browsers say `null`.
    pub(super) fn read(&self, request: &Request<'_>) -> Result<(Zeroizing<String>, Page), StatusCode> {
        self.url.check(request, "POST")?;
        let content_type = request.header("content-type")?.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let is_document = request.header("sec-fetch-mode")? == Some("navigate")
            && request.header("sec-fetch-dest")? == Some("document")
            // `none` stands for an address that the user typed.
            && request.header("sec-fetch-site")? != Some("none");
        let is_keystone = matches!(request.header("origin")?, None | Some("null"))
            || request.header("origin")? == Some(&self.keystone);
        if !is_document || !is_keystone || !self.is_referer(request.header("referer")?.unwrap_or_default()) {
            return Err(StatusCode::FORBIDDEN);
        }
        let fields = Fields::read(request.body()).ok_or(StatusCode::BAD_REQUEST)?;
        let token = fields.get("token").ok_or(StatusCode::BAD_REQUEST)?;
        // Anything else cannot be sent in a header.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        Ok((Zeroizing::new(token.to_owned()), Page::COMPLETE))
    }

    /// Returns whether the page is one of Keystone. Most requests name none.
    fn is_referer(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix(&*self.keystone) else { return url.is_empty() };
        rest.is_empty() || rest.starts_with('/')
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::{super::request::RequestReader, *};

    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    const DOCUMENT: &str =
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: cross-site";

    fn read(method: &str, headers: &[&str], body: &str) -> Result<String, u16> {
        let callback = TokenCallback {
            url: CallbackUrl { host: "localhost", port: 9990, path: "/auth/websso/".into() },
            keystone: "https://keystone.example.com".into(),
        };
        let request = format!(
            "{method} /auth/websso/ HTTP/1.1\r\nHost: localhost:9990\r\nContent-Length: {}\r\n{}\r\n\r\n{body}",
            body.len(),
            headers.join("\r\n"),
        );
        let mut reader = RequestReader::new();
        reader.room().put_slice(request.as_bytes());
        assert_eq!(reader.is_complete(), Ok(true));
        let token = callback.read(&reader.request().unwrap());
        token
            .map(|(token, page)| (assert_eq!(page, Page::COMPLETE), token.to_string()).1)
            .map_err(|s| s.as_u16())
    }

    #[test]
    fn a_form_of_keystone_has_a_token() {
        for (body, result) in [
            ("token=gAAAA-_%3D", Ok("gAAAA-_=")),
            ("token=gAAAA&other=1", Ok("gAAAA")),
            ("token=", Err(400)),
            ("", Err(400)),
            ("Token=gAAAA", Err(400)),
            ("token=gAAAA&token=gBBBB", Err(400)),
            ("token=gAAAA%0D%0AX-Evil:+1", Err(400)),
            ("token=gAAAA+B", Err(400)),
            ("token=g%C3%A9", Err(400)),
            ("token=%ff", Err(400)),
        ] {
            assert_eq!(read("POST", &[FORM, DOCUMENT], body), result.map(str::to_owned), "{body}");
        }
    }

    #[test]
    fn a_request_is_a_form_that_is_shown_as_a_document() {
        let document = |mode, dest, site: &str| {
            let site = if site.is_empty() { String::new() } else { format!("\r\nSec-Fetch-Site: {site}") };
            format!("Sec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}{site}")
        };
        assert_eq!(read("GET", &[FORM, DOCUMENT], "token=t"), Err(405));
        for (content_type, result) in [
            (FORM, Ok(())),
            ("content-type: Application/X-WWW-Form-URLencoded ; charset=utf-8", Ok(())),
            ("content-type: text/plain", Err(415)),
            ("content-type: multipart/form-data", Err(415)),
            ("content-type: application/x-www-form-urlencoded2", Err(415)),
            ("x: y", Err(415)),
        ] {
            assert_eq!(
                read("POST", &[content_type, DOCUMENT], "token=t").map(drop),
                result,
                "{content_type}"
            );
        }
        for (headers, result) in [
            (document("navigate", "document", "same-site"), Ok(())),
            (document("navigate", "document", ""), Ok(())),
            (document("navigate", "document", "none"), Err(403)),
            (document("cors", "document", "cross-site"), Err(403)),
            (document("no-cors", "empty", "cross-site"), Err(403)),
            (document("navigate", "iframe", "cross-site"), Err(403)),
            ("Sec-Fetch-Mode: navigate".to_owned(), Err(403)),
            ("Sec-Fetch-Dest: document".to_owned(), Err(403)),
            ("X: y".to_owned(), Err(403)),
            (format!("{DOCUMENT}\r\nSec-Fetch-Site: same-site"), Err(400)),
        ] {
            assert_eq!(read("POST", &[FORM, &headers], "token=t").map(drop), result, "{headers}");
        }
    }

    #[test]
    fn a_request_comes_from_keystone_if_it_says_where_from() {
        for (header, result) in [
            ("Origin: null", Ok(())),
            ("Origin: https://keystone.example.com", Ok(())),
            ("Origin: https://keystone.example.com:5000", Err(403)),
            ("Origin: http://keystone.example.com", Err(403)),
            ("Origin: https://keystone.example.com.evil.example.org", Err(403)),
            ("Origin: https://evil.example.org", Err(403)),
            ("Origin: http://localhost:9990", Err(403)),
            ("Origin:", Err(403)),
            ("Origin: null\r\nOrigin: null", Err(400)),
            ("Referer: https://keystone.example.com/v3/auth/OS-FEDERATION/websso/openid", Ok(())),
            ("Referer: https://keystone.example.com", Ok(())),
            ("Referer: https://keystone.example.com.evil.example.org/", Err(403)),
            ("Referer: https://keystone.example.com:1/", Err(403)),
            ("Referer: https://evil.example.org/?https://keystone.example.com/", Err(403)),
        ] {
            assert_eq!(read("POST", &[FORM, DOCUMENT, header], "token=t").map(drop), result, "{header}");
        }
    }
}
