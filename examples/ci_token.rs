//! A job of a CI system, or a Kubernetes pod, that logs in with the token of its platform.
//!
//! ```sh
//! cargo run --example ci_token
//! ```
//!
//! The platform writes an access token to a file and replaces it before it expires. Each login reads the file again, so
//! the job can run for longer than any of the tokens is valid. The job has no secret of its own. In Kubernetes, the file
//! is a projected service account token.
//!
//! The example needs no server. An in-memory cloud has an OpenID provider, and a function plays the platform.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, BoxError, EndpointFilter, RaiseForStatusLayer, ReauthPolicy, RenewingPlugin, Scope,
    federation::{AccessTokenSource, FederatedCredentials, Grant, IdentityProvider},
    fixture::Cloud,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("ci", "openid");
    let platform = Platform::new(&cloud)?;
    let first_token = platform.replace_token()?;

    let keystone = IdentityProvider::new(cloud.keystone().auth_url(), "ci", "openid");
    let token = AccessTokenSource::file(&platform.token_file);
    let demo = Scope::new().project_name("demo").project_domain_name("Default");
    let credentials = FederatedCredentials::new(keystone, Grant::access_token(token)).scope(demo);

    let plugin = RenewingPlugin::new(credentials, cloud.transport());
    let mut nova = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(cloud.clone());
    let request = Request::get("/servers").body(Full::<Bytes>::default())?;
    let response = nova.ready().await?.call(request.clone()).await?;
    println!("{}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));

    // Hours later, both tokens have ended: that of the platform and that of Keystone.
    platform.replace_token()?;
    cloud.oidc_provider().revoke(&first_token);
    cloud.keystone().revoke_all();
    let response = nova.ready().await?.call(request).await?;
    println!("{}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));
    Ok(())
}

/// What a CI system or Kubernetes does for its jobs.
struct Platform {
    cloud: Cloud,
    token_file: PathBuf,
}

impl Platform {
    fn new(cloud: &Cloud) -> io::Result<Self> {
        cloud.oidc_provider().add_client("job", "known to the platform only");
        let folder = env::temp_dir().join(format!("ci_token-{}", process::id()));
        fs::create_dir(&folder)?;
        Ok(Self { cloud: cloud.clone(), token_file: folder.join("token") })
    }

    /// Replaces the file in one step, so that nobody reads a part of a token. Returns the token.
    fn replace_token(&self) -> Result<String, BoxError> {
        let token =
            self.cloud.oidc_provider().issue_access_token("job").ok_or("the job is not registered")?;
        let new_file = self.token_file.with_extension("new");
        fs::write(&new_file, &token)?;
        fs::rename(new_file, &self.token_file)?;
        Ok(token)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let folder = self.token_file.parent().unwrap_or(Path::new("."));
        if let Err(error) = fs::remove_dir_all(folder) {
            eprintln!("error: {}: {error}", folder.display());
        }
    }
}
