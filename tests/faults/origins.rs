//! URLs that look like those of a service, and malformed catalogs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tower::{Layer, util::Oneshot};
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, Error};
use url::Url;

use crate::{
    layer::{AUTH_URL, Inner, access_info_with, fixed_token, get, to_nova, uri},
    support::*,
};

cases![
    paused c05_no_request_is_sent_to_an_origin_that_is_not_allowed,
    paused c06_no_spelling_of_a_url_sends_the_token_to_another_host,
    paused c07_a_malformed_endpoint_is_skipped,
    paused c07_a_joined_uri_keeps_its_bytes_and_stays_below_its_endpoint,
    paused c07_endpoints_of_a_catalog_of_ten_thousand_are_found,
];

fn layer() -> AuthLayer<AccessInfoPlugin> {
    AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL))).endpoint(to_nova())
}

const FOREIGN: [&str; 40] = [
    "https://evil.example.org/",
    "https://example.com/v2.1",
    "https://com/",
    "https://www.nova.example.com/",
    "https://evil-nova.example.com/",
    "https://evil.nova.example.com/",
    "https://nova.example.com.evil.org/",
    "https://nova.example.co/",
    "https://nova.example.comm/",
    "https://nova-example.com/",
    "https://nova.example.com./",
    "https://nova.example.com..",
    "https://nova.example.com:8774/",
    "https://nova.example.com:80/",
    "https://nova.example.com:4430/",
    "http://nova.example.com/",
    "http://nova.example.com:443/",
    "http://nova.internal:8774/",
    "https://nova.internal/",
    "https://swift.example.com:8080/",
    "http://swift.example.com/",
    "https://keystone.example.com/v3",
    "http://keystone.example.com:5000/v3",
    "https://user@nova.example.com/",
    "https://user:secret@nova.example.com/",
    "https://nova.example.com@evil.example.org/",
    "https://nova.example.com:443@evil.example.org/",
    "https://@nova.example.com/",
    "https://evil.example.org/nova.example.com",
    "https://evil.example.org?https://nova.example.com/",
    "https://xn--nva-0na.example.com/",
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "http://169.254.169.254/latest/meta-data",
    "ftp://nova.example.com/",
    "ws://nova.example.com/",
    "wss://nova.example.com/",
];

async fn c05_no_request_is_sent_to_an_origin_that_is_not_allowed() {
    let inner = Inner::new();
    for url in FOREIGN {
        let error = Oneshot::new(layer().layer(inner.clone()), get(url)).await.unwrap_err();
        match Error::find(&*error) {
            Some(Error::OriginNotAllowed { origin, .. }) => assert!(!origin.contains("secret"), "{origin}"),
            other => panic!("{url}: {other:?}"),
        }
        assert_eq!(inner.count(), 0, "{url}");
    }
    // An unambiguous origin can be allowed explicitly.
    let mut allowed = 0;
    for url in FOREIGN {
        let Ok(layer) = layer().allow_origin(&uri(url)) else { continue };
        allowed += 1;
        Oneshot::new(layer.layer(inner.clone()), get(url)).await.unwrap();
        assert_eq!(inner.count(), allowed, "{url}");
    }
    assert_eq!(allowed, 32);
    assert_eq!(inner.tokens().len(), allowed);
}

/// Returns the origin according to the `url` crate, which parses URLs as browsers do.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?))
}

async fn c06_no_spelling_of_a_url_sends_the_token_to_another_host() {
    let endpoint = |url: &str| json!({"interface": "public", "region": "RegionOne", "url": url});
    let known = ["https://nova.example.com/v2.1", "http://127.0.0.1:8774/", "http://[::1]:8774/v2.1"];
    let catalog = json!([{"type": "compute", "endpoints": known.map(endpoint)}]);
    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info_with("token-1", catalog)));
    let origins: BTreeSet<_> = known.into_iter().filter_map(origin).collect();
    let inner = Inner::new();
    let (mut tried, mut sent) = (0, 0);
    let mut urls = Vec::new();
    let schemes = ["https://", "HTTPS://", "http://", "https:///", "https:", "https:/", "https:\\\\"];
    let users =
        ["", "@", "a@", "nova.example.com@", "nova.example.com:443@", "a:b@", "nova.example.com%40", "\\@"];
    let hosts = [
        "nova.example.com",
        "NOVA.Example.COM",
        "nova.example.com.",
        "nova.example.com%2F.evil.org",
        "nova.example.com%2f@evil.org",
        "evil.org\\nova.example.com",
        "nova.example.com\\@evil.org",
        "nova.example.com%00.evil.org",
        "nova.example.com%09",
        "nova\u{3002}example.com",
        "n\u{f6}va.example.com",
        "nova.example.com;evil.org",
        "nova.example.com,evil.org",
        "nova.example%2ecom",
        "127.0.0.1",
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[::ffff:127.0.0.1]",
        "::1",
        "[::1]evil.org",
        "evil.org",
        "",
    ];
    let ports =
        ["", ":", ":443", ":0443", ":8774", ":08774", ":65979", ":-1", ":+443", ":443evil", ":443:80"];
    let paths =
        ["", "/", "//evil.org", "/%2F", "/\\evil.org", "?@evil.org", "#@evil.org", "/@evil.org", "/../.."];
    for scheme in schemes {
        for user in users {
            for host in hosts {
                for port in ports {
                    urls.extend(paths.map(|path| format!("{scheme}{user}{host}{port}{path}")));
                }
            }
        }
    }
    let odd: Vec<_> = "@:/\\%2Fe.#?[]0xN\t \u{3002}\u{ad}-_;".chars().collect();
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..20_000 {
        let mut url: Vec<char> = random.choice(known).unwrap().chars().collect();
        for _ in 0..random.usize(1..4) {
            let odd = *random.choice(&odd).unwrap();
            let at = random.usize(0..=url.len());
            if random.bool() && at < url.len() { url[at] = odd } else { url.insert(at, odd) }
        }
        urls.push(url.into_iter().collect());
    }
    for url in urls {
        // A text that is not a URI cannot be requested.
        let Ok(uri) = url.parse::<http::Uri>() else { continue };
        if uri.scheme().is_none() {
            continue;
        }
        tried += 1;
        let text = uri.to_string();
        let request = http::Request::get(uri).body(()).unwrap();
        let result = Oneshot::new(layer.layer(inner.clone()), request).await;
        let seen = inner.seen().drain(..).count();
        assert_eq!(seen, usize::from(result.is_ok()));
        if seen == 1 {
            sent += 1;
            assert!(origin(&text).is_some_and(|origin| origins.contains(&origin)), "{text} got the token");
        }
    }
    assert!(tried > 20_000 && sent > 500, "{sent} of {tried}");
}

/// Returns a layer whose catalog contains one compute service with these endpoints.
fn compute(endpoints: &[Value]) -> AuthLayer<AccessInfoPlugin> {
    let catalog = json!([
        null, 7, "compute", {"type": null}, {"endpoints": []}, {"type": "compute", "endpoints": null},
        {"type": "compute", "name": "nova", "endpoints": endpoints},
    ]);
    let plugin = AccessInfoPlugin::new(access_info_with("token-1", catalog));
    AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"))
}

async fn c07_a_malformed_endpoint_is_skipped() {
    let valid = json!({"interface": "public", "url": "https://nova.example.com/v2.1"});
    for malformed in [
        json!({"interface": "public", "url": "file:///etc/passwd"}),
        json!({"interface": "public", "url": "ftp://nova.example.com/"}),
        json!({"interface": "public", "url": "javascript:alert(1)"}),
        json!({"interface": "public", "url": "https://user:canary@nova.evil.org/"}),
        json!({"interface": "public", "url": "https://nova.evil.org/#fragment"}),
        json!({"interface": "public", "url": "https://nova.evil.org/?query=1"}),
        json!({"interface": "public", "url": "https://nova.evil.org/v2/$(tenant_id)s"}),
        json!({"interface": "public", "url": "https://nova.evil.org/v2/%(project_id)s"}),
        json!({"interface": "public", "url": "https://nova.evil.org:port/"}),
        json!({"interface": "public", "url": "https://nova.evil.org:99999/"}),
        json!({"interface": "public", "url": "https://[::1/"}),
        json!({"interface": "public", "url": "https:// nova.evil.org/"}),
        json!({"interface": "public", "url": "nova.evil.org"}),
        json!({"interface": "public", "url": "/v2.1"}),
        json!({"interface": "public", "url": ""}),
        json!({"interface": "public", "url": null}),
        json!({"interface": "public", "url": 7}),
        json!({"interface": "public", "url": ["https://nova.evil.org"]}),
        json!({"interface": "public"}),
        json!({}),
        json!(null),
        json!("https://nova.evil.org"),
    ] {
        let inner = Inner::new();
        let both = compute(&[malformed.clone(), valid.clone(), valid.clone()]);
        Oneshot::new(both.layer(inner.clone()), get("/servers")).await.unwrap();
        assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/servers"], "{malformed}");

        let error =
            Oneshot::new(compute(std::slice::from_ref(&malformed)).layer(inner.clone()), get("/servers"))
                .await
                .unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{malformed}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(inner.count(), 1, "{malformed}");
    }
}

async fn c07_a_joined_uri_keeps_its_bytes_and_stays_below_its_endpoint() {
    for (endpoint, path, expected) in [
        (
            "https://h.test/v1/AUTH_x/",
            "/a%2Fb/%e3%81%82?q=%2F",
            "https://h.test/v1/AUTH_x/a%2Fb/%e3%81%82?q=%2F",
        ),
        ("https://h.test/a%2Fb", "/c", "https://h.test/a%2Fb/c"),
        ("https://h.test//x//", "//y", "https://h.test//x/y"),
        ("http://[2001:db8::1]:8774/v2.1", "/servers", "http://[2001:db8::1]:8774/v2.1/servers"),
    ] {
        let inner = Inner::new();
        let layer = compute(&[json!({"interface": "public", "url": endpoint})]);
        Oneshot::new(layer.layer(inner.clone()), get(path)).await.unwrap();
        assert_eq!(inner.uris(), [expected]);
    }
    let inner = Inner::new();
    let layer = compute(&[json!({"interface": "public", "url": "https://h.test/v1/AUTH_x"})]);
    for path in
        ["/..", "/../AUTH_y", "/a/../../AUTH_y", "/%2e%2e/AUTH_y", "/a%2f..%2F..%2fAUTH_y", "/..%5cAUTH_y"]
    {
        let error = Oneshot::new(layer.layer(inner.clone()), get(path)).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::PathTraversal)), "{path}: {error}");
    }
    // However a server resolves the path that is sent, it stays below the endpoint.
    let mut random = fastrand::Rng::with_seed(7);
    let pieces = ["/", "..", ".", "%2e", "%2E", "%2f", "\\", "%5c", "a", ";x", "//", "?", "=", "%"];
    for _ in 0..20_000 {
        let path: String = (0..random.usize(1..8)).map(|_| *random.choice(&pieces).unwrap()).collect();
        let Ok(relative) = format!("/{path}").parse::<http::Uri>() else { continue };
        let request = http::Request::get(relative).body(()).unwrap();
        if Oneshot::new(layer.layer(inner.clone()), request).await.is_err() {
            continue;
        }
        let sent = inner.uris().pop().unwrap();
        let resolved = Url::parse(&sent.replace("%2f", "/").replace("%5c", "/")).unwrap();
        assert!(resolved.path().starts_with("/v1/AUTH_x"), "{sent} is {resolved}");
        inner.seen().clear();
    }
}

async fn c07_endpoints_of_a_catalog_of_ten_thousand_are_found() {
    let endpoints: Vec<_> = (0..10_000)
        .map(|number| {
            let (url, region) = (format!("https://nova{number}.test/v2.1"), format!("Region{number}"));
            json!({"interface": "public", "region": region, "url": url})
        })
        .collect();
    let inner = Inner::new();
    let layer = compute(&endpoints);
    for region in ["Region0", "Region9999"] {
        let request = http::Request::get("/servers").extension(EndpointFilter::new("compute").region(region));
        Oneshot::new(layer.layer(inner.clone()), request.body(()).unwrap()).await.unwrap();
    }
    Oneshot::new(layer.layer(inner.clone()), get("https://nova5000.test/v2.1/x")).await.unwrap();
    let error = Oneshot::new(layer.layer(inner.clone()), get("https://nova10000.test/")).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })));
    let urls = [
        "https://nova0.test/v2.1/servers",
        "https://nova9999.test/v2.1/servers",
        "https://nova5000.test/v2.1/x",
    ];
    assert_eq!(inner.uris(), urls);
}
