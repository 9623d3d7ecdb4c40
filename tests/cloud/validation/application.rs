//! The application of the tests, behind our layer.

use axum::{Json, Router, extract};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_keystone::{AccessInfo, IdentityStatus, ValidateTokenLayer, Validation};

use crate::support::{Client, body_of};

/// A client sends this value in identity headers that it forges.
pub(super) const FORGED: &str = "forged";

/// Serves the application behind this layer on a free loopback port, until the runtime of the test ends.
pub(super) async fn serve(layer: ValidateTokenLayer) -> Uri {
    serve_router(Router::new().fallback(report).layer(layer)).await
}

/// Serves the application below this path, which its router removes from the path of a request before the layer.
pub(super) async fn serve_below(prefix: &str, layer: ValidateTokenLayer) -> Uri {
    serve_router(Router::new().nest(prefix, Router::new().fallback(report).layer(layer))).await
}

pub(super) async fn serve_router(router: Router) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}").parse().expect("a URL")
}

/// Sends a GET request with this token, and returns the status of the response.
pub(super) async fn ask(client: &Client, application: &Uri, path: &str, token: &str) -> StatusCode {
    let uri = format!("{}{path}", application.to_string().trim_end_matches('/'));
    let request = Request::get(uri).header("x-auth-token", token).body(body_of("")).unwrap();
    client.clone().oneshot(request).await.unwrap().status()
}

/// Responds with what the layer says about the request, as `keystonemiddleware_app.py` does.
async fn report(request: extract::Request) -> Json<Value> {
    let validation = Validation::from_extensions(request.extensions()).expect("the layer has seen it");
    let service_status = validation.service_status();
    let mut report = json!({
        "status": format!("{:?}", validation.status()),
        "service_status": (service_status != IdentityStatus::Absent).then(|| format!("{service_status:?}")),
        "user": validation.caller().ok().map(|caller| identity(caller.access_info())),
        "service": validation.service().map(identity),
        "forged": forged(request.headers()),
    });
    if request.uri().path() == "/headers" {
        report["headers"] = identity_headers(request.headers());
    }
    Json(report)
}

fn identity_headers(headers: &HeaderMap) -> Value {
    let headers = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().to_uppercase().replace('-', "_");
        let is_identity =
            (name.starts_with("X_") || name.starts_with("OPENSTACK_")) && !name.ends_with("_TOKEN");
        let value = value.to_str().expect("the names are ASCII");
        let value = match &*name {
            "X_SERVICE_CATALOG" => serde_json::from_str(value).expect("JSON"),
            _ => Value::from(value),
        };
        is_identity.then_some((name, value))
    });
    Value::Object(headers.collect())
}

fn identity(info: &AccessInfo) -> Value {
    json!({
        "user_id": info.user_id(),
        "user_name": info.username(),
        "user_domain_id": info.user_domain_id(),
        "project_id": info.project_id(),
        "project_name": info.project_name(),
        "domain_id": info.domain_id(),
        "roles": info.role_names().collect::<Vec<_>>(),
        "system": info.system_scoped().then_some("all"),
    })
}

fn forged(headers: &HeaderMap) -> Vec<&str> {
    let is_forged =
        |value: &HeaderValue| value.as_bytes().windows(FORGED.len()).any(|it| it == FORGED.as_bytes());
    headers.iter().filter(|(_, value)| is_forged(value)).map(|(name, _)| name.as_str()).collect()
}
