//! Logs in and sends a request to each well-known service in the catalog.
//!
//! If a request fails, the example prints the service and the cause, and continues with the next one.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! If `OS_AUTH_URL` is not set, it starts an in-memory cloud on loopback. Otherwise it uses a real cloud.
//! `OS_USERNAME`, `OS_PASSWORD` and `OS_PROJECT_NAME` are then required; `OS_USER_DOMAIN_NAME`,
//! `OS_PROJECT_DOMAIN_NAME`, `OS_REGION_NAME` and `OS_INTERFACE` are optional. At the end it revokes the token that it
//! has used.

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

/// The service types to call, each with the path of a list.
const REQUESTS: [(&str, &str); 7] = [
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
    let (login, _server) = match env::var("OS_AUTH_URL") {
        Ok(auth_url) => (Login::from_env(auth_url)?, None),
        Err(_) => {
            let cloud = Cloud::new([("compute", "nova"), ("volumev3", "cinder")])
                .user("alice", "wonderland")
                .project("demo");
            let server = cloud.serve().await?;
            println!("OS_AUTH_URL is not set: using an in-memory cloud at {}\n", cloud.base_url());
            (Login::new(cloud.keystone().auth_url(), "alice", "wonderland", "demo"), Some(server))
        }
    };

    // This plugin holds the password, so it can renew the token. A user is waiting, so a failed login is reported at
    // once.
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let renewing = RenewingPlugin::new(login.credentials(), Transport::new(client.clone())).policy(policy);
    let access_info =
        renewing.renew().await?.auth_ref().cloned().ok_or("the login returned no access info")?;
    println!(
        "logged in as {} with a token for project {}\n",
        access_info.username().unwrap_or("(no name)"),
        access_info.project_name().unwrap_or("(none)"),
    );
    // This plugin has only the token.
    let fixed = AccessInfoPlugin::new(access_info.clone()).auth_url(login.auth_url.clone());
    let mut fixed_stack = stack(fixed, &client);
    let mut renewing_stack = stack(renewing, &client);
    let mut failed = 0;

    for (service_type, path) in REQUESTS {
        let endpoint = login.endpoint(service_type);
        if access_info.service_catalog().endpoint_data_for(&endpoint).is_err() {
            continue;
        }
        let request = Request::get(path).extension(endpoint).body(Body::default())?;
        failed += send(&mut fixed_stack, request).await;
    }

    // Requests to Keystone go to the auth_url. The first one revokes the token, then both plugins use it again.
    // Keystone and other services cache validated tokens for some minutes, so a real cloud may still accept it.
    let keystone = EndpointFilter::default().interface(Interface::Auth);
    let token = access_info.auth_token().unwrap_or_default();
    let revoke = Request::delete("/auth/tokens")
        .header("x-subject-token", token)
        .extension(keystone.clone())
        .body(Body::default())?;
    failed += send(&mut fixed_stack, revoke).await;

    let request = Request::get("/auth/projects").extension(keystone).body(Body::default())?;
    println!("AccessInfoPlugin after the revocation (if the status is 200, the cloud has cached the token):");
    failed += send(&mut fixed_stack, request.clone()).await;
    println!("RenewingPlugin after the revocation:");
    failed += send(&mut renewing_stack, request).await;
    Ok(failed)
}

/// Sends a request and prints the response or the error. Returns the number of failed requests: 0 or 1.
async fn send<S>(service: &mut S, request: Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
{
    let result = async { show(service.ready().await?.call(request).await?).await }.await;
    match result {
        Ok(()) => 0,
        Err(error) => {
            println!("    {}\n", chain(&*error));
            1
        }
    }
}

/// Returns the messages of an error and its sources, joined by colons.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Builds a stack that authenticates requests with this plugin, and prints them.
fn stack<P: IdentityPlugin>(
    plugin: P,
    client: &HttpClient,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = BoxError> + use<P> {
    ServiceBuilder::new()
        .layer(ErrorContextLayer::new()) // errors name the service and the origin
        .timeout(Duration::from_secs(60)) // longer than the 30 s that a request may wait for its token
        .retry(ReauthPolicy::new()) // once more after a 401
        .layer(AuthLayer::new(plugin))
        .map_request(|request: Request<Body>| {
            println!("{} {}", request.method(), request.uri());
            request
        })
        .service(client.clone())
}

/// Prints the status, the names of the listed resources, and after a 401 whether a new token can be obtained.
async fn show(response: Response<Incoming>) -> Result<(), BoxError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    println!("    {}", parts.status);
    if let Some(rejected) = parts.extensions.get::<TokenRejected>() {
        println!("    {rejected}");
    }
    let members: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    for (name, value) in members {
        let name_or_id = |entry: &Value| entry["name"].as_str().or(entry["id"].as_str()).map(str::to_owned);
        match &value {
            Value::Array(resources) => {
                let names: Vec<_> = resources.iter().filter_map(name_or_id).collect();
                println!("    {} {name}: {}", resources.len(), names.join(", "));
            }
            value => println!("    {name}: {value}"),
        }
    }
    println!();
    Ok(())
}

/// Returns a client for http and https. It does not follow redirects, because it would send the token to other hosts.
fn client() -> HttpClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_secs(5)));
    let connector =
        HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(http);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The credentials and the endpoints to use.
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
            auth_url: auth_url.parse().expect("the URL of the fixture is valid"),
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
        let required = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
        let optional = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let auth_url = auth_url.trim_end_matches('/');
        let v3 = if auth_url.ends_with("/v3") { "" } else { "/v3" };
        Ok(Self {
            auth_url: format!("{auth_url}{v3}").parse()?,
            username: required("OS_USERNAME")?,
            password: required("OS_PASSWORD")?.into(),
            user_domain: optional("OS_USER_DOMAIN_NAME", "Default"),
            project: required("OS_PROJECT_NAME")?,
            project_domain: optional("OS_PROJECT_DOMAIN_NAME", "Default"),
            region: optional("OS_REGION_NAME", ""),
            interface: optional("OS_INTERFACE", "public"),
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
    async fn an_unreachable_service_is_named_and_does_not_end_the_example() {
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
        assert_eq!(send(&mut stack, request()).await, 1);
        let Err(error) = stack.ready().await.unwrap().call(request()).await else { panic!("it is down") };
        let message = chain(&*error);
        assert!(message.starts_with(&format!("the request to compute at {origin} failed: ")), "{message}");
        assert!(message.contains("refused"), "{message}");
    }
}
