//! Reading Keystone's answer to the question about a token.

use http::{Request, Response, StatusCode};
use serde_json::Value;
use tower_keystone::{Caller, ValidateTokenLayer};

use crate::{
    input,
    requests::keystone,
    service::{KEYSTONE, layer, send, with_clock},
};

/// The input is an HTTP response.
pub fn run(input: &[u8]) {
    let Some(answer) = input::answer(input) else { return };
    if answer.status().is_informational() {
        return;
    }
    check(&layer(keystone(answer.clone())), &answer, false);
    let by_itself = ValidateTokenLayer::self_validating(KEYSTONE, keystone(answer.clone()));
    check(&with_clock(by_itself), &answer, true);
    let without_catalog = layer(keystone(answer.clone())).without_catalog().identity_headers();
    check(&without_catalog, &answer, false);
}

fn check(layer: &ValidateTokenLayer, answer: &Response<bytes::Bytes>, by_itself: bool) {
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let request = Request::get("/").header("x-auth-token", "the-token").body(()).expect("a request");
        let (response, seen) = send(layer, request);
        let answered = answer.status().as_u16();
        match response.status() {
            StatusCode::OK => {
                assert!(matches!(answered, 200 | 201 | 203), "{answered}");
                let seen = seen.expect("the application was called");
                let caller = Caller::from_extensions(&seen.extensions).expect("a caller");
                assert_eq!(caller.access_info().auth_token(), Some("the-token"));
                let body = answer.body().strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer.body());
                let body: Value = serde_json::from_slice(body).expect("JSON");
                assert!(body["token"]["user"].is_object(), "{body}");
                assert_eq!(caller.access_info().user_id(), body["token"]["user"]["id"].as_str());
                assert!(body["token"]["user"]["id"].is_string());
                let _ = (caller.access_info().role_names().count(), format!("{caller:?}"));
            }
            StatusCode::UNAUTHORIZED => {
                let is_possible =
                    matches!(answered, 200 | 201 | 203 | 404 | 431) || by_itself && answered == 401;
                assert!(is_possible, "{answered}");
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                let retry_after = response.headers()["retry-after"].to_str().expect("seconds");
                assert!((1..=60).contains(&retry_after.parse().unwrap_or(0)), "{retry_after}");
            }
            other => panic!("{other}"),
        }
        statuses.push(response.status());
    }
    assert_eq!(statuses[0], statuses[1]);
    let metrics = layer.metrics().snapshot();
    assert_eq!((metrics.in_flight, metrics.waiting), (0, 0));
}
