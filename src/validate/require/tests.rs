use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    AccessInfo, Caller, IdentityStatus, Rejection, SentUri, Validation,
    validate::{Respond, token_validator::ValidatedToken},
};

type Inner = fn(Request<()>) -> Ready<Result<Response<Bytes>, Infallible>>;

/// An inner service whose response has status 204.
fn inner(_: Request<()>) -> Ready<Result<Response<Bytes>, Infallible>> {
    ready(Ok(Response::builder().status(204).body(Bytes::new()).unwrap()))
}

fn caller(roles: &[&str], scope: Value) -> Validation {
    let mut token = json!({
        "user": {"id": "u", "name": "alice", "domain": {"id": "d1"}},
        "expires_at": "2026-01-15T13:00:00Z",
        "roles": roles.iter().map(|name| json!({"id": "r", "name": name})).collect::<Vec<_>>(),
    });
    token.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    let access_info = AccessInfo::new("t", json!({"token": token}).to_string()).unwrap();
    Validation::for_test(Ok(Caller::new(ValidatedToken::for_test(access_info), None)))
}

fn project() -> Value {
    json!({"project": {"id": "p1", "name": "demo"}})
}

async fn send<F>(layer: &RequireLayer<F>, path: &str, validation: Option<Validation>) -> Response<Bytes>
where
    F: Respond<Bytes> + Clone,
{
    let mut request = Request::get(path).body(()).unwrap();
    if let Some(validation) = validation {
        request.extensions_mut().insert(validation);
    }
    layer.layer(service_fn(inner as Inner)).oneshot(request).await.unwrap()
}

async fn is_let_through<F>(layer: &RequireLayer<F>, path: &str, validation: Validation) -> bool
where
    F: Respond<Bytes> + Clone,
{
    let response = send(layer, path, Some(validation)).await;
    match response.status() {
        StatusCode::NO_CONTENT => true,
        StatusCode::FORBIDDEN => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn any_role_needs_one_of_the_roles() {
    let layer = RequireLayer::any_role(["member", "reader"]);
    for (roles, expected) in [
        (&["reader"][..], true),
        (&["admin", "member"], true),
        (&["Member", "READER", "member ", "mem"], false),
        (&["admin"], false),
        (&["member,reader"], false),
        (&[], false),
    ] {
        assert_eq!(is_let_through(&layer, "/", caller(roles, project())).await, expected, "{roles:?}");
    }
    let none: [&str; 0] = [];
    assert!(!is_let_through(&RequireLayer::any_role(none), "/", caller(&["admin"], project())).await);
}

#[tokio::test]
async fn all_roles_needs_each_of_the_roles() {
    let layer = RequireLayer::all_roles(["member", "reader"]);
    assert!(is_let_through(&layer, "/", caller(&["reader", "admin", "member"], project())).await);
    assert!(!is_let_through(&layer, "/", caller(&["reader"], project())).await);
    assert!(!is_let_through(&layer, "/", caller(&["member", "Reader"], project())).await);
    let none: [&str; 0] = [];
    assert!(is_let_through(&RequireLayer::all_roles(none), "/", caller(&[], json!({}))).await);
}

#[tokio::test]
async fn each_scope_is_told_from_the_others() {
    let scopes =
        [project(), json!({"domain": {"id": "d", "name": "D"}}), json!({"system": {"all": true}}), json!({})];
    let layers = [RequireLayer::project(), RequireLayer::domain(), RequireLayer::system()];
    for (required, layer) in layers.iter().enumerate() {
        for (scope, document) in scopes.iter().enumerate() {
            let is_let_through = is_let_through(layer, "/", caller(&["admin"], document.clone())).await;
            assert_eq!(is_let_through, required == scope, "{layer:?} {document}");
        }
    }
    for malformed in
        [json!({"project": {"id": ""}}), json!({"project": {"name": "p1"}}), json!({"system": {}})]
    {
        for layer in &layers {
            assert!(
                !is_let_through(layer, "/", caller(&["admin"], malformed.clone())).await,
                "{layer:?} {malformed}"
            );
        }
    }
}

#[tokio::test]
async fn the_project_must_be_that_in_the_sent_path() {
    let layer = RequireLayer::project_in_path("/v1/{project_id}");
    assert!(is_let_through(&layer, "/v1/p1/servers?project=p2", caller(&[], project())).await);
    for path in ["/v1/p2/servers?/v1/p1", "/v1", "/p1"] {
        assert!(!is_let_through(&layer, path, caller(&["admin"], project())).await, "{path}");
    }
    for scope in [json!({"domain": {"id": "p1"}}), json!({}), json!({"project": {"name": "p1"}})] {
        assert!(!is_let_through(&layer, "/v1/p1", caller(&["admin"], scope)).await);
    }
    assert!(!is_let_through(&layer, "/v1/", caller(&[], json!({"project": {"id": ""}}))).await);
}

#[tokio::test]
async fn the_sent_path_counts_also_below_a_router() {
    let layer = RequireLayer::project_in_path("/v1/{project_id}");
    let status = async |path: &str, sent: &str| {
        let mut request = Request::get(path).extension(SentUri(sent.parse().unwrap())).body(()).unwrap();
        request.extensions_mut().insert(caller(&[], project()));
        layer.layer(service_fn(inner as Inner)).oneshot(request).await.unwrap().status()
    };
    assert_eq!(status("/servers", "/v1/p1/servers").await, 204);
    assert_eq!(status("/v1/p1", "/v1/p2/v1/p1").await, 403);
}

#[tokio::test]
async fn a_function_decides_about_the_caller() {
    let layer = RequireLayer::that(|caller| caller.access_info().user_domain_id() == Some("d1"));
    assert!(is_let_through(&layer, "/", caller(&[], json!({}))).await);
    let layer = RequireLayer::that(|_| false);
    assert!(!is_let_through(&layer, "/", caller(&["admin"], project())).await);
}

#[tokio::test]
async fn all_requirements_must_be_satisfied() {
    let combined =
        RequireLayer::project().and(RequireLayer::any_role(["a"]).and(RequireLayer::any_role(["b"])));
    for (roles, scope, expected) in [
        (&["a", "b"][..], project(), true),
        (&["a"], project(), false),
        (&["b"], project(), false),
        (&["a", "b"], json!({}), false),
    ] {
        assert_eq!(is_let_through(&combined, "/", caller(roles, scope)).await, expected, "{roles:?}");
    }
}

#[tokio::test]
async fn a_request_without_a_caller_is_rejected_as_the_layer_outside_says() {
    let layer = RequireLayer::that(|_| panic!("there is no caller"));
    let challenge = HeaderValue::from_static("Keystone uri=\"https://k\"");
    let unauthorized = Rejection::unauthorized(challenge.clone());
    for status in [IdentityStatus::Absent, IdentityStatus::Invalid] {
        let validation = Validation::for_test(Err((status, unauthorized.clone())));
        let response = send(&layer, "/", Some(validation)).await;
        assert_eq!(
            (response.status(), response.headers().get("www-authenticate")),
            (StatusCode::UNAUTHORIZED, Some(&challenge))
        );
    }
    let unavailable = Rejection::unavailable(Duration::from_secs(7));
    let validation = Validation::for_test(Err((IdentityStatus::Unavailable, unavailable)));
    let response = send(&layer, "/", Some(validation)).await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"7".parse().unwrap())
    );

    assert_eq!(send(&layer, "/", None).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_403_does_not_say_what_is_required() {
    let response =
        send(&RequireLayer::any_role(["auditor"]), "/", Some(caller(&["member"], project()))).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key("www-authenticate"));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.extensions().get(), Some(&Rejection::forbidden()));
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["error"]["code"], 403);
    assert!(!body.to_string().contains("auditor"), "{body}");
}

#[tokio::test]
async fn a_function_makes_the_body_but_not_the_status() {
    let layer = RequireLayer::system().respond_with(|_| Response::new(Bytes::from_static(b"own")));
    let response = send(&layer, "/", Some(caller(&[], project()))).await;
    assert_eq!((response.status(), &response.body()[..]), (StatusCode::FORBIDDEN, &b"own"[..]));
}

#[tokio::test]
async fn a_raw_response_is_sent_as_it_is() {
    let layer = RequireLayer::system().respond_with_raw(|_| Response::new(Bytes::from_static(b"own")));
    let response = send(&layer, "/", Some(caller(&[], project()))).await;
    assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"own"[..]));
    assert_eq!(response.extensions().get(), Some(&Rejection::forbidden()));
}

#[test]
fn a_pattern_without_a_project_is_refused() {
    let panic = std::panic::catch_unwind(|| RequireLayer::project_in_path("/v1/projects")).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(message, "a pattern such as `/v1/{project_id}` is needed, but this is `/v1/projects`");
}

#[test]
fn debug_shows_what_is_required() {
    let layer = RequireLayer::any_role(["a"])
        .and(RequireLayer::all_roles(["b", "c"]))
        .and(RequireLayer::project())
        .and(RequireLayer::domain())
        .and(RequireLayer::system())
        .and(RequireLayer::project_in_path("/v1/{id}"))
        .and(RequireLayer::that(|_| true));
    let expected = "[any of the roles [\"a\"], all of the roles [\"b\", \"c\"], a project as scope, a domain as scope, \
                    the system as scope, the project in the path /v1/{id}, a condition of the application]";
    assert_eq!(format!("{layer:?}"), format!("RequireLayer({expected})"));
    let service = layer.layer("inner");
    assert_eq!(
        format!("{service:?}"),
        format!("Require {{ requirements: {expected}, inner: \"inner\", .. }}")
    );

    fn is_clone_and_send<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}
    is_clone_and_send(&layer);
    is_clone_and_send(&service);
}

#[tokio::test]
async fn the_future_says_whether_the_request_was_rejected() {
    let mut service = RequireLayer::system().layer(service_fn(inner as Inner));
    let future = tower_service::Service::call(&mut service, Request::new(()));
    assert_eq!(format!("{future:?}"), "ResponseFuture(rejected)");
    let mut request = Request::new(());
    request.extensions_mut().insert(caller(&[], json!({"system": {"all": true}})));
    let future = tower_service::Service::call(&mut service, request);
    assert_eq!(format!("{future:?}"), "ResponseFuture(sent)");
}
