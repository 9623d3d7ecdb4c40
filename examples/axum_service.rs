//! A service with an account of its own that calls another OpenStack service on behalf of its caller.
//!
//! ```sh
//! cargo run --example axum_service
//! ```
//!
//! 1. The caller's token is validated at Keystone, in a request of the service's own account: `RenewingPlugin` logs it in
//!    and keeps its token fresh.
//! 2. The access info that comes of it goes into an `AccessInfoPlugin`, so that nova is asked with the caller's own
//!    rights; `ServiceTokenAuthWrapper` adds the service's token.
//!
//! The example starts a cloud in memory and the service on loopback, calls the service a few times, and ends.

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

const MAX_ANSWER: usize = 4 * 1024 * 1024; // bytes

#[derive(Clone)]
struct App {
    client: Client<HttpConnector, Body>,
    /// Keystone, asked with the service's own token.
    keystone: BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>,
    /// Vouches for callers. It has a token of its own, since a 401 for a caller's dead token drops it too.
    voucher: RenewingPlugin<V3Credentials>,
}

impl App {
    fn new(credentials: V3Credentials, client: Client<HttpConnector, Body>) -> Self {
        // The client is the way to Keystone too.
        let plugin = || RenewingPlugin::new(credentials.clone(), Transport::new(client.clone()));
        let keystone = ServiceBuilder::new()
            .layer(ErrorContextLayer::new())
            .timeout(Duration::from_secs(40)) // a login may take 30 s of it
            .retry(ReauthPolicy::new())
            .layer(AuthLayer::new(plugin()).endpoint(EndpointFilter::default().interface(Interface::Auth)))
            .service(client.clone());
        Self { keystone: BoxCloneSyncService::new(keystone), voucher: plugin(), client }
    }

    /// What Keystone knows of a caller's token; `None` if it is no good one.
    async fn validate(&self, token: &HeaderValue) -> Result<Option<AccessInfo>, BoxError> {
        let mut token = token.clone();
        token.set_sensitive(true);
        let request = Request::get("/auth/tokens").header("x-subject-token", token).body(Body::default())?;
        let (parts, body) = self.keystone.clone().oneshot(request).await?.into_parts();
        match parts.status {
            StatusCode::OK => {
                let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
                Ok(Some(AccessInfo::from_response(&parts.headers, body)?))
            }
            StatusCode::NOT_FOUND => Ok(None),
            // A 401 is about the service's own token.
            status => Err(format!("Keystone answered {status}").into()),
        }
    }
}

/// Whoever sent the request, as far as Keystone confirms it.
struct Caller(AccessInfo);

impl FromRequestParts<App> for Caller {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let unauthorized = |reason: &str| (StatusCode::UNAUTHORIZED, reason.to_owned());
        let token = parts.headers.get("x-auth-token").ok_or(unauthorized("no token"))?;
        match app.validate(token).await {
            Ok(known) => known.map(Self).ok_or(unauthorized("Keystone does not know the token")),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, chain(&*error))),
        }
    }
}

/// Asks nova for the caller's servers.
async fn my_servers(
    State(app): State<App>,
    Caller(caller): Caller,
) -> Result<Json<Value>, (StatusCode, String)> {
    let failed = |error: BoxError| (StatusCode::BAD_GATEWAY, chain(&*error));
    let username = caller.username().map(str::to_owned);
    let response = servers_of(&app, caller).await.map_err(failed)?;
    match response.status() {
        StatusCode::OK => {}
        // The token became worthless in between: the caller has to get a new one.
        StatusCode::UNAUTHORIZED => {
            return Err((StatusCode::UNAUTHORIZED, "nova refused the token".to_owned()));
        }
        status => return Err(failed(format!("nova answered {status}").into())),
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(failed)?.to_bytes();
    let nova: Value = serde_json::from_slice(&body).map_err(|error| failed(error.into()))?;
    Ok(Json(json!({"on_behalf_of": username, "nova": nova})))
}

/// Nova's answer to the caller, for whom the service vouches.
async fn servers_of(app: &App, caller: AccessInfo) -> Result<Response<Incoming>, BoxError> {
    let plugin = ServiceTokenAuthWrapper::new(AccessInfoPlugin::new(caller), app.voucher.clone());
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

/// An error and what is under it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")])
        .user("alice", "wonderland")
        .user("my-service", "secret")
        .project("demo")
        .project("service");
    let _served = cloud.serve().await?;
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

    let alice = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is a user")?;
    let token = alice.auth_token().unwrap_or_default();
    println!("without a token: {}", ask(&client, &url, "").await?);
    println!("with alice's token: {}", ask(&client, &url, token).await?);
    cloud.keystone().revoke(token);
    println!("with the token revoked: {}", ask(&client, &url, token).await?);
    Ok(())
}

async fn ask(client: &Client<HttpConnector, Body>, url: &str, token: &str) -> Result<String, BoxError> {
    let mut request = Request::get(url);
    if !token.is_empty() {
        request = request.header("x-auth-token", token);
    }
    let (parts, body) = client.request(request.body(Body::default())?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(format!("{} {}", parts.status, String::from_utf8_lossy(&body)))
}
