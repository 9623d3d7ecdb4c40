//! The OpenID provider of the fixture, and the federated logins of its Keystone.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_keystone::fixture::{Cloud, Fault};

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

    let form = format!("client_id=cli&scope=openid&code_challenge_method=S256&code_challenge={CHALLENGE}");
    let document = body(&post(&cloud, "/device/auth", None, &form).await);
    cloud.oidc_provider().approve(document["user_code"].as_str().unwrap(), "alice");
    let device_code = document["device_code"].as_str().unwrap();
    let poll = format!("client_id=cli&grant_type={DEVICE_CODE}&device_code={device_code}");
    for (verifier, status) in
        [("", 400), ("&code_verifier=other", 400), (&*format!("&code_verifier={VERIFIER}"), 200)]
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

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT_URI: &str = "http%3A%2F%2F127.0.0.1%3A48009%2Fcallback";

/// Opens the authorization URL in the browser. Returns the status and the query of the URL to which it is sent.
async fn open(cloud: &Cloud, query: &str) -> (u16, String) {
    let url = format!("{}/auth?{query}", cloud.oidc_provider().issuer());
    let response = send(cloud, Request::get(url), "").await;
    let location = response.headers().get("location").map(|location| location.to_str().unwrap());
    let redirected = location.and_then(|location| location.strip_prefix("http://127.0.0.1:48009/callback?"));
    (response.status().as_u16(), redirected.unwrap_or_default().to_owned())
}

/// Returns the code that the browser takes to the client.
async fn code(cloud: &Cloud) -> String {
    let query = format!(
        "client_id=cli&response_type=code&scope=openid&redirect_uri={REDIRECT_URI}&state=st%264te\
        &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let (status, redirected) = open(cloud, &query).await;
    let (code, rest) = redirected.split_once('&').unwrap();
    assert_eq!((status, rest), (303, "state=st%264te&iss=https%3A%2F%2Fcloud.test%2Foidc"));
    code.strip_prefix("code=").unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_browser_brings_a_code_that_is_valid_once() {
    let cloud = cloud();
    cloud.oidc_provider().sign_in("alice");
    let form = |code: &str| {
        format!(
            "redirect_uri={REDIRECT_URI}&code={code}&grant_type=authorization_code&client_id=cli\
            &code_verifier={VERIFIER}"
        )
    };
    let first = form(&code(&cloud).await);
    let (status, document) = token(&cloud, None, &first).await;
    assert_eq!(status, 200);
    let bearer = document["access_token"].as_str().unwrap();
    assert_eq!(body(&exchange(&cloud, bearer).await)["token"]["user"]["name"], "alice");
    assert_eq!(token_error(&cloud, None, &first).await, (400, "invalid_grant".to_owned()));
    assert_eq!(exchange(&cloud, bearer).await.status(), 401);

    for (from, to) in [(VERIFIER, "other"), ("48009", "48010"), ("&code_verifier", "&other")] {
        let wrong = form(&code(&cloud).await).replace(from, to);
        assert_eq!(token_error(&cloud, None, &wrong).await.1, "invalid_grant", "{to}");
    }
    let of_robot = form(&code(&cloud).await).replace("&client_id=cli", "");
    assert_eq!(token_error(&cloud, Some("robot:robot-secret"), &of_robot).await.1, "invalid_grant");
    let expired = form(&code(&cloud).await);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(token_error(&cloud, None, &expired).await.1, "invalid_grant");
}

#[tokio::test]
async fn the_browser_brings_an_error_or_stays_at_the_provider() {
    let cloud = cloud();
    let valid = format!("client_id=robot&response_type=code&redirect_uri={REDIRECT_URI}");
    let public = valid.replace("robot", "cli");
    let plain = format!("{valid}&code_challenge=x");
    for (query, error) in [
        (&valid, "access_denied"),
        (&valid.replace("=code", "=token"), "unsupported_response_type"),
        (&public, "invalid_request"),
        (&plain, "invalid_request"),
        (&format!("{plain}&code_challenge_method=plain"), "invalid_request"),
    ] {
        let (status, redirected) = open(&cloud, query).await;
        assert_eq!(status, 303, "{query}");
        assert!(redirected.starts_with(&format!("error={error}&error_description=")), "{redirected}");
    }
    cloud.oidc_provider().sign_in("alice");
    for (from, to, expected) in [
        ("robot", "robot", 303),
        ("robot", "nobody", 400),
        ("127.0.0.1", "example.com", 400),
        ("http%3A", "https%3A", 400),
        ("redirect_uri", "other", 400),
    ] {
        let (status, redirected) = open(&cloud, &valid.replace(from, to)).await;
        assert_eq!((status, redirected.starts_with("code=")), (expected, expected == 303), "{to}");
    }
    cloud.oidc_provider().sign_out();
    assert!(open(&cloud, &valid).await.1.starts_with("error=access_denied"));
}

/// Logs alice in. Returns her access token and her refresh token.
async fn offline_login(cloud: &Cloud) -> (String, String) {
    let form = "client_id=cli&grant_type=password&username=alice&password=wonderland&scope=offline_access";
    tokens(&token(cloud, None, form).await.1)
}

fn tokens(document: &Value) -> (String, String) {
    let [access_token, refresh_token] =
        ["access_token", "refresh_token"].map(|name| document[name].as_str().unwrap().to_owned());
    (access_token, refresh_token)
}

async fn refresh(cloud: &Cloud, refresh_token: &str) -> (u16, Value) {
    let form = format!("client_id=cli&grant_type=refresh_token&refresh_token={refresh_token}");
    token(cloud, None, &form).await
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_revokes_the_tokens_of_the_login() {
    let cloud = cloud();
    let (access_token, first) = offline_login(&cloud).await;
    let (of_other_login, other_login) = offline_login(&cloud).await;
    let (status, document) = refresh(&cloud, &first).await;
    assert_eq!(status, 200);
    let (newer_access_token, second) = tokens(&document);
    assert_ne!(first, second);
    for access_token in [&access_token, &newer_access_token] {
        assert_eq!(exchange(&cloud, access_token).await.status(), 201);
    }
    let stolen = format!("grant_type=refresh_token&refresh_token={second}");
    assert_eq!(token_error(&cloud, Some("robot:robot-secret"), &stolen).await.1, "invalid_grant");

    assert_eq!(refresh(&cloud, &first).await.1["error"], "invalid_grant");
    assert_eq!(refresh(&cloud, &second).await.1["error"], "invalid_grant");
    for access_token in [&access_token, &newer_access_token] {
        assert_eq!(exchange(&cloud, access_token).await.status(), 401);
    }
    assert_eq!(exchange(&cloud, &of_other_login).await.status(), 201);
    assert_eq!(refresh(&cloud, &other_login).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_expires_is_revoked_or_is_kept() {
    let cloud = cloud();
    let provider = cloud.oidc_provider();
    provider.set_refresh_token_lifetime(Duration::from_secs(60));
    let (_, expired) = offline_login(&cloud).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(refresh(&cloud, &expired).await.1["error"], "invalid_grant");

    let (access_token, revoked) = offline_login(&cloud).await;
    provider.revoke(&revoked);
    assert_eq!(refresh(&cloud, &revoked).await.1["error"], "invalid_grant");
    assert_eq!(exchange(&cloud, &access_token).await.status(), 401);

    provider.set_refresh_token_rotation(false);
    let (_, kept) = offline_login(&cloud).await;
    for _ in 0..2 {
        let (status, document) = refresh(&cloud, &kept).await;
        assert_eq!((status, document.get("refresh_token")), (200, None));
    }
}

#[tokio::test]
async fn web_single_sign_on_posts_a_token_to_a_trusted_dashboard_only() {
    let cloud = cloud();
    let dashboard = "http://localhost:9990/auth/websso/";
    cloud.keystone().add_trusted_dashboard(dashboard);
    let open = async |origin: &str| {
        let auth_url = cloud.keystone().auth_url();
        let path = "auth/OS-FEDERATION/identity_providers/op/protocols/openid/websso";
        send(&cloud, Request::get(format!("{auth_url}/{path}?origin={origin}")), "").await
    };
    assert_eq!(open(dashboard).await.status(), 401);
    cloud.oidc_provider().sign_in("alice");
    for origin in ["http://evil.example.test/", "http://localhost:9990/auth/websso/?state=x", ""] {
        let response = open(origin).await;
        assert_eq!(response.status(), 401, "{origin}");
        let message = format!("{origin} is not a trusted dashboard host");
        assert_eq!(body(&response)["error"]["message"], message);
    }
    for origin in [dashboard, "http%3A%2F%2Flocalhost%3A9990%2Fauth%2Fwebsso%2F"] {
        let response = open(origin).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/html".parse().unwrap())
        );
        let page = std::str::from_utf8(response.body()).unwrap();
        let (start, rest) = page.split_once("value=\"").unwrap();
        assert!(
            start.starts_with(&format!("<form id=\"sso\" action=\"{dashboard}\" method=\"post\">")),
            "{page}"
        );
        assert_eq!(rescope(&cloud, rest.split('"').next().unwrap(), "demo").await.status(), 201);
    }
    assert_eq!(cloud.keystone().logins(), 8);
}

#[tokio::test(start_paused = true)]
async fn the_provider_fails_as_the_services_do() {
    let cloud = cloud();
    let grant = "grant_type=client_credentials";
    cloud.fail_next("oidc", 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    cloud.fail_next("oidc", 1, Fault::latency(Duration::from_secs(30)));
    assert_eq!(post(&cloud, "/token", Some("robot:robot-secret"), grant).await.status(), 503);
    let start = tokio::time::Instant::now();
    assert_eq!(post(&cloud, "/token", Some("robot:robot-secret"), grant).await.status(), 200);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let received = cloud.received_requests("oidc");
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].path_and_query(), "/token");
    assert_eq!(received[0].headers()["authorization"], "redacted");
    assert!(!format!("{cloud:?} {:?} {received:?}", cloud.oidc_provider()).contains("secret"));
}

#[tokio::test]
async fn the_provider_is_no_service_of_the_catalog() {
    let cloud = cloud();
    let served = cloud.serve().await.unwrap();
    assert!(cloud.oidc_provider().issuer().starts_with("http://127.0.0.1:"));
    let bearer = cloud.oidc_provider().issue_access_token("robot").unwrap();
    let unscoped = subject_token(&exchange(&cloud, &bearer).await);
    let scoped = body(&rescope(&cloud, &unscoped, "demo").await);
    let types: Vec<_> =
        scoped["token"]["catalog"].as_array().unwrap().iter().map(|entry| &entry["type"]).collect();
    assert_eq!(types, ["identity", "compute"]);
    drop(served);
}

#[tokio::test]
async fn an_application_credential_is_a_client_of_oauth_2() {
    let cloud = cloud().user("bob", "builder").application_credential("a+b", "s%/ 1", "bob", "demo");
    let post = async |client: Option<&str>, form: &str| {
        let mut request = Request::post(cloud.keystone().auth_url() + "/OS-OAUTH2/token");
        if let Some(client) = client {
            request = request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(client)));
        }
        let response = send(&cloud, request, form.to_owned()).await;
        (response.status().as_u16(), body(&response))
    };
    let grant = "grant_type=client_credentials";
    for (client, form) in [
        (Some("a+b:s%/ 1"), grant),
        (None, "grant_type=client_credentials&client_id=a%2Bb&client_secret=s%25%2F+1"),
    ] {
        let (status, document) = post(client, form).await;
        let token = document["access_token"].as_str().unwrap();
        let expected = json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"});
        assert_eq!((status, &document), (200, &expected));
        assert!(cloud.keystone().validate(token));
    }
    for (client, form, expected) in [
        (Some("a+b:no"), grant, (401, "invalid_client")),
        (Some("a%2Bb:s%25%2F+1"), grant, (401, "invalid_client")),
        (None, grant, (401, "invalid_client")),
        (None, "grant_type=client_credentials&client_id=user-bob", (401, "invalid_client")),
        (Some("a+b:s%/ 1"), "grant_type=password", (400, "unsupported_grant_type")),
        (Some("a+b:s%/ 1"), "", (400, "invalid_request")),
    ] {
        let (status, document) = post(client, form).await;
        assert_eq!((status, document["error"].as_str().unwrap()), expected, "{client:?} {form}");
    }
    assert_eq!(cloud.keystone().logins(), 8);
}
