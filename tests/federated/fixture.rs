//! The OpenID provider of the fixture, and the federated logins of its Keystone.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower_keystone::fixture::Cloud;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("op", "openid");
    cloud.oidc_provider().add_user("alice", "wonderland");
    cloud.oidc_provider().add_client("robot", "robot-secret");
    cloud.oidc_provider().add_public_client("cli");
    cloud
}

async fn send(cloud: &Cloud, request: http::request::Builder, body: impl Into<Bytes>) -> Response<Bytes> {
    cloud.transport().send(request.body(body.into()).unwrap()).await.unwrap()
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// Posts a form to the provider. `client` is the id and the secret for basic authentication.
async fn post(cloud: &Cloud, path: &str, client: Option<&str>, form: &str) -> Response<Bytes> {
    let url = format!("{}{path}", cloud.oidc_provider().issuer());
    let mut request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    if let Some(client) = client {
        request = request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(client)));
    }
    send(cloud, request, form.to_owned()).await
}

/// Requests tokens. Returns the status and the document of the response.
async fn token(cloud: &Cloud, client: Option<&str>, form: &str) -> (u16, Value) {
    let response = post(cloud, "/token", client, form).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), body(&response))
}

/// Requests tokens that the provider does not issue. Returns the status and the error.
async fn token_error(cloud: &Cloud, client: Option<&str>, form: &str) -> (u16, String) {
    let (status, document) = token(cloud, client, form).await;
    (status, document["error"].as_str().unwrap().to_owned())
}

async fn exchange(cloud: &Cloud, bearer: &str) -> Response<Bytes> {
    let url = cloud.keystone().auth_url() + "/OS-FEDERATION/identity_providers/op/protocols/openid/auth";
    send(cloud, Request::post(url).header("authorization", format!("Bearer {bearer}")), "").await
}

async fn rescope(cloud: &Cloud, unscoped: &str, project: &str) -> Response<Bytes> {
    let body = json!({"auth": {
        "identity": {"methods": ["token"], "token": {"id": unscoped}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}},
    }});
    let url = cloud.keystone().auth_url() + "/auth/tokens";
    send(cloud, Request::post(url).header("x-auth-token", unscoped), body.to_string()).await
}

fn subject_token(response: &Response<Bytes>) -> String {
    response.headers()["x-subject-token"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_discovery_document_has_the_urls_of_the_provider() {
    let cloud = cloud();
    let provider = cloud.oidc_provider();
    assert_eq!(provider.issuer(), "https://cloud.test/oidc");
    let document = body(&send(&cloud, Request::get(provider.discovery_endpoint()), "").await);
    assert_eq!(document["issuer"], provider.issuer());
    assert_eq!(document["token_endpoint"], "https://cloud.test/oidc/token");
    assert_eq!(document["device_authorization_endpoint"], "https://cloud.test/oidc/device/auth");
    assert_eq!(document["authorization_endpoint"], "https://cloud.test/oidc/auth");
    assert!(document["grant_types_supported"].as_array().unwrap().contains(&json!(DEVICE_CODE)));
    assert_eq!(cloud.requests_to("oidc"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_logs_in_and_its_unscoped_token_is_rescoped() {
    let cloud = cloud();
    let form = "scope=openid+profile&grant_type=client_credentials";
    let (status, document) = token(&cloud, Some("robot:robot-secret"), form).await;
    let bearer = document["access_token"].as_str().unwrap();
    let expected = json!({
        "access_token": bearer, "expires_in": 3600, "scope": "openid profile", "token_type": "Bearer",
    });
    assert_eq!((status, &document), (200, &expected));

    let response = exchange(&cloud, bearer).await;
    assert_eq!(response.status(), 201);
    let unscoped = body(&response);
    let user = json!({
        "id": "user-op-robot",
        "name": "robot",
        "domain": {"id": "domain-op", "name": "op"},
        "OS-FEDERATION": {
            "groups": [{"id": "group-op"}],
            "identity_provider": {"id": "op"},
            "protocol": {"id": "openid"},
        },
    });
    assert_eq!(unscoped["token"]["user"], user);
    assert_eq!(unscoped["token"]["methods"], json!(["openid"]));
    for member in ["roles", "catalog", "project"] {
        assert_eq!(unscoped["token"].get(member), None, "{member}");
    }

    tokio::time::advance(Duration::from_secs(60)).await;
    let response = rescope(&cloud, &subject_token(&response), "demo").await;
    assert_eq!(response.status(), 201);
    let scoped = body(&response);
    assert_eq!(scoped["token"]["user"], user);
    assert_eq!(scoped["token"]["methods"], json!(["openid", "token"]));
    assert_eq!(scoped["token"]["project"]["name"], "demo");
    assert_eq!(scoped["token"]["roles"][0]["name"], "member");
    assert_eq!(scoped["token"]["expires_at"], unscoped["token"]["expires_at"]);
    assert_ne!(scoped["token"]["issued_at"], unscoped["token"]["issued_at"]);
    assert_eq!(cloud.keystone().logins(), 2);
}

#[tokio::test]
async fn a_wrong_secret_or_password_is_an_error_of_rfc_6749() {
    let cloud = cloud();
    cloud.oidc_provider().add_client("a+b%c", "s/1 2");
    let (robot, grant) = (Some("robot:robot-secret"), "grant_type=client_credentials");
    for (client, form, expected) in [
        (Some("robot:no"), grant, (401, "invalid_client")),
        (Some("nobody:no"), grant, (401, "invalid_client")),
        (Some("cli:"), grant, (401, "invalid_client")),
        (None, &*format!("{grant}&client_id=robot"), (401, "invalid_client")),
        (None, &format!("{grant}&client_id=cli&client_secret=x"), (401, "invalid_client")),
        (None, &format!("{grant}&client_id=cli"), (400, "unauthorized_client")),
        (None, grant, (400, "invalid_request")),
        (Some("robot"), grant, (400, "invalid_request")),
        (Some("a+b%c:s/1 2"), grant, (400, "invalid_request")),
        (robot, &format!("{grant}&client_secret=robot-secret"), (400, "invalid_request")),
        (robot, &format!("{grant}&client_id=cli"), (400, "invalid_request")),
        (robot, &format!("{grant}&{grant}"), (400, "invalid_request")),
        (robot, "scope=openid", (400, "invalid_request")),
        (robot, "grant_type=magic", (400, "unsupported_grant_type")),
        (robot, "grant_type=password&username=alice&password=no", (400, "invalid_grant")),
        (robot, "grant_type=password&username=bob&password=wonderland", (400, "invalid_grant")),
        (robot, "grant_type=password&username=alice", (400, "invalid_request")),
    ] {
        let (status, error) = token_error(&cloud, client, form).await;
        assert_eq!((status, &*error), expected, "{client:?} {form}");
    }
    let response = post(&cloud, "/token", Some("robot:no"), grant).await;
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.starts_with("Basic realm=\"https://cloud.test/oidc\", error=\"invalid_client\""),
        "{challenge}"
    );

    for (client, form) in [
        (Some("a%2Bb%25c:s%2F1+2"), grant),
        (None, "grant_type=client_credentials&client_id=a%2Bb%25c&client_secret=s%2F1+2"),
        (Some("robot:robot-secret"), "grant_type=client_credentials&client_id=robot"),
        (robot, "grant_type=password&username=alice&password=wonderland"),
        (None, "grant_type=password&username=alice&password=wonderland&client_id=cli"),
    ] {
        assert_eq!(token(&cloud, client, form).await.0, 200, "{client:?} {form}");
    }
}

async fn start_device_login(cloud: &Cloud) -> (String, String) {
    let response = post(cloud, "/device/auth", None, "client_id=cli&scope=openid+offline_access").await;
    let document = body(&response);
    let code = document["user_code"].as_str().unwrap();
    assert_eq!(document["verification_uri"], "https://cloud.test/oidc/device");
    assert_eq!(
        document["verification_uri_complete"],
        format!("https://cloud.test/oidc/device?user_code={code}")
    );
    assert_eq!((&document["expires_in"], &document["interval"]), (&json!(600), &json!(5)));
    let poll = format!(
        "client_id=cli&grant_type={DEVICE_CODE}&device_code={}",
        document["device_code"].as_str().unwrap()
    );
    (code.to_owned(), poll)
}

#[tokio::test(start_paused = true)]
async fn a_person_approves_a_device_login_or_denies_it() {
    let cloud = cloud();
    let [(approved, approved_poll), (denied, denied_poll), (_, expired_poll)] = [
        start_device_login(&cloud).await,
        start_device_login(&cloud).await,
        start_device_login(&cloud).await,
    ];
    for poll in [&approved_poll, &denied_poll] {
        assert_eq!(token_error(&cloud, None, poll).await, (400, "authorization_pending".to_owned()));
    }
    cloud.oidc_provider().approve(&approved, "alice");
    cloud.oidc_provider().deny(&denied);
    tokio::time::advance(Duration::from_secs(5)).await;

    let (status, document) = token(&cloud, None, &approved_poll).await;
    assert_eq!((status, &document["scope"]), (200, &json!("openid offline_access")));
    assert!(document["id_token"].is_string() && document["refresh_token"].is_string(), "{document}");
    let unscoped = exchange(&cloud, document["access_token"].as_str().unwrap()).await;
    assert_eq!(body(&unscoped)["token"]["user"]["name"], "alice");
    assert_eq!(token_error(&cloud, None, &approved_poll).await, (400, "invalid_grant".to_owned()));

    assert_eq!(token_error(&cloud, None, &denied_poll).await, (400, "access_denied".to_owned()));
    tokio::time::advance(Duration::from_secs(595)).await;
    assert_eq!(token_error(&cloud, None, &expired_poll).await, (400, "expired_token".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_early_poll_slows_down_all_later_ones() {
    let cloud = cloud();
    let (code, poll) = start_device_login(&cloud).await;
    let error = async |seconds| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        token_error(&cloud, None, &poll).await.1
    };
    assert_eq!(error(0).await, "authorization_pending");
    assert_eq!(error(5).await, "authorization_pending");
    assert_eq!(error(4).await, "slow_down");
    assert_eq!(error(9).await, "slow_down");
    assert_eq!(error(15).await, "authorization_pending");
    cloud.oidc_provider().approve(&code, "alice");
    assert_eq!(error(14).await, "slow_down");
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(token(&cloud, None, &poll).await.0, 200);
}

#[tokio::test]
async fn a_device_code_is_for_its_client_and_its_verifier() {
    let cloud = cloud();
    let (code, poll) = start_device_login(&cloud).await;
    cloud.oidc_provider().approve(&code, "alice");
    let (status, error) = token_error(&cloud, None, &format!("{poll}&code_verifier=v")).await;
    assert_eq!((status, &*error), (400, "invalid_grant"));
    let poll_of_robot = poll.replace("client_id=cli&", "");
    let (_, error) = token_error(&cloud, Some("robot:robot-secret"), &poll_of_robot).await;
    assert_eq!(error, "invalid_grant");
    assert_eq!(token(&cloud, None, &poll).await.0, 200);

    // The example of RFC 7636, appendix B.
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let form = format!("client_id=cli&scope=openid&code_challenge_method=S256&code_challenge={challenge}");
    let document = body(&post(&cloud, "/device/auth", None, &form).await);
    cloud.oidc_provider().approve(document["user_code"].as_str().unwrap(), "alice");
    let device_code = document["device_code"].as_str().unwrap();
    let poll = format!("client_id=cli&grant_type={DEVICE_CODE}&device_code={device_code}");
    for (verifier, status) in
        [("", 400), ("&code_verifier=other", 400), (&*format!("&code_verifier={verifier}"), 200)]
    {
        assert_eq!(token(&cloud, None, &format!("{poll}{verifier}")).await.0, status, "{verifier}");
    }
    let plain = form.replace("S256", "plain");
    assert_eq!(body(&post(&cloud, "/device/auth", None, &plain).await)["error"], "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_bearer_that_is_not_valid_is_rejected_before_keystone() {
    let cloud = cloud();
    let provider = cloud.oidc_provider();
    let [expired, revoked] = [(); 2].map(|()| provider.issue_access_token("alice").unwrap());
    assert_eq!(exchange(&cloud, &revoked).await.status(), 201);
    provider.revoke(&revoked);
    provider.set_access_token_lifetime(Duration::from_secs(7200));
    let valid = provider.issue_access_token("alice").unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    for bearer in [&*expired, &revoked, "fixture-access-token-01", "nonsense", ""] {
        let response = exchange(&cloud, bearer).await;
        assert_eq!(response.status(), 401, "{bearer}");
        assert_eq!(response.headers()["content-type"], "text/html");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(exchange(&cloud, &valid).await.status(), 201);
    assert_eq!(provider.issue_access_token("nobody"), None);
}

#[tokio::test]
async fn an_identity_provider_and_its_protocol_must_be_registered() {
    let cloud = cloud();
    let bearer = cloud.oidc_provider().issue_access_token("alice").unwrap();
    for (path, status, message) in [
        ("nobody/protocols/openid", 404, "Could not find Identity Provider: nobody."),
        ("op/protocols/nothing", 401, "Attempted to authenticate with an unsupported method."),
    ] {
        let url = format!("{}/OS-FEDERATION/identity_providers/{path}/auth", cloud.keystone().auth_url());
        let response =
            send(&cloud, Request::get(url).header("authorization", format!("bearer {bearer}")), "").await;
        assert_eq!(response.status(), status);
        assert_eq!(body(&response)["error"]["message"], message);
    }
    let url = cloud.keystone().auth_url() + "/OS-FEDERATION/identity_providers/op/protocols/openid/auth";
    let response = send(&cloud, Request::get(url), "").await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_request\""), "{challenge}");
}

#[tokio::test(start_paused = true)]
async fn a_rescope_needs_a_role_and_a_valid_unscoped_token() {
    let cloud = cloud().project("other").role(("op", "alice"), "demo", "reader");
    let bearer = cloud.oidc_provider().issue_access_token("alice").unwrap();
    let unscoped = subject_token(&exchange(&cloud, &bearer).await);
    for (project, status) in [("demo", 201), ("other", 401), ("unknown", 401)] {
        assert_eq!(rescope(&cloud, &unscoped, project).await.status(), status, "{project}");
    }
    cloud.keystone().revoke(&unscoped);
    assert_eq!(rescope(&cloud, &unscoped, "demo").await.status(), 404);

    cloud.keystone().disable_user(("op", "alice"));
    let response = exchange(&cloud, &bearer).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-type"], "application/json");
}
