//! Reads the bodies of error responses, in the formats that services use.

use serde_json::value::RawValue;

use super::redact::unescape_html;
use crate::json;

/// The message and the details of an error response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) message: Option<String>,
    pub(super) details: Option<String>,
}

/// Maximum depth to search for a message. Each nested object, and each JSON document in a string, is one level.
const MAX_DEPTH: usize = 8;

/// Names of members with the message, the preferred ones first, in lower case and without underscores.
///
/// Nova and similar services use `message`, services with pecan or WSME `faultstring`, Ironic `error_message`,
/// OAuth 2.0 `error`, the API guidelines, falcon and RFC 9457 `title`, the S3 API `Code`.
const MESSAGE_NAMES: [&str; 9] =
    ["message", "faultstring", "errormessage", "errormsg", "error", "title", "msg", "reason", "code"];

/// Names of members with the details.
const DETAILS_NAMES: [&str; 5] = ["details", "detail", "description", "errordescription", "explanation"];

impl ErrorBody {
    /// Reads a body of this content type. A text in an unknown format becomes the details.
    pub(super) fn read(content_type: &str, body: &[u8]) -> Self {
        let body = json::without_bom(body);
        let text = body.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_text = essence.is_empty() || essence.starts_with("text/") || !essence.contains('/');
        let starts_with = |prefixes: &[&str]| {
            is_text && prefixes.iter().any(|prefix| text.trim_start().starts_with(prefix))
        };

        let error = if essence.ends_with("json") || starts_with(&["{", "[", "\""]) {
            Self::from_json(text, MAX_DEPTH)
        } else if essence.ends_with("xml") || starts_with(&["<?xml"]) {
            Self::from_xml(text)
        } else if is_text {
            Self::default()
        } else {
            return Self::default();
        };
        if error == Self::default() {
            return Self { message: None, details: non_blank(text.to_owned()) };
        }
        error
    }

    fn from_json(text: &str, depth: usize) -> Self {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => Self::from_value(value, depth),
            Err(_) => Self::default(),
        }
    }

    fn from_value(value: &RawValue, depth: usize) -> Self {
        let Some(depth) = depth.checked_sub(1) else { return Self::default() };
        if json::is_object(value) {
            return Self::from_object(value.get(), depth);
        }
        let Some(text) = json::text(value).and_then(non_blank) else { return Self::default() };
        // Some services put a JSON document into a string.
        let inner =
            if text.trim_start().starts_with('{') { Self::from_json(&text, depth) } else { Self::default() };
        match inner.message {
            Some(_) => inner,
            None => Self { message: Some(text), details: None },
        }
    }

    fn from_object(object: &str, depth: usize) -> Self {
        let mut messages = [None; MESSAGE_NAMES.len()];
        let mut details = [None; DETAILS_NAMES.len()];
        let (mut error, mut errors, mut only, mut members) = (None, None, None, 0);
        let read = json::for_each_member(object, |name, value| {
            let name: String = name.chars().filter(|&character| character != '_').collect();
            let position = |names: &[&str]| names.iter().position(|known| name.eq_ignore_ascii_case(known));
            match (&*name, position(&MESSAGE_NAMES), position(&DETAILS_NAMES)) {
                ("errors", ..) => errors = first_element(value),
                ("error", ..) if json::is_object(value) => error = Some(value),
                (_, Some(index), _) => _ = messages.get_mut(index).map(|found| found.get_or_insert(value)),
                (_, _, Some(index)) => _ = details.get_mut(index).map(|found| found.get_or_insert(value)),
                // If an object has a single member, its name can be that of the error, as in `{"itemNotFound": {…}}`.
                _ if members == 0 => only = Some(value),
                _ => {}
            }
            members += 1;
        });
        if read.is_err() {
            return Self::default();
        }
        let only = only.filter(|_| members == 1);
        let candidates = [errors, error].into_iter().chain(messages).chain([only]).flatten();
        let with_message = |value| Some(Self::from_value(value, depth)).filter(|body| body.message.is_some());
        let found = candidates.into_iter().find_map(with_message).unwrap_or_default();
        let mut details = details.into_iter().flatten().filter_map(details_text);
        Self { details: found.details.or_else(|| details.next()), ..found }.with_details_as_message()
    }

    /// Reads an XML document, such as that of the S3 API or of old versions of Nova.
    fn from_xml(text: &str) -> Self {
        let code = || element(text, "code").filter(|_| text.contains("<Error"));
        Self { message: element(text, "message").or_else(code), details: None }
    }

    /// Uses the details as the message if there is no message.
    fn with_details_as_message(self) -> Self {
        match self.message {
            Some(_) => self,
            None => Self { message: self.details, details: None },
        }
    }
}

fn non_blank(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

/// Returns a string, or the JSON text of an object or a list.
fn details_text(value: &RawValue) -> Option<String> {
    let raw = (json::is_object(value) || json::is_list(value)).then(|| value.get().to_owned());
    json::text(value).or(raw).and_then(non_blank)
}

fn first_element(list: &RawValue) -> Option<&RawValue> {
    let mut first = None;
    json::for_each_element(list, |element| _ = first.get_or_insert(element)).ok()?;
    first
}

/// Returns the text of the first element with this name, which is compared without case.
fn element(xml: &str, name: &str) -> Option<String> {
    let mut rest = xml;
    while let Some((_, tag)) = rest.split_once('<') {
        rest = tag;
        let Some((found, after)) = tag.split_at_checked(name.len()) else { continue };
        if !found.eq_ignore_ascii_case(name) || !after.starts_with([' ', '\t', '\r', '\n', '>']) {
            continue;
        }
        let (attributes, content) = after.split_once('>')?;
        if attributes.ends_with('/') {
            continue;
        }
        let (content, _) = content.split_once('<')?;
        return non_blank(unescape_html(content.trim()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: impl AsRef<[u8]>) -> (Option<String>, Option<String>) {
        let error = ErrorBody::read(content_type, body.as_ref());
        (error.message, error.details)
    }

    fn expected(message: Option<&str>, details: Option<&str>) -> (Option<String>, Option<String>) {
        (message.map(str::to_owned), details.map(str::to_owned))
    }

    #[test]
    fn the_message_is_found_in_the_formats_of_all_services() {
        for (body, message, details) in [
            (r#"{"error": {"message": "m", "details": "d", "code": 409}}"#, "m", Some("d")),
            (r#"{"error": {"message": "m", "code": 401, "title": "Unauthorized"}}"#, "m", None),
            (r#"{"errors": [{"title": "m", "detail": "d"}, {"title": "n"}]}"#, "m", Some("d")),
            (r#"{"errors": [{"code": "DENIED", "message": "m"}]}"#, "m", None),
            (r#"{"errors": ["m", "n"]}"#, "m", None),
            (r#"{"itemNotFound": {"code": 404, "message": "m"}}"#, "m", None),
            (r#"{"NeutronError": {"type": "PortNotFound", "message": "m", "detail": "d"}}"#, "m", Some("d")),
            (r#"{"NeutronError": "m"}"#, "m", None),
            (r#"{"faultcode": "Client", "faultstring": "m", "debuginfo": null}"#, "m", None),
            (r#"{"code": 409, "message": "m"}"#, "m", None),
            (r#"{"code": 404, "title": "m", "description": "d"}"#, "m", Some("d")),
            (r#"{"title": "m", "description": {"cause": "c"}}"#, "m", Some(r#"{"cause": "c"}"#)),
            (r#"{"description": "m"}"#, "m", None),
            (r#"{"explanation": "d", "code": 404, "error": {"message": "m", "type": "T"}}"#, "m", Some("d")),
            (r#"{"type": "about:blank", "title": "m", "status": 403, "detail": "d"}"#, "m", Some("d")),
            (r#"{"error": "m"}"#, "m", None),
            (r#"{"error": "m", "error_description": "d", "error_uri": "u"}"#, "m", Some("d")),
            (r#"{"error": "Unauthorized", "message": "m", "path": "/"}"#, "m", None),
            (r#"{"error_message": "m"}"#, "m", None),
            (r#"{"error_msg": "m", "error_code": "APIGW.0301"}"#, "m", None),
            (r#"{"errorCode": "x", "errorMsg": "m"}"#, "m", None),
            (r#"{"__type": "T", "Message": "m"}"#, "m", None),
            (r#"{"Code": "m", "RequestId": "r"}"#, "m", None),
            (r#"{"error_message": {"faultstring": "m", "faultcode": "Client"}}"#, "m", None),
            (r#"{"error_message": "{\"faultstring\": \"m\", \"debuginfo\": null}"}"#, "m", None),
            (
                r#"{"error": {"message": "{\"error\": {\"message\": \"m\", \"details\": \"d\"}}"}}"#,
                "m",
                Some("d"),
            ),
            (r#"{"message": "{not JSON"}"#, "{not JSON", None),
            (r#"{"message": "{\"a\": 1, \"b\": 2}"}"#, r#"{"a": 1, "b": 2}"#, None),
            (r#"{"message": "", "error": {}, "title": "m"}"#, "m", None),
            (r#""m""#, "m", None),
            (r#""{\"message\": \"m\"}""#, "m", None),
        ] {
            for content_type in [
                "application/json",
                "application/json; charset=utf-8",
                "Application/JSON",
                " application/json",
                "application/problem+json",
                "application/vnd.openstack+JSON;v=1",
                "text/json",
                "text/plain",
                "json",
                "",
            ] {
                assert_eq!(
                    read(content_type, body),
                    expected(Some(message), details),
                    "{content_type}: {body}"
                );
                let with_bom = format!("\u{feff} {body}");
                assert_eq!(
                    read(content_type, with_bom),
                    expected(Some(message), details),
                    "{content_type}: {body}"
                );
            }
            assert_eq!(read("application/octet-stream", body), (None, None));
        }
    }

    #[test]
    fn a_body_in_an_unknown_format_becomes_the_details() {
        for body in [
            r#"{"error": {"message": 5}}"#,
            r#"{"errors": []}"#,
            r#"{"errors": {}}"#,
            r#"{"teapot": 1}"#,
            r#"{"teapot": "short", "and": "stout"}"#,
            r#"["message"]"#,
            r#"{"message": "cut sho"#,
            "not json",
            "<h1>404</h1>",
        ] {
            for content_type in ["application/json", "application/problem+json", "text/html", ""] {
                assert_eq!(read(content_type, body), expected(None, Some(body)), "{content_type}: {body}");
            }
        }
        let nested = format!("{}1{}", r#"{"error":"#.repeat(5_000), "}".repeat(5_000));
        assert_eq!(read("application/json", &nested), expected(None, Some(&nested)));
        for nothing in ["", " \n", "\u{feff}"] {
            assert_eq!(read("application/json", nothing), (None, None));
        }
    }

    #[test]
    fn a_text_becomes_the_details_up_to_where_it_is_not_utf_8() {
        assert_eq!(read("text/html", "<h1>404</h1>"), expected(None, Some("<h1>404</h1>")));
        assert_eq!(read("text/plain", &"naïve".as_bytes()[..3]), expected(None, Some("na")));
        assert_eq!(read("text/plain", b"\xff\xfe"), (None, None));
        assert_eq!(read("image/png", "PNG"), (None, None));
    }

    #[test]
    fn the_message_is_found_in_xml() {
        let s3 = r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchBucket</Code>"#;
        for (body, message) in [
            (format!("{s3}<BucketName>b</BucketName><RequestId>tx0</RequestId></Error>"), "NoSuchBucket"),
            (format!("{s3}<Message>it&apos;s &lt;gone&gt;</Message></Error>"), "it's <gone>"),
            (format!("{s3}<Message/></Error>"), "NoSuchBucket"),
            (
                r#"<itemNotFound code="404" xmlns="http://x/v1.1"><message>m</message></itemNotFound>"#
                    .to_owned(),
                "m",
            ),
        ] {
            for content_type in ["application/xml", "text/xml; charset=utf-8", "application/problem+xml"] {
                assert_eq!(read(content_type, &body), expected(Some(message), None), "{body}");
            }
        }
        assert_eq!(read("", format!("{s3}</Error>")).0.as_deref(), Some("NoSuchBucket"));
        for body in [
            "<Error><Code>NoSuch",
            "<a/>",
            "<message",
            "<message >",
            "<messages>m</messages>",
            "<html><code>c</code>",
        ] {
            assert_eq!(read("application/xml", body), expected(None, Some(body)), "{body}");
        }
    }
}
