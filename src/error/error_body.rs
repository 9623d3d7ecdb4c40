//! What the body of an error says, in whichever form a service writes it.

use serde_json::value::RawValue;

use super::redact::character_references;
use crate::json;

/// What a document says of an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) message: Option<String>,
    pub(super) details: Option<String>,
}

/// How many documents may be within each other: objects, and JSON in a text of JSON.
const MAX_DEPTH: usize = 8;

/// The members that have the message, the best first, in lower case and without underscores: of Nova and its relatives
/// (`message`), of those with pecan or WSME (`faultstring`), of Ironic (`error_message`), of OAuth 2.0 (`error`), of
/// the API guidelines, falcon and RFC 9457 (`title`), of the S3 API (`Code`).
const MESSAGE: [&str; 9] =
    ["message", "faultstring", "errormessage", "errormsg", "error", "title", "msg", "reason", "code"];

/// The members that have the details.
const DETAILS: [&str; 5] = ["details", "detail", "description", "errordescription", "explanation"];

/// Reads a body of this content type; what says nothing in a form that is known is the details as it is.
pub(super) fn explanation(content_type: &str, body: &[u8]) -> Explanation {
    let body = json::without_bom(body);
    let text = body.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = essence.is_empty() || essence.starts_with("text/") || !essence.contains('/');
    let begins = |with: &[&str]| is_text && with.iter().any(|with| text.trim_start().starts_with(with));

    let explanation = if essence.ends_with("json") || begins(&["{", "[", "\""]) {
        of_document(text, MAX_DEPTH)
    } else if essence.ends_with("xml") || begins(&["<?xml"]) {
        of_xml(text)
    } else if is_text {
        Explanation::default()
    } else {
        return Explanation::default();
    };
    if explanation == Explanation::default() {
        return Explanation { message: None, details: says_something(text.to_owned()) };
    }
    explanation
}

fn says_something(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

/// What a JSON document says: an object, or a text.
fn of_document(text: &str, depth: usize) -> Explanation {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => of_value(value, depth),
        Err(_) => Explanation::default(),
    }
}

fn of_value(value: &RawValue, depth: usize) -> Explanation {
    let Some(depth) = depth.checked_sub(1) else { return Explanation::default() };
    if json::is_object(value) {
        return of_object(value.get(), depth);
    }
    let Some(text) = json::text(value).and_then(says_something) else { return Explanation::default() };
    // JSON in JSON.
    let inner =
        if text.trim_start().starts_with('{') { of_document(&text, depth) } else { Default::default() };
    match inner.message {
        Some(_) => inner,
        None => Explanation { message: Some(text), details: None },
    }
}

fn of_object(object: &str, depth: usize) -> Explanation {
    let mut messages = [None; MESSAGE.len()];
    let mut details = [None; DETAILS.len()];
    let (mut error, mut errors, mut only, mut members) = (None, None, None, 0);
    let read = json::for_each_member(object, |name, value| {
        let name: String = name.chars().filter(|&character| character != '_').collect();
        let place = |names: &[&str]| names.iter().position(|known| name.eq_ignore_ascii_case(known));
        match (&*name, place(&MESSAGE), place(&DETAILS)) {
            ("errors", ..) => errors = first_of(value),
            ("error", ..) if json::is_object(value) => error = Some(value),
            (_, Some(place), _) => _ = messages.get_mut(place).map(|found| found.get_or_insert(value)),
            (_, _, Some(place)) => _ = details.get_mut(place).map(|found| found.get_or_insert(value)),
            // An object that has nothing else in it is named after the error, as in `{"itemNotFound": {…}}`.
            _ if members == 0 => only = Some(value),
            _ => {}
        }
        members += 1;
    });
    if read.is_err() {
        return Explanation::default();
    }
    let only = only.filter(|_| members == 1);
    let candidates = [errors, error].into_iter().chain(messages).chain([only]).flatten();
    let says = |value| Some(of_value(value, depth)).filter(|said| said.message.is_some());
    let found = candidates.into_iter().find_map(says).unwrap_or_default();
    let mut details = details.into_iter().flatten().filter_map(text_of_details);
    Explanation { details: found.details.or_else(|| details.next()), ..found }.with_a_message()
}

/// A text, or what else there is as it is written.
fn text_of_details(value: &RawValue) -> Option<String> {
    let raw = (json::is_object(value) || json::is_list(value)).then(|| value.get().to_owned());
    json::text(value).or(raw).and_then(says_something)
}

fn first_of(list: &RawValue) -> Option<&RawValue> {
    let mut first = None;
    json::for_each_element(list, |element| _ = first.get_or_insert(element)).ok()?;
    first
}

impl Explanation {
    /// Details without a message are one.
    fn with_a_message(self) -> Self {
        match self.message {
            Some(_) => self,
            None => Self { message: self.details, details: None },
        }
    }
}

/// What an XML document says, such as that of the S3 API or of old versions of Nova.
fn of_xml(text: &str) -> Explanation {
    let code = || element(text, "code").filter(|_| text.contains("<Error"));
    Explanation { message: element(text, "message").or_else(code), details: None }
}

/// The text of the first element of this name, in any case.
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
        return says_something(character_references(content.trim()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, body: impl AsRef<[u8]>) -> (Option<String>, Option<String>) {
        let explanation = explanation(content_type, body.as_ref());
        (explanation.message, explanation.details)
    }

    fn owned(message: Option<&str>, details: Option<&str>) -> (Option<String>, Option<String>) {
        (message.map(str::to_owned), details.map(str::to_owned))
    }

    #[test]
    fn documents_of_all_services_explain_themselves() {
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
                assert_eq!(of(content_type, body), owned(Some(message), details), "{content_type}: {body}");
                let with_mark = format!("\u{feff} {body}");
                assert_eq!(
                    of(content_type, with_mark),
                    owned(Some(message), details),
                    "{content_type}: {body}"
                );
            }
            assert_eq!(of("application/octet-stream", body), (None, None));
        }
    }

    #[test]
    fn what_says_nothing_that_is_known_is_the_details() {
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
                assert_eq!(of(content_type, body), owned(None, Some(body)), "{content_type}: {body}");
            }
        }
        let nested = format!("{}1{}", r#"{"error":"#.repeat(5_000), "}".repeat(5_000));
        assert_eq!(of("application/json", &nested), owned(None, Some(&nested)));
        for nothing in ["", " \n", "\u{feff}"] {
            assert_eq!(of("application/json", nothing), (None, None));
        }
    }

    #[test]
    fn a_text_is_the_details_up_to_where_it_is_cut_short() {
        assert_eq!(of("text/html", "<h1>404</h1>"), owned(None, Some("<h1>404</h1>")));
        assert_eq!(of("text/plain", &"naïve".as_bytes()[..3]), owned(None, Some("na")));
        assert_eq!(of("text/plain", b"\xff\xfe"), (None, None));
        assert_eq!(of("image/png", "PNG"), (None, None));
    }

    #[test]
    fn xml_explains_itself() {
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
                assert_eq!(of(content_type, &body), owned(Some(message), None), "{body}");
            }
        }
        assert_eq!(of("", format!("{s3}</Error>")).0.as_deref(), Some("NoSuchBucket"));
        for body in [
            "<Error><Code>NoSuch",
            "<a/>",
            "<message",
            "<message >",
            "<messages>m</messages>",
            "<html><code>c</code>",
        ] {
            assert_eq!(of("application/xml", body), owned(None, Some(body)), "{body}");
        }
    }
}
