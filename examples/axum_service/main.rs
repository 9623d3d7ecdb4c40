//! An axum service that validates the tokens of its callers, and calls nova on their behalf.
//!
//! ```sh
//! cargo run --example axum_service
//! ```
//!
//! This file is the service. Copy it, delete the line `mod demonstration;`, and change `main` as its comments say. It
//! needs the features `axum`, `config` and `rustls` of this crate, and `timeout` and `util` of tower. The file
//! `demonstration.rs` starts an in-memory cloud, calls the service, and ends the program.
//!
//! 1. `ValidateTokenLayer` asks Keystone about the token of the caller, with the token of the service's own account. It
//!    caches the result. A request without a valid token gets a 401.
//! 2. `RequireLayer` lets through only callers with one of two roles. Others get a 403.
//! 3. The handler sends a request to nova with the token of the caller, so that the caller's own roles apply there. The
//!    token of the service's account is added as `X-Service-Token`. All callers share one client.

mod demonstration;

use std::{future::IntoFuture, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keystone::{
    AuthLayer, BoxError, Caller, CloudConfig, EndpointFilter, ErrorContextLayer, RequireLayer, Transport,
    ValidateTokenLayer, transport::HttpsBody,
};

type Nova = BoxCloneSyncService<Request<Body>, Response<HttpsBody>, BoxError>;

/// Returns the service. `config` is the account of the service and the cloud that it belongs to.
fn app(config: &CloudConfig) -> Result<Router, BoxError> {
    let client = config.https().build()?;
    let transport = Transport::new(client.clone());
    let account = config.plugin(transport.clone());
    let nova = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .timeout(Duration::from_secs(40)) // longer than the 30 s that a request may wait for the account's token
        .layer(AuthLayer::new(account.clone()).endpoint(EndpointFilter::new("compute")).send_service_token())
        .service(client.with_body());
    let validate = ValidateTokenLayer::new(account, transport)
        .www_authenticate_uri("https://keystone.example.com/v3".parse()?) // the public URL of Keystone
        .service_type("inventory"); // for the access rules of application credentials
    Ok(Router::new()
        .route("/servers", get(servers).route_layer(RequireLayer::any_role(["member", "reader"])))
        .layer(validate)
        .route("/healthcheck", get(|| async { "OK" })) // is added after the layer, so it needs no token
        .with_state(BoxCloneSyncService::new(nova)))
}

/// Handles `GET /servers`: responds with the servers of the caller, or with the error of nova.
async fn servers(caller: Caller, State(nova): State<Nova>) -> Response {
    match list_servers(&caller, nova).await {
        Ok(servers) => {
            let content_type = [(CONTENT_TYPE, "application/json")];
            (servers.status(), content_type, Body::new(servers.into_body())).into_response()
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

async fn list_servers(caller: &Caller, nova: Nova) -> Result<Response<HttpsBody>, BoxError> {
    nova.oneshot(Request::get("/servers").extension(caller.identity()).body(Body::empty())?).await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = demonstration::InMemoryCloud::start().await?;
    let app = app(&cloud.config()?)?; // in your program: app(&CloudConfig::from_env()?)?
    let listener = TcpListener::bind("127.0.0.1:0").await?; // in your program: a fixed port
    let url = format!("http://{}", listener.local_addr()?);
    let service = axum::serve(listener, app).into_future();
    // In your program: Ok(service.await?)
    tokio::select! { ended = service => Ok(ended?), called = cloud.call(&url) => called }
}
