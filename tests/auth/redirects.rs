//! tower-http's `FollowRedirect` above and below the layer: the token is sent to no foreign origin.

use std::convert::Infallible;

use http::{Request, Response, request::Parts};
use http_body_util::Empty;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::{
    FollowRedirectLayer, RequestUri,
    policy::{FilterCredentials, Limited, PolicyExt, SameOrigin},
};
use tower_keystone::{AuthLayer, EndpointFilter, Error, RedirectPolicy, Unauthenticated};

use crate::support::*;

type Body = Empty<bytes::Bytes>;

const CODES: [u16; 5] = [301, 302, 303, 307, 308];
const EVIL: &str = "https://evil.example.org/servers";

/// Redirects `/v2.1/old` to `location` and responds with 200 to any other path.
fn redirecting(code: u16, location: &'static str) -> Inner<Body> {
    Inner::respond_with(move |request: &Parts| {
        if request.uri.path() != "/v2.1/old" {
            return status(200);
        }
        Response::builder().status(code).header("location", location).body(()).unwrap()
    })
}

fn request(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::new()).unwrap()
}

fn layer() -> AuthLayer<impl tower_keystone::IdentityPlugin> {
    AuthLayer::new(fixed_token()).endpoint(to_nova())
}

#[tokio::test]
async fn above_the_layer_a_redirect_to_a_foreign_origin_is_refused() {
    for code in CODES {
        for foreign in [
            EVIL,
            "//evil.example.org/",
            "http://nova.example.com/v2.1/new",
            "https://nova.example.com:8443/",
        ] {
            let inner = redirecting(code, foreign);
            let service = ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(layer());
            let service = service.service(inner.clone());
            let error = service.oneshot(request("https://nova.example.com/v2.1/old")).await.unwrap_err();
            assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{code} {foreign}");
            assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old"]);
        }
    }
}

#[tokio::test]
async fn above_the_layer_a_redirect_to_a_known_origin_carries_the_token() {
    for code in CODES {
        for (location, expected) in [
            ("new?x=%20", "https://nova.example.com/v2.1/new?x=%20"),
            ("https://nova.example.com/v2.1/new", "https://nova.example.com/v2.1/new"),
            ("https://nova.two.example.com/v2.1/new", "https://nova.two.example.com/v2.1/new"),
        ] {
            let inner = redirecting(code, location);
            let service = FollowRedirectLayer::new().layer(layer().layer(inner.clone()));
            let response = service.oneshot(request("https://nova.example.com/v2.1/old")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old", expected]);
            assert_eq!(inner.tokens(), ["token-1", "token-1"]);
        }
    }
}

#[tokio::test]
async fn above_the_layer_a_redirect_of_a_relative_uri_is_not_followed() {
    for code in CODES {
        let inner = redirecting(code, "https://nova.example.com/v2.1/new");
        let service = FollowRedirectLayer::new().layer(layer().layer(inner.clone()));
        assert_eq!(service.oneshot(request("/old")).await.unwrap().status(), code);
        assert_eq!(inner.count(), 1);
    }
}

#[tokio::test]
async fn above_the_layer_a_policy_can_keep_a_redirect_unauthenticated() {
    for code in CODES {
        let policy = FilterCredentials::new().allow_extension::<Unauthenticated>();
        let inner = redirecting(code, EVIL);
        let service = FollowRedirectLayer::with_policy(policy).layer(layer().layer(inner.clone()));
        let mut request = request("https://nova.example.com/v2.1/old");
        request.extensions_mut().insert(Unauthenticated);
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
        assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old", EVIL]);
        assert!(inner.tokens().is_empty());
    }
}

#[tokio::test]
async fn below_the_layer_a_policy_can_remove_the_token_before_a_foreign_origin() {
    for code in CODES {
        let policy = Limited::default().and::<_, Body, BoxError>(FilterCredentials::new().remove_all());
        let inner = redirecting(code, EVIL);
        let service = ServiceBuilder::new()
            .layer(layer())
            .map_err(BoxError::from)
            .layer(FollowRedirectLayer::with_policy(policy))
            .map_err(BoxError::from)
            .service(inner.clone());
        let response = service.oneshot(request("/old")).await.unwrap();
        assert_eq!(response.extensions().get::<RequestUri>().unwrap().0, EVIL);
        assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old", EVIL]);
        assert_eq!(tokens(&inner.seen()[0]), ["token-1"]);
        assert!(tokens(&inner.seen()[1]).is_empty(), "{code}");
    }
}

#[tokio::test]
async fn below_the_layer_the_same_origin_policy_does_not_follow_to_a_foreign_origin() {
    for code in CODES {
        let inner = redirecting(code, EVIL);
        let same_origin = FollowRedirectLayer::with_policy(SameOrigin::new()).layer(inner.clone());
        let response = layer().layer(same_origin).oneshot(request("/old")).await.unwrap();
        assert_eq!(response.status(), code);
        assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old"]);
    }
}

#[tokio::test]
async fn below_the_layer_a_redirect_within_the_origin_keeps_the_token() {
    for code in CODES {
        for location in ["new", "/v2.1/new", "https://nova.example.com:443/v2.1/new"] {
            let inner = redirecting(code, location);
            let remove_token =
                Limited::default().and::<_, Body, Infallible>(FilterCredentials::new().remove_all());
            let remove_token = FollowRedirectLayer::with_policy(remove_token).layer(inner.clone());
            let same_origin = FollowRedirectLayer::with_policy(SameOrigin::new()).layer(inner.clone());
            layer().layer(remove_token).oneshot(request("/old")).await.unwrap();
            layer().layer(same_origin).oneshot(request("/old")).await.unwrap();
            assert_eq!(inner.tokens(), ["token-1"; 4], "{code} {location}");
            assert!(inner.seen().iter().all(|seen| seen.headers["x-auth-token"].is_sensitive()));
        }
    }
}

#[tokio::test]
async fn below_the_layer_a_401_after_a_redirect_invalidates_the_token() {
    let plugin = ScriptedPlugin::default();
    let inner = Inner::respond_with(|request| match request.uri.path() {
        "/v2.1/old" => Response::builder().status(307).header("location", "new").body(()).unwrap(),
        _ => status(401),
    });
    let follow = FollowRedirectLayer::with_policy(SameOrigin::new()).layer(inner);
    let filter = EndpointFilter::new("compute");
    let layer = AuthLayer::new(plugin.clone()).endpoint(filter);
    layer.layer(follow).oneshot(request("/old")).await.unwrap();
    assert_eq!(plugin.invalidated().len(), 1);
}

#[tokio::test]
async fn redirect_policy_does_not_follow_to_http_or_to_an_unusable_url() {
    for code in CODES {
        for rejected in [
            "http://nova.example.com/v2.1/new",
            "http://evil.example.org/",
            "https://user:pw@nova.example.com/v2.1/new",
            "https://nova.example.com@evil.example.org/",
            "ftp://nova.example.com/",
            "mailto:nova@example.com",
            "https://",
        ] {
            let inner = redirecting(code, rejected);
            let policy = RedirectPolicy::<Body>::new();
            let below = layer().layer(FollowRedirectLayer::with_policy(policy.clone()).layer(inner.clone()));
            assert_eq!(below.oneshot(request("/old")).await.unwrap().status(), code);
            let above = FollowRedirectLayer::with_policy(policy).layer(layer().layer(inner.clone()));
            let absolute = request("https://nova.example.com/v2.1/old");
            assert_eq!(above.oneshot(absolute).await.unwrap().status(), code);
            assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/old"; 2], "{rejected}");
        }
    }
}

#[tokio::test]
async fn redirect_policy_follows_from_http_to_https_without_the_token() {
    let inner = Inner::<Body>::respond_with(|request| match request.uri.scheme_str() {
        Some("http") => {
            let location = format!("https://swift.example.com:8080{}", request.uri.path());
            Response::builder().status(308).header("location", location).body(()).unwrap()
        }
        _ => status(200),
    });
    let follow = FollowRedirectLayer::with_policy(RedirectPolicy::<Body>::new()).layer(inner.clone());
    let layer = AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("object-store"));
    assert_eq!(layer.layer(follow).oneshot(request("/box")).await.unwrap().status(), 200);
    assert_eq!(inner.seen().iter().map(|seen| tokens(seen).len()).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn redirect_policy_compares_origins_and_not_texts() {
    for (location, expected) in [
        ("https://NOVA.example.com/v2.1/new", 1),
        ("https://nova.example.com:443/v2.1/new", 1),
        ("https://nova.example.com:8443/v2.1/new", 0),
        ("https://nova.example.com./v2.1/new", 0),
        ("https://nova.two.example.com/v2.1/new", 0),
        ("//nova.example.com/v2.1/new", 1),
    ] {
        let inner = redirecting(302, location);
        let follow = FollowRedirectLayer::with_policy(RedirectPolicy::<Body>::new()).layer(inner.clone());
        layer().layer(follow).oneshot(request("/old")).await.unwrap();
        let sent: Vec<_> = inner.seen().iter().map(|seen| tokens(seen).len()).collect();
        assert_eq!(sent, [1, expected], "{location}");
    }
}

#[tokio::test]
async fn redirect_policy_forwards_only_this_crates_extensions_to_another_origin() {
    #[derive(Clone)]
    struct CallerExtension;

    for (location, expected) in
        [("new", [true, true]), ("https://nova.two.example.com/v2.1/new", [true, false])]
    {
        let inner = redirecting(302, location);
        let service = FollowRedirectLayer::with_policy(RedirectPolicy::<Body>::new())
            .layer(AuthLayer::new(fixed_token()).layer(inner.clone()));
        let mut request = request("https://nova.example.com/v2.1/old");
        request.extensions_mut().insert(to_nova().microversion("2.79"));
        request.extensions_mut().insert(CallerExtension);
        service.oneshot(request).await.unwrap();
        let seen = inner.seen();
        let forwarded: Vec<_> =
            seen.iter().map(|seen| seen.extensions.get::<CallerExtension>().is_some()).collect();
        assert_eq!(forwarded, expected, "{location}");
        assert!(seen.iter().all(|seen| seen.headers["openstack-api-version"] == "compute 2.79"));
    }
}
