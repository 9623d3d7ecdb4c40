//! An axum service that validates the tokens of its callers, and calls nova on their behalf.
//!
//! ```sh
//! cargo run --example axum_service
//! ```
//!
//! The service has its own Keystone account.
//!
//! 1. It validates the token of the caller in a request to Keystone. That request carries the token of the service
//!    account, which `RenewingPlugin` obtains and renews.
//! 2. Keystone returns the document of that token (user, roles, service catalog), which is read into an `AccessInfo`.
//!    `AccessInfoPlugin` sends the request to nova with the token of the caller, so that the caller's own roles apply.
//!    `ServiceTokenAuthWrapper` adds the token of the service account.
//!
//! The example starts an in-memory cloud and the service, both on loopback, calls the service three times, and exits.

use std::{error::Error, iter, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{HeaderValue, Request, Response, StatusCode, request::Parts},
    routing::get,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, BoxError, EndpointFilter, ErrorContextLayer,
    Interface, ReauthPolicy, RenewingPlugin, Scope, ServiceTokenAuthWrapper, Transport, User, V3Credentials,
    fixture::Cloud,
};

type Body = Full<Bytes>;

/// Maximum size of a response body, in bytes.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

#[derive(Clone)]
struct App {
    client: Client<HttpConnector, Body>,
    /// Sends requests to Keystone with the token of the service account.
    keystone: BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>,
    /// Supplies the service token of requests to nova.
    ///
    /// This plugin and `keystone` have separate tokens. If nova responds with 401, the service token of that request is
    /// dropped together with the token of the caller. The token of `keystone` stays.
    service_token: RenewingPlugin<V3Credentials>,
}

impl App {
    fn new(credentials: V3Credentials, client: Client<HttpConnector, Body>) -> Self {
        // Logins go through the same client.
        let plugin = || RenewingPlugin::new(credentials.clone(), Transport::new(client.clone()));
        let keystone = ServiceBuilder::new()
            .layer(ErrorContextLayer::new())
            .timeout(Duration::from_secs(40)) // includes up to 30 s for a login
            .retry(ReauthPolicy::new())
            .layer(AuthLayer::new(plugin()).endpoint(EndpointFilter::default().interface(Interface::Auth)))
            .service(client.clone());
        Self { keystone: BoxCloneSyncService::new(keystone), service_token: plugin(), client }
    }

    /// Returns the access info of a caller's token, or `None` if the token is not valid.
    async fn validate(&self, token: &HeaderValue) -> Result<Option<AccessInfo>, BoxError> {
        let mut token = token.clone();
        token.set_sensitive(true);
        let request = Request::get("/auth/tokens").header("x-subject-token", token).body(Body::default())?;
        let (parts, body) = self.keystone.clone().oneshot(request).await?.into_parts();
        match parts.status {
            StatusCode::OK => {
                let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
                Ok(Some(AccessInfo::from_response(&parts.headers, body)?))
            }
            StatusCode::NOT_FOUND => Ok(None),
            // A 401 concerns the token of the service account.
            status => Err(format!("Keystone returned {status}").into()),
        }
    }
}

/// The access info of the caller, validated by Keystone.
struct Caller(AccessInfo);

impl FromRequestParts<App> for Caller {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let unauthorized = |reason: &str| (StatusCode::UNAUTHORIZED, reason.to_owned());
        let token =
            parts.headers.get("x-auth-token").ok_or(unauthorized("the X-Auth-Token header is missing"))?;
        match app.validate(token).await {
            Ok(access_info) => access_info.map(Self).ok_or(unauthorized("the token is not valid")),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, chain(&*error))),
        }
    }
}

/// Handles `GET /my-servers`: returns the servers of the caller.
async fn my_servers(
    State(app): State<App>,
    Caller(caller): Caller,
) -> Result<Json<Value>, (StatusCode, String)> {
    let bad_gateway = |error: BoxError| (StatusCode::BAD_GATEWAY, chain(&*error));
    let username = caller.username().map(str::to_owned);
    let response = list_servers(&app, caller).await.map_err(bad_gateway)?;
    match response.status() {
        StatusCode::OK => {}
        // The token expired or was revoked after its validation: the caller has to get a new one.
        StatusCode::UNAUTHORIZED => {
            return Err((StatusCode::UNAUTHORIZED, "nova rejected the token".to_owned()));
        }
        status => return Err(bad_gateway(format!("nova returned {status}").into())),
    }
    let body =
        Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(bad_gateway)?.to_bytes();
    let nova: Value = serde_json::from_slice(&body).map_err(|error| bad_gateway(error.into()))?;
    Ok(Json(json!({"on_behalf_of": username, "nova": nova})))
}

/// Sends a request to nova with the token of the caller and the service token.
async fn list_servers(app: &App, caller: AccessInfo) -> Result<Response<Incoming>, BoxError> {
    let plugin = ServiceTokenAuthWrapper::new(AccessInfoPlugin::new(caller), app.service_token.clone());
    let nova = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .timeout(Duration::from_secs(40))
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .map_request(|request: Request<Body>| {
            println!("    {} {} {:?}", request.method(), request.uri(), request.headers());
            request
        })
        .service(app.client.clone());
    nova.oneshot(Request::get("/servers").body(Body::default())?).await
}

/// Returns the messages of an error and its sources, joined by colons.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")])
        .service_user("my-service", "secret")
        .user("alice", "wonderland")
        .project("demo");
    let _server = cloud.serve().await?;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();

    let account = User::new().username("my-service").user_domain_name("Default");
    let credentials =
        V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(account, "secret"))
            .scope(Scope::new().project_name("service").project_domain_name("Default"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/my-servers", listener.local_addr()?);
    let router =
        Router::new().route("/my-servers", get(my_servers)).with_state(App::new(credentials, client.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let alice = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is not a user")?;
    let token = alice.auth_token().unwrap_or_default();
    println!("without a token: {}", call(&client, &url, "").await?);
    println!("with alice's token: {}", call(&client, &url, token).await?);
    cloud.keystone().revoke(token);
    println!("with the revoked token: {}", call(&client, &url, token).await?);
    Ok(())
}

/// Calls the service as a caller with this token, and returns the status and the body of the response.
async fn call(client: &Client<HttpConnector, Body>, url: &str, token: &str) -> Result<String, BoxError> {
    let mut request = Request::get(url);
    if !token.is_empty() {
        request = request.header("x-auth-token", token);
    }
    let (parts, body) = client.request(request.body(Body::default())?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(format!("{} {}", parts.status, String::from_utf8_lossy(&body)))
}
