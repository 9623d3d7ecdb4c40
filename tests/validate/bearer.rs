//! Other ways to present a token, and tokens that are bound to a certificate.

use serde_json::json;
use tower_keystone::PeerCertificate;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_storage_token_is_used_without_an_auth_token() {
    let layer = Keystone::new().layer();
    let user = async |headers: &[(&str, &str)]| username(&admitted(&layer, headers).await).map(str::to_owned);
    assert_eq!(user(&[("x-storage-token", "good")]).await.as_deref(), Some("alice"));
    let both = [("x-storage-token", "good"), ("x-auth-token", "plain")];
    assert_eq!(user(&both).await.as_deref(), Some("bob"));
}

#[tokio::test(start_paused = true)]
async fn bearer_tokens_must_be_turned_on() {
    let keystone = Keystone::new();
    let bearer = [("authorization", "Bearer good")];
    assert_unauthorized(&rejected(&keystone.layer(), &bearer).await);
    let layer = keystone.layer().bearer_tokens();
    assert_eq!(username(&admitted(&layer, &bearer).await), Some("alice"));
    let both = [("authorization", "Bearer plain"), ("x-auth-token", "good")];
    assert_eq!(username(&admitted(&layer, &both).await), Some("bob"));
    for malformed in ["Bearer", "Bearer ", "bearer good", "Bearer good,plain"] {
        assert_unauthorized(
            &rejected(&layer, &[("authorization", malformed), ("x-auth-token", "good")]).await,
        );
    }
    let basic = [("authorization", "Basic good"), ("x-auth-token", "good")];
    assert_eq!(username(&admitted(&layer, &basic).await), Some("alice"));
    assert_unauthorized(&rejected(&layer, &basic[..1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_needs_its_certificate_on_every_way_in() {
    let keystone = Keystone::new();
    // The SHA-256 of "certificate".
    let credential = json!({"x5t#S256": "A9Zt0Ig1wco_EozOrNHzGslBYwlrIPRFroQoW8CDLXI"});
    keystone.add("bound", Answer::Token(with(user("alice", &["service"]), "oauth2_credential", credential)));
    let layer = keystone.layer().bearer_tokens();
    let status = async |layer: &_, headers: &[(&str, &str)], certificate: Option<&[u8]>| {
        let mut request = get("/", headers);
        if let Some(der) = certificate {
            request.extensions_mut().insert(PeerCertificate::from_der(der));
        }
        send_request(layer, &App::new(), request).await.status().as_u16()
    };
    let good = Some(&b"certificate"[..]);
    for headers in [
        &[("x-auth-token", "bound")][..],
        &[("x-storage-token", "bound")],
        &[("authorization", "Bearer bound")],
        &[("x-auth-token", "good"), ("x-service-token", "bound")],
        &[("x-auth-token", "bound"), ("x-service-token", "service")],
    ] {
        assert_eq!(status(&layer, headers, good).await, 200, "{headers:?}");
        assert_eq!(status(&layer, headers, None).await, 401, "{headers:?}");
        assert_eq!(status(&layer, headers, Some(b"other")).await, 401, "{headers:?}");
    }
    let required = layer.require_certificate_bound_tokens();
    assert_eq!(status(&required, &[("x-auth-token", "bound")], good).await, 200);
    assert_eq!(status(&required, &[("x-auth-token", "good")], good).await, 401);
    assert_eq!(required.metrics().snapshot().rejections.certificate, 1 + 8);
    let forged =
        [("x-auth-token", "bound"), ("ssl-client-cert", "certificate"), ("x-ssl-client-cert", "certificate")];
    assert_eq!(status(&required, &forged, None).await, 401);
}
