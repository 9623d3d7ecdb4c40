//! Identity headers that a client sends.

use http::{HeaderName, HeaderValue};

use crate::support::*;

const COMMON: [&str; 12] = [
    "domain-id",
    "domain-name",
    "project-id",
    "project-name",
    "project-domain-id",
    "project-domain-name",
    "user-id",
    "user-name",
    "user-domain-id",
    "user-domain-name",
    "roles",
    "identity-status",
];
const OTHERS: [&str; 8] = [
    "x-is-admin-project",
    "x-service-catalog",
    "x-role",
    "x-user",
    "x-tenant",
    "x-tenant-id",
    "x-tenant-name",
    "openstack-system-scope",
];

fn spoofed() -> Vec<String> {
    let common = COMMON.iter().flat_map(|name| [format!("x-{name}"), format!("x-service-{name}")]);
    let names: Vec<_> = common.chain(OTHERS.map(str::to_owned)).collect();
    names.iter().flat_map(|name| [name.clone(), name.replace('-', "_"), name.replacen('-', "_", 1)]).collect()
}

#[tokio::test(start_paused = true)]
async fn they_are_removed_in_every_mode() {
    let keystone = Keystone::new();
    for layer in [
        keystone.layer(),
        keystone.layer().delay_auth_decision(),
        keystone.layer().delay_auth_decision().identity_headers().bearer_tokens(),
    ] {
        for token in [None, Some("good"), Some("good"), Some("unknown"), Some("down")] {
            let mut request = get("/", &[("accept", "*/*")]);
            for name in spoofed() {
                let name: HeaderName = name.parse().unwrap();
                request.headers_mut().append(name.clone(), HeaderValue::from_static("spoof"));
                request.headers_mut().append(name, HeaderValue::from_static("Confirmed"));
            }
            if let Some(token) = token {
                request.headers_mut().insert("x-auth-token", token.parse().unwrap());
            }
            let app = App::new();
            if send_request(&layer, &app, request).await.status() == 200 {
                let headers = app.request().headers;
                assert!(!headers.values().any(|value| value == "spoof"), "{headers:?}");
                assert!(!headers.keys().any(|name| name.as_str().contains('_')), "{headers:?}");
                assert_eq!(headers["accept"], "*/*");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_stay_and_are_sensitive() {
    let headers = [
        ("x-auth-token", "good"),
        ("x-storage-token", "canary-1"),
        ("authorization", "Bearer canary-2"),
        ("x-service-token", "service"),
    ];
    let request = admitted(&Keystone::new().layer(), &headers).await;
    for (name, value) in headers {
        assert_eq!(request.headers[name], value);
        assert!(request.headers[name].is_sensitive(), "{name}");
    }
    assert!(!format!("{:?}", request.headers).contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_validation_is_replaced() {
    let keystone = Keystone::new();
    let first = admitted(&keystone.layer(), &[("x-auth-token", "good")]).await;
    let (layer, app) = (keystone.layer().delay_auth_decision(), App::new());
    let mut request = get("/", &[("x-auth-token", "unknown")]);
    request.extensions_mut().insert(validation(&first).clone());
    send_request(&layer, &app, request).await;
    assert_eq!(username(&app.request()), None);
}
