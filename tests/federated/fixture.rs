//! The OpenID provider of the fixture, and the federated logins of its Keystone.

mod authorization;
mod device;
mod keystone;
mod logins;
mod provider;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower_keystone::fixture::Cloud;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

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
