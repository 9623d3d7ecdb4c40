//! An axum application that validates the tokens of its callers, with requirements and extractors.

use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::Path,
    routing::{get, post},
};
use http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;
use tower_keystone::{
    AccessInfo, AuthMethod, Caller, IdentityStatus, Rejection, RenewingPlugin, RequireLayer, Scope, User,
    V3Credentials, ValidateTokenLayer, Validation,
    fixture::{Cloud, Fault},
};

/// A cloud with the service `inventory`, and these users:
/// - `alice` is a member of the projects `demo` and `other`,
/// - `auditor` is a reader of the project `demo`, and of the system,
/// - `root` is an administrator of the system and of the domain `Default`.
fn cloud() -> Cloud {
    Cloud::new([("inventory", "inventory")])
        .service_user("inventory", "hush")
        .project("demo")
        .project("other")
        .user("alice", "wonderland")
        .user("auditor", "pw")
        .role("auditor", "demo", "reader")
        .system_role("auditor", "reader")
        .user("root", "pw")
        .system_role("root", "admin")
        .domain_role("root", "Default", "admin")
}

fn layer(cloud: &Cloud) -> ValidateTokenLayer {
    let account = User::new().username("inventory").user_domain_name("Default");
    let credentials = V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(account, "hush"))
        .scope(Scope::new().project_name("service").project_domain_name("Default"));
    ValidateTokenLayer::new(RenewingPlugin::new(credentials, cloud.transport()), cloud.transport())
        .www_authenticate_uri("https://keystone.example.com/v3".parse().unwrap())
        .service_type("inventory")
}

async fn whoami(caller: Caller) -> String {
    caller.access_info().username().unwrap_or_default().to_owned()
}

async fn greet(caller: Option<Caller>) -> String {
    caller.map_or_else(|| "nobody".to_owned(), |caller| caller.access_info().username().unwrap().to_owned())
}

async fn status(validation: Validation) -> String {
    format!("{:?}", validation.status())
}

async fn quota(caller: Caller, Path(project_id): Path<String>) -> Result<&'static str, Rejection> {
    caller.require_project(&project_id)?;
    Ok("10")
}

async fn create(Json(_): Json<Vec<u8>>) -> StatusCode {
    StatusCode::CREATED
}

fn router() -> Router {
    let routes = Router::new()
        .route("/whoami", get(whoami))
        .route("/greet", get(greet))
        .route("/status", get(status))
        .route("/quota/{project_id}", get(quota))
        .route("/items", post(create).route_layer(RequireLayer::any_role(["member"])))
        .route("/reports", get(whoami).route_layer(RequireLayer::any_role(["reader", "member"])))
        .route(
            "/hosts",
            get(whoami).route_layer(RequireLayer::system().and(RequireLayer::any_role(["admin"]))),
        )
        .route("/domain", get(whoami).route_layer(RequireLayer::domain()))
        .route(
            "/projects/{id}",
            get(whoami).route_layer(RequireLayer::project_in_path("/api/v1/projects/{id}")),
        );
    Router::new().nest("/api/v1", routes)
}

fn get_with(token: &AccessInfo, path: &str) -> Request<Body> {
    let token = token.auth_token().unwrap();
    Request::get(path).header("X-Auth-Token", token).body(Body::empty()).unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> (u16, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(
        challenge,
        (status == 401).then(|| "Keystone uri=\"https://keystone.example.com/v3\"".to_owned())
    );
    assert_eq!(response.headers().contains_key("retry-after"), status == 503);
    let is_rejected = response.extensions().get::<Rejection>().is_some();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    if is_rejected {
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["error"]["code"], status);
    }
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn roles_and_scopes_are_those_that_keystone_confirms() {
    let cloud = cloud();
    let router = router().layer(layer(&cloud));
    let keystone = cloud.keystone();
    let alice = keystone.issue("alice", Some("demo")).unwrap();
    let auditor = keystone.issue("auditor", Some("demo")).unwrap();
    let system_reader = keystone.issue_for_system("auditor").unwrap();
    let root = keystone.issue_for_system("root").unwrap();
    let domain_root = keystone.issue_for_domain("root", "Default").unwrap();
    let unscoped = keystone.issue("alice", None).unwrap();
    let demo = format!("/api/v1/projects/{}", alice.project_id().unwrap());

    for (path, allowed) in [
        ("/api/v1/whoami", [true; 6]),
        ("/api/v1/reports", [true, true, true, false, false, false]),
        ("/api/v1/hosts", [false, false, false, true, false, false]),
        ("/api/v1/domain", [false, false, false, false, true, false]),
        (&*demo, [true, true, false, false, false, false]),
    ] {
        for (token, allowed) in
            [&alice, &auditor, &system_reader, &root, &domain_root, &unscoped].into_iter().zip(allowed)
        {
            let (status, body) = send(&router, get_with(token, path)).await;
            assert_eq!(status, if allowed { 200 } else { 403 }, "{path} {token:?}");
            assert!(!allowed || body == token.username().unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_project_of_the_token_must_be_that_in_the_path() {
    let cloud = cloud();
    let router = router().layer(layer(&cloud));
    let demo = cloud.keystone().issue("alice", Some("demo")).unwrap();
    let other = cloud.keystone().issue("alice", Some("other")).unwrap();
    for prefix in ["/api/v1/projects", "/api/v1/quota"] {
        let path = format!("{prefix}/{}", demo.project_id().unwrap());
        assert_eq!(send(&router, get_with(&demo, &path)).await.0, 200);
        assert_eq!(send(&router, get_with(&other, &path)).await.0, 403);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_role_is_found_before_the_body_is_read() {
    let cloud = cloud();
    let router = router().layer(layer(&cloud));
    for (user, body, expected) in [("alice", "[1]", 201), ("alice", "{}", 422), ("auditor", "{}", 403)] {
        let token = cloud.keystone().issue(user, Some("demo")).unwrap();
        let request = Request::post("/api/v1/items")
            .header("X-Auth-Token", token.auth_token().unwrap())
            .header("Content-Type", "application/json");
        assert_eq!(send(&router, request.body(Body::from(body)).unwrap()).await.0, expected, "{user} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_rules_apply_to_the_path_that_the_client_sent() {
    let cloud = cloud()
        .application_credential("sent", "s", "alice", "demo")
        .access_rule("sent", "inventory", "GET", "/api/*/whoami")
        .application_credential("nested", "s", "alice", "demo")
        .access_rule("nested", "inventory", "GET", "/whoami")
        .application_credential("elsewhere", "s", "alice", "demo")
        .access_rule("elsewhere", "compute", "GET", "**");
    let router = router().layer(layer(&cloud));
    for (credential, expected) in [("sent", 200), ("nested", 401), ("elsewhere", 401)] {
        let token = cloud.keystone().issue_with_application_credential(credential).unwrap();
        assert_eq!(send(&router, get_with(&token, "/api/v1/whoami")).await.0, expected, "{credential}");
        // The rules are checked for each request, although the token is cached.
        assert_eq!(send(&router, get_with(&token, "/api/v1/reports")).await.0, 401, "{credential}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_may_send_what_the_rules_of_its_user_do_not_list() {
    let cloud = cloud().application_credential("ci", "s", "alice", "demo").access_rule(
        "ci",
        "inventory",
        "GET",
        "/nothing",
    );
    let token = cloud.keystone().issue_with_application_credential("ci").unwrap();
    let service = cloud.keystone().issue("inventory", Some("service")).unwrap();
    let member = cloud.keystone().issue("alice", Some("demo")).unwrap();
    let with_service_token = |service: &AccessInfo| {
        let mut request = get_with(&token, "/api/v1/whoami");
        request.headers_mut().insert("x-service-token", service.auth_token().unwrap().parse().unwrap());
        request
    };
    let router_with = |layer: ValidateTokenLayer| router().layer(layer);
    for layer in [layer(&cloud), layer(&cloud).service_token_roles_required(false)] {
        let router = router_with(layer);
        assert_eq!(send(&router, with_service_token(&service)).await.0, 200);
        assert_eq!(send(&router, with_service_token(&member)).await.0, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn in_optional_mode_the_extractors_decide() {
    let cloud = cloud();
    let router = router().layer(layer(&cloud).delay_auth_decision());
    let alice = cloud.keystone().issue("alice", Some("demo")).unwrap();
    let request = |token: Option<&str>, path: &str| {
        let request = Request::get(format!("/api/v1/{path}"));
        let request = token.into_iter().fold(request, |request, token| request.header("X-Auth-Token", token));
        request.body(Body::empty()).unwrap()
    };
    let ok = |text: &str| (200, text.to_owned());
    for (token, name, state, optional, required) in [
        (alice.auth_token(), "alice", IdentityStatus::Confirmed, 200, 200),
        (None, "nobody", IdentityStatus::Absent, 200, 401),
        (Some("unknown"), "", IdentityStatus::Invalid, 401, 401),
    ] {
        assert_eq!(send(&router, request(token, "status")).await, ok(&format!("{state:?}")));
        let greeted = send(&router, request(token, "greet")).await;
        assert_eq!(greeted.0, optional);
        assert!(optional != 200 || greeted == ok(name));
        assert_eq!(send(&router, request(token, "whoami")).await.0, required);
        assert_eq!(send(&router, request(token, "reports")).await.0, required);
    }

    cloud.fail_for("identity", Duration::from_secs(60), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    for (path, expected) in [("status", 200), ("greet", 503), ("whoami", 503), ("reports", 503)] {
        assert_eq!(send(&router, request(Some("other"), path)).await.0, expected, "{path}");
    }
    assert_eq!(send(&router, request(Some("another"), "status")).await, ok("Unavailable"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(send(&router, request(alice.auth_token(), "whoami")).await, ok("alice"));
}

#[tokio::test(start_paused = true)]
async fn a_requirement_outside_of_the_validation_is_an_error_of_the_application() {
    let cloud = cloud();
    let alice = cloud.keystone().issue("alice", Some("demo")).unwrap();
    let outside = router().layer(layer(&cloud)).layer(RequireLayer::any_role(["member"]));
    assert_eq!(send(&outside, get_with(&alice, "/api/v1/whoami")).await.0, 500);
    let inside = router().layer(RequireLayer::any_role(["member"])).layer(layer(&cloud));
    assert_eq!(send(&inside, get_with(&alice, "/api/v1/whoami")).await.0, 200);
}
