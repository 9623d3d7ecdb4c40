//! A service that calls another OpenStack service on behalf of its caller.
//!
//! ```sh
//! cargo run --example axum_service
//! ```
//!
//! The caller's token is validated at Keystone; the access info that comes of it goes into an
//! `AccessInfoPlugin`, and the request to nova is sent with the caller's own rights. The example starts
//! a cloud in memory and the service on loopback, calls the service a few times, and ends.

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{Request, StatusCode, Uri, request::Parts},
    routing::get,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, BoxError, EndpointFilter, Refusal, fixture::Cloud,
};

type Body = Full<Bytes>;

#[derive(Clone)]
struct App {
    client: Client<HttpConnector, Body>,
    auth_url: Uri,
}

/// Whoever sent the request, as far as Keystone confirms it.
struct Caller(AccessInfo);

impl FromRequestParts<App> for Caller {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let unavailable = |error: BoxError| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        let token =
            parts.headers.get("x-auth-token").ok_or((StatusCode::UNAUTHORIZED, "no token".to_owned()))?;
        // A service with a user of its own would send that one's token as X-Auth-Token.
        let request = Request::get(format!("{}/auth/tokens", app.auth_url))
            .header("x-auth-token", token)
            .header("x-subject-token", token)
            .body(Body::default())
            .map_err(|error| unavailable(error.into()))?;
        let response = app.client.request(request).await.map_err(|error| unavailable(error.into()))?;
        if !response.status().is_success() {
            return Err((StatusCode::UNAUTHORIZED, "Keystone does not know the token".to_owned()));
        }
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| unavailable(error.into()))?.to_bytes();
        let access_info = AccessInfo::from_response(&parts.headers, body);
        access_info.map(Self).map_err(|error| unavailable(error.into()))
    }
}

/// Asks nova for the caller's servers.
async fn my_servers(
    State(app): State<App>,
    Caller(caller): Caller,
) -> Result<Json<Value>, (StatusCode, String)> {
    let failed = |error: BoxError| (StatusCode::BAD_GATEWAY, error.to_string());
    let username = caller.username().map(str::to_owned);
    let nova = ServiceBuilder::new()
        .layer(
            AuthLayer::new(AccessInfoPlugin::new(caller).refuse_expired())
                .endpoint(EndpointFilter::new("compute")),
        )
        .service(app.client);

    let request = Request::get("/servers").body(Body::default()).map_err(|error| failed(error.into()))?;
    let response = nova.oneshot(request).await.map_err(failed)?;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        // The token became worthless in between: the caller has to get a new one.
        return Err((StatusCode::UNAUTHORIZED, refusal.to_string()));
    }
    let body = response.into_body().collect().await.map_err(|error| failed(error.into()))?.to_bytes();
    let nova: Value = serde_json::from_slice(&body).map_err(|error| failed(error.into()))?;
    Ok(Json(json!({"on_behalf_of": username, "nova": nova})))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let _served = cloud.serve().await?;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();

    let app = App { client: client.clone(), auth_url: cloud.keystone().auth_url().parse()? };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/my-servers", listener.local_addr()?);
    let router = Router::new().route("/my-servers", get(my_servers)).with_state(app);
    tokio::spawn(async move { axum::serve(listener, router).await });

    let alice = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is a user")?;
    let token = alice.auth_token().unwrap_or_default();
    for (case, token) in [("without a token", None), ("with alice's token", Some(token))] {
        println!("{case}: {}", ask(&client, &url, token).await?);
    }
    cloud.keystone().revoke(token);
    println!("with the token revoked: {}", ask(&client, &url, Some(token)).await?);
    Ok(())
}

async fn ask(
    client: &Client<HttpConnector, Body>,
    url: &str,
    token: Option<&str>,
) -> Result<String, BoxError> {
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header("x-auth-token", token);
    }
    let response = client.request(request.body(Body::default())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}
