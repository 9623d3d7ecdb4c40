//! Reads the response of the device authorization endpoint (RFC 8628, section 3.2).

use std::time::Duration;

use http::Uri;

use crate::{Secret, federation::oauth::seconds, json};

/// The lifetime of a code whose response has no valid `expires_in`.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Maximum lifetime of a code.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The delay between two token requests if the response has no valid `interval` (RFC 8628, section 3.5).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// Limits of `interval`.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Maximum lengths, in bytes.
const MAX_USER_CODE: usize = 128;
const MAX_URL: usize = 4096;

/// The codes of a device login, and where the person types the short one.
pub(super) struct DeviceAuthorization {
    pub(super) device_code: Secret,
    pub(super) user_code: Box<str>,
    pub(super) verification_uri: Box<str>,
    pub(super) verification_uri_complete: Option<Box<str>>,
    pub(super) lifetime: Duration,
    /// The delay between two token requests.
    pub(super) interval: Duration,
}

impl DeviceAuthorization {
    /// Reads the JSON object of the response. `is_allowed` returns whether a person may be sent to this URL.
    ///
    /// # Errors
    ///
    /// What is wrong with the response. The texts that a person sees must be safe to print: a terminal would obey the
    /// control characters in them.
    pub(super) fn read(document: &str, is_allowed: impl Fn(&Uri) -> bool) -> Result<Self, &'static str> {
        let [mut device_code, mut user_code, mut uri, mut complete_uri] = [const { None::<Secret> }; 4];
        let [mut lifetime, mut interval] = [None; 2];
        let text = |value| json::text(value).map(Secret::new);
        json::for_each_member(document, |name, value| match name {
            "device_code" => device_code = text(value),
            "user_code" => user_code = text(value),
            // Some providers use the name of an early draft.
            "verification_uri" | "verification_url" => uri = text(value),
            "verification_uri_complete" => complete_uri = text(value),
            "expires_in" => lifetime = seconds(value),
            "interval" => interval = seconds(value),
            _ => {}
        })
        .map_err(|_| "the response is not a JSON object")?;

        let device_code = device_code.filter(|code| !code.expose().is_empty());
        let user_code = user_code.ok_or("the response has no user_code")?;
        let url = |text: &Secret| verification_url(text.expose(), &is_allowed);
        let authorization = Self {
            device_code: device_code.ok_or("the response has no device_code")?,
            user_code: printable(user_code.expose(), MAX_USER_CODE).ok_or(UNPRINTABLE_CODE)?,
            verification_uri: url(&uri.ok_or("the response has no verification_uri")?)?,
            verification_uri_complete: complete_uri.as_ref().map(url).transpose()?,
            lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME),
            interval: interval.unwrap_or(DEFAULT_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL),
        };
        match authorization.lifetime.is_zero() {
            true => Err("the code of the response has already expired"),
            false => Ok(authorization),
        }
    }
}

const UNPRINTABLE_CODE: &str =
    "the user_code is empty, too long, or has characters other than printable ASCII";
const INVALID_URL: &str =
    "the verification URL of the response is not an absolute http or https URL without a user name";
const HTTP_URL: &str = "the verification URL of the response is plain http, so that anybody on the network path can \
                        replace the page; correct the provider, or allow the host with OidcClient::allow_http";

/// Returns a URL that a person opens, if it is safe to print.
fn verification_url(text: &str, is_allowed: impl Fn(&Uri) -> bool) -> Result<Box<str>, &'static str> {
    let text = printable(text, MAX_URL).filter(|text| !text.contains(' ')).ok_or(INVALID_URL)?;
    let url = text.parse::<Uri>().map_err(|_| INVALID_URL)?;
    let has_user = url.authority().is_none_or(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        Some("https" | "http") if has_user => Err(INVALID_URL),
        Some("https") => Ok(text),
        Some("http") if is_allowed(&url) => Ok(text),
        Some("http") => Err(HTTP_URL),
        _ => Err(INVALID_URL),
    }
}

/// Returns the text if it is printable ASCII, not empty, and not too long.
fn printable(text: &str, max_length: usize) -> Option<Box<str>> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (is_printable && (1..=max_length).contains(&text.len())).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(document: &Value) -> Result<DeviceAuthorization, &'static str> {
        let is_loopback = |url: &Uri| url.host() == Some("127.0.0.1");
        DeviceAuthorization::read(&document.to_string(), is_loopback)
    }

    fn complete() -> Value {
        json!({
            "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://example.com/device",
            "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
            "expires_in": 1800,
            "interval": 7,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = complete();
        document[name] = value;
        document
    }

    fn without(name: &str) -> Value {
        let mut document = complete();
        document.as_object_mut().unwrap().remove(name);
        document
    }

    #[test]
    fn a_complete_response_is_read() {
        let authorization = read(&complete()).unwrap();
        assert_eq!(authorization.device_code.expose(), "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS");
        assert_eq!(&*authorization.user_code, "WDJB-MJHT");
        assert_eq!(&*authorization.verification_uri, "https://example.com/device");
        let complete_uri = authorization.verification_uri_complete.as_deref();
        assert_eq!(complete_uri, Some("https://example.com/device?user_code=WDJB-MJHT"));
        assert_eq!(authorization.lifetime, Duration::from_secs(1800));
        assert_eq!(authorization.interval, Duration::from_secs(7));
    }

    #[test]
    fn numbers_are_lenient_and_bounded() {
        for (value, lifetime, interval) in [
            (json!("30"), 30, 30),
            (json!(" 30 "), 30, 30),
            (json!("2e1"), 20, 20),
            (json!(1_000_000_000_000_000_000_u64), 86_400, 300),
            (json!("9".repeat(400)), 86_400, 300),
            (json!(1e300), 86_400, 300),
            (json!("soon"), 600, 5),
            (json!("NaN"), 600, 5),
            (json!(-1), 600, 5),
            (json!(null), 600, 5),
            (json!(true), 600, 5),
            (json!([30]), 600, 5),
            (json!(""), 600, 5),
        ] {
            let mut document = with("expires_in", value.clone());
            document["interval"] = value.clone();
            let authorization = read(&document).unwrap();
            assert_eq!(authorization.lifetime, Duration::from_secs(lifetime), "{value}");
            assert_eq!(authorization.interval, Duration::from_secs(interval), "{value}");
        }
        assert_eq!(read(&without("expires_in")).unwrap().lifetime, DEFAULT_LIFETIME);
        assert_eq!(read(&without("interval")).unwrap().interval, DEFAULT_INTERVAL);
        assert_eq!(read(&with("interval", json!(0))).unwrap().interval, MIN_INTERVAL);
        for zero in [json!(0), json!("0"), json!(-0.0)] {
            let error = read(&with("expires_in", zero.clone())).err();
            assert_eq!(error, Some("the code of the response has already expired"), "{zero}");
        }
    }

    #[test]
    fn a_response_without_a_code_or_a_url_is_an_error() {
        for name in ["device_code", "user_code", "verification_uri"] {
            for document in
                [without(name), with(name, json!(null)), with(name, json!(7)), with(name, json!(""))]
            {
                assert!(read(&document).is_err(), "{document}");
            }
        }
        assert_eq!(read(&without("verification_uri_complete")).unwrap().verification_uri_complete, None);
        for body in ["", "[]", "null", "{", "<html>", "\u{feff}"] {
            assert!(DeviceAuthorization::read(body, |_| true).is_err(), "{body}");
        }
    }

    #[test]
    fn the_early_name_of_the_verification_url_is_known() {
        let mut document = without("verification_uri");
        document["verification_url"] = json!("https://www.example.com/device");
        assert_eq!(&*read(&document).unwrap().verification_uri, "https://www.example.com/device");
    }

    #[test]
    fn texts_that_are_not_safe_to_print_are_errors() {
        for bad in [
            "a\u{1b}[2Jb",
            "a\nb",
            "a\rb",
            "a\tb",
            "a\0b",
            "a\u{7f}b",
            "a\u{9b}31mb",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{2028}b",
            "ä",
        ] {
            assert_eq!(read(&with("user_code", json!(bad))).err(), Some(UNPRINTABLE_CODE), "{bad:?}");
            for name in ["verification_uri", "verification_uri_complete"] {
                let url = format!("https://example.com/{bad}");
                assert_eq!(read(&with(name, json!(url))).err(), Some(INVALID_URL), "{bad:?}");
            }
        }
        assert!(read(&with("user_code", json!("x".repeat(MAX_USER_CODE)))).is_ok());
        assert!(read(&with("user_code", json!("x".repeat(MAX_USER_CODE + 1)))).is_err());
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
        assert!(read(&with("verification_uri", json!(long))).is_err());
    }

    #[test]
    fn the_verification_url_is_https_or_an_allowed_host() {
        for (url, expected) in [
            ("https://example.com", None),
            ("HTTPS://example.com/device", None),
            ("http://127.0.0.1:8080/device", None),
            ("http://example.com/device", Some(HTTP_URL)),
            ("https://alice@example.com/device", Some(INVALID_URL)),
            ("http://127.0.0.1@example.com/device", Some(INVALID_URL)),
            ("javascript:alert(1)", Some(INVALID_URL)),
            ("file:///etc/passwd", Some(INVALID_URL)),
            ("//example.com/device", Some(INVALID_URL)),
            ("/device", Some(INVALID_URL)),
            ("example.com", Some(INVALID_URL)),
            ("https://", Some(INVALID_URL)),
            ("https://example.com/a b", Some(INVALID_URL)),
        ] {
            for name in ["verification_uri", "verification_uri_complete"] {
                assert_eq!(read(&with(name, json!(url))).err(), expected, "{url}");
            }
        }
    }
}
