//! A token as a header value.

use http::{HeaderMap, HeaderValue, Request, Uri};
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, FixedEndpointPlugin, IdentityPlugin, Secret};

use crate::requests::sent;

/// The input is a token.
pub fn run(input: &[u8]) {
    let is_token = (1..=128 * 1024).contains(&input.len()) && input.iter().all(u8::is_ascii_graphic);
    let document = r#"{"token": {}}"#;

    if let Ok(value) = HeaderValue::from_bytes(input) {
        let headers = HeaderMap::from_iter([("x-subject-token".parse().expect("a name"), value)]);
        assert_eq!(AccessInfo::from_response(&headers, document).is_ok(), is_token);
    }
    let Ok(token) = std::str::from_utf8(input) else { return };
    let access_info = AccessInfo::new(token, document);
    assert_eq!(access_info.is_ok(), is_token);
    match access_info {
        Ok(access_info) => arrives(token, AccessInfoPlugin::new(access_info)),
        Err(error) => drop(error.to_string()),
    }
    let refused = AccessInfo::new(format!("canary{token}\n"), document).expect_err("a line has ended");
    assert!(!format!("{refused} {refused:?}").contains("canary"));
    let admin = FixedEndpointPlugin::admin_token(Uri::from_static("https://h/"), &Secret::new(token));
    assert_eq!(admin.is_ok(), is_token);
    if let Ok(admin) = admin {
        arrives(token, admin);
    }
    let _ = FixedEndpointPlugin::http_basic(Uri::from_static("https://h/"), token, &Secret::new(token));
}

/// Checks that the header has the bytes of the token, and is sensitive.
fn arrives(token: &str, plugin: impl IdentityPlugin) {
    let layer = AuthLayer::new(plugin).allow_origin(&Uri::from_static("https://h/")).expect("an origin");
    let request = sent(&layer, Request::get("https://h/x").body(()).expect("a request")).expect("it is sent");
    let values: Vec<_> = request.headers().get_all("x-auth-token").iter().collect();
    assert_eq!(values, [token]);
    assert!(values.iter().all(|value| value.is_sensitive()));
}
