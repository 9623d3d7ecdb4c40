//! An authenticated request to every service that the catalog lists and this example knows. It goes on after a
//! service that cannot be reached, and says which one and why.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! Without `OS_AUTH_URL` it starts a cloud in memory, on loopback. With it, it takes a real cloud:
//! `OS_AUTH_URL`, `OS_USERNAME`, `OS_PASSWORD`, `OS_PROJECT_NAME`, and if they are set
//! `OS_USER_DOMAIN_NAME`, `OS_PROJECT_DOMAIN_NAME`, `OS_REGION_NAME` and `OS_INTERFACE`.

use std::{env, error::Error, iter, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Map, Value};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, AuthMethod, BoxError, EndpointFilter, ErrorContextLayer, IdentityPlugin,
    Interface, ReauthPolicy, RenewalPolicy, RenewingPlugin, Scope, Secret, TokenRejected, Transport, User,
    V3Credentials, fixture::Cloud,
};

type Body = Full<Bytes>;
type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// What to ask of which type of service.
const QUESTIONS: [(&str, &str); 7] = [
    ("compute", "/servers"),
    ("block-storage", "/volumes"),
    ("image", "/v2/images"),
    ("network", "/v2.0/networks"),
    ("placement", "/resource_providers"),
    ("key-manager", "/v1/secrets"),
    ("identity", "/auth/projects"),
];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} of the requests failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Returns how many requests failed.
async fn run() -> Result<usize, BoxError> {
    let client = client();
    let (login, _served) = match env::var("OS_AUTH_URL") {
        Ok(auth_url) => (Login::from_env(auth_url)?, None),
        Err(_) => {
            let cloud = Cloud::new([("compute", "nova"), ("volumev3", "cinder")])
                .user("alice", "wonderland")
                .project("demo");
            let served = cloud.serve().await?;
            println!("OS_AUTH_URL is not set: a cloud in memory is at {}\n", cloud.base_url());
            (Login::new(cloud.keystone().auth_url(), "alice", "wonderland", "demo"), Some(served))
        }
    };

    // The plugin that holds the password renews its token; the other one has been given one. Its user is waiting, so
    // that a login that fails says so at once.
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let password = RenewingPlugin::new(login.credentials(), Transport::new(client.clone())).policy(policy);
    let access_info = password.renew().await?.auth_ref().cloned().ok_or("a login brings an access info")?;
    println!(
        "{} has a token for project {}\n",
        access_info.username().unwrap_or("somebody"),
        access_info.project_name().unwrap_or("none"),
    );
    let given = AccessInfoPlugin::new(access_info.clone()).auth_url(login.auth_url.clone());
    let mut with_given = stack(given, &client);
    let mut with_password = stack(password, &client);
    let mut failed = 0;

    for (service_type, path) in QUESTIONS {
        let endpoint = login.endpoint(service_type);
        if access_info.service_catalog().endpoint_data_for(&endpoint).is_err() {
            continue;
        }
        let request = Request::get(path).extension(endpoint).body(Body::default())?;
        failed += ask(&mut with_given, request).await;
    }

    // Keystone itself, at the auth_url: first the token is revoked, then both plugins use it again. Keystone and the
    // services remember for some minutes which tokens were good, so that a real cloud may still accept it.
    let keystone = EndpointFilter::default().interface(Interface::Auth);
    let token = access_info.auth_token().unwrap_or_default();
    let revoke = Request::delete("/auth/tokens")
        .header("x-subject-token", token)
        .extension(keystone.clone())
        .body(Body::default())?;
    failed += ask(&mut with_given, revoke).await;

    let request = Request::get("/auth/projects").extension(keystone).body(Body::default())?;
    println!("AccessInfoPlugin, after the revocation (a status of 200 comes from a cache of the cloud):");
    failed += ask(&mut with_given, request.clone()).await;
    println!("RenewingPlugin, after the revocation:");
    failed += ask(&mut with_password, request).await;
    Ok(failed)
}

/// Sends a request and prints the response, or what went wrong. Returns how many of them failed: 0 or 1.
async fn ask<S>(service: &mut S, request: Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let asked = async { show(service.ready().await?.call(request).await?).await };
    match asked.await {
        Ok(()) => 0,
        Err(error) => {
            println!("    {}\n", chain(&*error));
            1
        }
    }
}

/// An error and what is under it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Errors that say where, one more go for what was refused, the layer, and a look at what is sent.
fn stack<P: IdentityPlugin>(
    plugin: P,
    client: &HttpClient,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = BoxError> + use<P> {
    ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .timeout(Duration::from_secs(60)) // longer than a request may wait for its token, 30 s
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin))
        .map_request(|request: Request<Body>| {
            println!("{} {}", request.method(), request.uri());
            request
        })
        .service(client.clone())
}

/// Prints the status, the names of what is listed, and what a refusal means.
async fn show(response: Response<Incoming>) -> Result<(), BoxError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    println!("    {}", parts.status);
    if let Some(refusal) = parts.extensions.get::<TokenRejected>() {
        println!("    {refusal}");
    }
    let members: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    for (name, value) in members {
        let named = |entry: &Value| entry["name"].as_str().or(entry["id"].as_str()).map(str::to_owned);
        match &value {
            Value::Array(listed) => {
                let names: Vec<_> = listed.iter().filter_map(named).collect();
                println!("    {} {name}: {}", listed.len(), names.join(", "));
            }
            value => println!("    {name}: {value}"),
        }
    }
    println!();
    Ok(())
}

/// A client for http and https. It follows no redirects, which would carry the token along.
fn client() -> HttpClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_secs(5)));
    let connector =
        HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(http);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Whom to log in as, and where.
struct Login {
    auth_url: Uri,
    username: String,
    password: Secret,
    user_domain: String,
    project: String,
    project_domain: String,
    region: String,
    interface: String,
}

impl Login {
    fn new(auth_url: String, username: &str, password: &str, project: &str) -> Self {
        Self {
            auth_url: auth_url.parse().expect("the fixture's URL is one"),
            username: username.to_owned(),
            password: password.into(),
            user_domain: "Default".to_owned(),
            project: project.to_owned(),
            project_domain: "Default".to_owned(),
            region: String::new(),
            interface: "public".to_owned(),
        }
    }

    fn from_env(auth_url: String) -> Result<Self, BoxError> {
        let needed = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
        let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let auth_url = auth_url.trim_end_matches('/');
        let v3 = if auth_url.ends_with("/v3") { "" } else { "/v3" };
        Ok(Self {
            auth_url: format!("{auth_url}{v3}").parse()?,
            username: needed("OS_USERNAME")?,
            password: needed("OS_PASSWORD")?.into(),
            user_domain: or("OS_USER_DOMAIN_NAME", "Default"),
            project: needed("OS_PROJECT_NAME")?,
            project_domain: or("OS_PROJECT_DOMAIN_NAME", "Default"),
            region: or("OS_REGION_NAME", ""),
            interface: or("OS_INTERFACE", "public"),
        })
    }

    fn endpoint(&self, service_type: &str) -> EndpointFilter {
        EndpointFilter::new(service_type).region(&self.region).interface(&*self.interface)
    }

    fn credentials(&self) -> V3Credentials {
        let user = User::new().username(&*self.username).user_domain_name(&*self.user_domain);
        let scope = Scope::new().project_name(&*self.project).project_domain_name(&*self.project_domain);
        V3Credentials::new(self.auth_url.clone(), AuthMethod::password(user, self.password.clone()))
            .scope(scope)
    }
}

#[cfg(test)]
mod tests {
    use tower_keystone::fixture::CatalogService;

    use super::*;

    #[tokio::test]
    async fn a_service_that_cannot_be_reached_is_named_and_does_not_end_it() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", &origin);
        let token = tower_keystone::fixture::V3Token::new("u1", "alice").service(&nova);
        let plugin = AccessInfoPlugin::new(token.access_info("gAAAA").unwrap());
        let mut stack = stack(plugin, &client());
        let request = || {
            let request = Request::get("/servers").extension(EndpointFilter::new("compute"));
            request.body(Body::default()).unwrap()
        };
        assert_eq!(ask(&mut stack, request()).await, 1);
        let Err(error) = stack.ready().await.unwrap().call(request()).await else { panic!("it is down") };
        let said = chain(&*error);
        assert!(said.starts_with(&format!("the request to compute at {origin} failed: ")), "{said}");
        assert!(said.contains("refused"), "{said}");
    }
}
