//! `Host` headers set by the caller.

use http::{Request, header::HOST};
use tower_keystone::{AuthLayer, EndpointFilter, Error, Interface, Unauthenticated};

use crate::support::*;

fn with_host(uri: &str, host: &str) -> Request<()> {
    Request::get(uri).header(HOST, host).body(()).unwrap()
}

#[tokio::test]
async fn a_host_header_is_removed_from_a_relative_request() {
    let overridden = EndpointFilter::default().endpoint_override("https://own.example.com");
    let keystone = EndpointFilter::new("identity").interface(Interface::Auth);
    for filter in [to_nova(), overridden, keystone] {
        let layer = AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL))).endpoint(filter).overwrite_token();
        for mut request in [
            with_host("/servers", "evil.example.org"),
            with_host("/servers", "nova.example.com"),
            Request::get("/x")
                .header(HOST, "a")
                .header(HOST, "b")
                .header("x-auth-token", "t")
                .body(())
                .unwrap(),
        ] {
            let seen = sent(&layer, request).await;
            assert!(!seen.headers.contains_key(HOST), "{}", seen.uri);
            request = with_host("/servers", "evil.example.org");
            request.extensions_mut().insert(Unauthenticated);
            assert!(!sent(&layer, request).await.headers.contains_key(HOST));
        }
    }
}

#[tokio::test]
async fn a_host_header_must_match_an_absolute_uri() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let nova = "https://nova.example.com/v2.1/servers";
    for same in ["nova.example.com", "NOVA.example.com:443", "nova.example.com:443"] {
        assert_eq!(sent(&layer, with_host(nova, same)).await.headers[HOST], same);
    }
    for other in [
        "evil.example.org",
        "nova.example.com:80",
        "nova.example.com:8774",
        "nova.example.com.",
        "user@nova.example.com",
        "nova.example.com/x",
        "nova.example.com, evil.example.org",
        "",
        " nova.example.com",
        "\u{e9}",
    ] {
        let error = refused(&layer, with_host(nova, other)).await;
        assert!(matches!(error, Error::HostNotAllowed { .. }), "{other}: {error}");
        assert!(error.to_string().contains("https://nova.example.com"), "{error}");
    }
    let twice = Request::get(nova).header(HOST, "nova.example.com").header(HOST, "evil.example.org");
    assert!(matches!(refused(&layer, twice.body(()).unwrap()).await, Error::HostNotAllowed { .. }));
}

#[tokio::test]
async fn a_host_header_is_kept_if_the_layer_adds_no_token() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let nova = "https://nova.example.com/v2.1/servers";
    let mut request = with_host(nova, "other.example.com");
    request.headers_mut().insert("x-auth-token", "own".parse().unwrap());
    assert_eq!(sent(&layer, request).await.headers[HOST], "other.example.com");
    let mut request = with_host(nova, "other.example.com");
    request.extensions_mut().insert(Unauthenticated);
    assert_eq!(sent(&layer, request).await.headers[HOST], "other.example.com");
}
