//! `AuthLayer` around reqwest, which also sends the logins.
//!
//! ```sh
//! cargo run --example reqwest_stack
//! ```
//!
//! reqwest has its own types for requests and responses. `reqwest::Body` is the body of the whole stack here, and the
//! function `http_service` converts requests and responses. Redirects are disabled, because reqwest would send the
//! token to other hosts.
//!
//! The example starts an in-memory cloud on loopback. A real cloud needs a TLS feature of reqwest; its default features
//! include one.

use std::time::Duration;

use http::{Request, Response};
use reqwest::{Body, Client, redirect};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, AuthMethod, EndpointFilter, ErrorContextLayer, RaiseForStatusLayer, ReauthPolicy,
    RenewingPlugin, Scope, Transport, User, V3Credentials, fixture::Cloud,
};

/// Returns a service that takes and returns `http` types and sends with reqwest.
fn http_service(
    client: Client,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + use<> {
    ServiceBuilder::new()
        .map_response(Response::<Body>::from)
        .map_err(BoxError::from)
        .filter(reqwest::Request::try_from)
        .service(client)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let _server = cloud.serve().await?;

    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .build()?;
    let client = http_service(client);

    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials =
        V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(alice, "wonderland"))
            .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));

    let mut nova = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(RaiseForStatusLayer::new())
        // A `reqwest::Body` can be sent again if it holds bytes, but not if it holds a stream.
        .retry(ReauthPolicy::with_clone_body(|body: &Body| {
            body.as_bytes().map(|bytes| bytes.to_vec().into())
        }))
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(client);

    let request = Request::post("/servers").body(Body::from(r#"{"server": {"name": "web-1"}}"#))?;
    let response = nova.ready().await?.call(request).await?;
    // Convert to the response type of reqwest, for its `json`, `text` and `bytes_stream`.
    println!("{}", reqwest::Response::from(response).text().await?);
    Ok(())
}
