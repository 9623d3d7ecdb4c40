//! A command line program in which a person logs in with the browser of any device (RFC 8628).
//!
//! ```sh
//! cargo run --example device_login
//! ```
//!
//! The program has no browser and sees no password: it prints a URL and a short code, and waits. The login yields a
//! refresh token, so that the program can renew its token for as long as it runs.
//!
//! The example needs no server. An in-memory cloud has an OpenID provider, and a task plays the person. With a real
//! cloud, `Transport::new(client)` takes the place of `cloud.transport()`, and an HTTPS client that of `cloud`.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, BoxError, EndpointFilter, RaiseForStatusLayer, ReauthPolicy, RenewingPlugin, Scope,
    federation::{DeviceLogin, FederatedCredentials, IdentityProvider, OidcClient},
    fixture::{Cloud, OidcProvider},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = in_memory_cloud();
    let credentials = log_in(&cloud).await?;

    let demo = Scope::new().project_name("demo").project_domain_name("Default");
    let plugin = RenewingPlugin::new(credentials.scope(demo), cloud.transport());
    let mut nova = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(cloud);

    let request = Request::get("/servers").body(Full::<Bytes>::default())?;
    let response = nova.ready().await?.call(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    Ok(())
}

/// Logs a person in.
async fn log_in(cloud: &Cloud) -> Result<FederatedCredentials, BoxError> {
    let keystone = IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid");
    let client = OidcClient::new("cli")
        .discovery_endpoint(cloud.oidc_provider().discovery_endpoint())
        .scope("openid profile offline_access");

    let mut login = DeviceLogin::start(keystone, client, cloud.transport()).await?;
    println!("Open {} and enter the code {}.", login.verification_uri(), login.user_code());
    println!("The code is valid for {} minutes.", login.expires_in().as_secs().div_ceil(60));
    play_the_person(cloud.oidc_provider(), login.user_code());

    let login = login.complete().await?;
    println!("Logged in as {}.", login.access_info().username().unwrap_or("a user without a name"));
    Ok(login.into_credentials())
}

/// Returns a cloud whose users log in at an OpenID provider.
fn in_memory_cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("op", "openid");
    cloud.oidc_provider().add_public_client("cli");
    cloud.oidc_provider().add_user("alice", "wonderland");
    cloud
}

/// Logs alice in at the provider, in the background.
fn play_the_person(provider: &OidcProvider, user_code: &str) {
    let (provider, user_code) = (provider.clone(), user_code.to_owned());
    tokio::spawn(async move { provider.approve(&user_code, "alice") });
}
