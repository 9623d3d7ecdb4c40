//! The client that a configuration makes, over HTTP on loopback.

#[path = "renewal/log.rs"]
mod log;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use log::Log;
use tokio::{net::TcpListener, time::Instant};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfoPlugin, BoxError, CloudConfig, EndpointFilter, Error, HttpsClient, Identity, IdentityPlugin,
    ReauthPolicy, RenewalPolicy, ReplayBody, RetryPolicy,
    config::{CloudClient, CloudConfigBuilder, ConfigError, ServiceRetryPolicy},
    fixture::{Cloud, Discovery, Fault, ServedCloud},
};

const SERVICES: [(&str, &str); 5] = [
    ("compute", "nova"),
    ("image", "glance"),
    ("network", "neutron"),
    ("volumev3", "cinder"),
    ("custom-compute", "other"),
];

async fn serve() -> (Cloud, ServedCloud) {
    let cloud = Cloud::new(SERVICES).user("alice", "wonderland").project("demo");
    let served = cloud.serve().await.unwrap();
    (cloud, served)
}

/// Returns the configuration of a user of the cloud, with further settings.
fn config(cloud: &Cloud, settings: &[(&str, &str)]) -> CloudConfig {
    try_config(cloud, settings).unwrap()
}

fn try_config(cloud: &Cloud, settings: &[(&str, &str)]) -> Result<CloudConfig, Error> {
    let login = [
        ("auth_url", &*cloud.keystone().auth_url()),
        ("username", "alice"),
        ("user_domain_name", "Default"),
        ("password", "wonderland"),
        ("project_name", "demo"),
        ("project_domain_name", "Default"),
    ]
    .iter()
    .fold(empty(), |builder, (name, value)| builder.set_auth(name, *value));
    settings.iter().fold(login, |builder, (name, value)| builder.set(name, *value)).build()
}

/// Returns a builder without files and variables.
fn empty() -> CloudConfigBuilder {
    CloudConfig::builder().load_files(false).environment::<&str, &str>([])
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

fn get_from(filter: EndpointFilter, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).extension(filter).body(Full::default()).unwrap()
}

fn config_error(error: &BoxError) -> &ConfigError {
    match Error::find(&**error) {
        Some(Error::Config(error)) => error,
        _ => panic!("{error}"),
    }
}

/// Returns the paths of the requests that a service received, in order.
fn paths(cloud: &Cloud, service_type: &str) -> Vec<String> {
    cloud.received_requests(service_type).iter().map(|request| request.path_and_query().to_owned()).collect()
}

#[tokio::test]
async fn a_request_reaches_the_service_of_its_filter() {
    let (cloud, _served) = serve().await;
    let client = config(&cloud, &[]).client().unwrap();
    for service_type in ["compute", "image"] {
        let request = get_from(EndpointFilter::new(service_type), "/things?limit=1");
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
        assert_eq!(paths(&cloud, service_type), ["/things?limit=1"], "no version is discovered");
        assert!(cloud.received_requests(service_type)[0].has_token());
    }
    assert_eq!(cloud.keystone().logins(), 1);
}

#[tokio::test]
async fn a_client_can_have_a_service() {
    let (cloud, _served) = serve().await;
    let client = config(&cloud, &[("compute_default_microversion", "2.79")]).client().unwrap();
    let nova = client.service("compute").unwrap();
    nova.clone().oneshot(get("/servers")).await.unwrap();
    nova.clone().oneshot(get_from(EndpointFilter::default().region("RegionOne"), "/flavors")).await.unwrap();
    nova.clone().oneshot(get_from(EndpointFilter::new("image"), "/images")).await.unwrap();
    let absolute = format!("{}/compute/servers?marker=1", cloud.base_url());
    nova.oneshot(get(&absolute)).await.unwrap();
    assert_eq!(paths(&cloud, "compute"), ["/servers", "/flavors", "/servers?marker=1"]);
    for request in cloud.received_requests("compute") {
        assert_eq!(request.headers()["openstack-api-version"], "compute 2.79");
    }
    assert_eq!(paths(&cloud, "image"), ["/images"]);

    let error = client.oneshot(get("/servers")).await.unwrap_err();
    assert!(Error::find(&*error).is_some(), "a request for no service: {error}");
}

#[tokio::test]
async fn the_settings_of_a_service_complete_the_filter_of_a_request() {
    let (cloud, _served) = serve().await;
    let versions = Discovery::new().microversions("v2.1", "CURRENT", "v2.1/", "2.1", "2.96").version(
        "v3.0",
        "SUPPORTED",
        "v3/",
    );
    let cloud = cloud.version_document("compute", versions);
    let settings = [
        ("compute_api_version", "2.60"),
        ("image_endpoint_override", &*format!("{}/network", cloud.base_url())),
    ];
    let client = config(&cloud, &settings).client().unwrap();
    let send = async |filter| client.clone().oneshot(get_from(filter, "/things")).await.unwrap();

    send(EndpointFilter::new("compute")).await;
    let received = cloud.received_requests("compute");
    let last = received.last().unwrap();
    assert_eq!(last.path_and_query(), "/v2.1/things");
    assert_eq!(last.headers()["openstack-api-version"], "compute 2.60");

    send(EndpointFilter::new("compute").version(3, 0).microversion("3.1")).await;
    let received = cloud.received_requests("compute");
    let last = received.last().unwrap();
    assert_eq!(last.path_and_query(), "/v3/things", "the request chooses");
    assert_eq!(last.headers()["openstack-api-version"], "compute 3.1");

    send(EndpointFilter::new("compute").version(3, 0)).await;
    let received = cloud.received_requests("compute");
    let last = received.last().unwrap();
    assert_eq!(last.path_and_query(), "/v3/things");
    assert_eq!(last.headers().get("openstack-api-version"), None, "2.60 is a microversion of version 2");

    let nova = client.service("compute").unwrap();
    nova.oneshot(get_from(EndpointFilter::default().version(3, 0), "/things")).await.unwrap();
    let received = cloud.received_requests("compute");
    let last = received.last().unwrap();
    assert_eq!(last.path_and_query(), "/v3/things");
    assert_eq!(last.headers().get("openstack-api-version"), None, "without a service type too");

    send(EndpointFilter::new("image")).await;
    assert_eq!((paths(&cloud, "network"), paths(&cloud, "image")), (vec!["/things".to_owned()], vec![]));
}

#[tokio::test]
async fn an_alias_has_the_settings_of_its_service() {
    let (cloud, _served) = serve().await;
    let settings = [("block_storage_default_microversion", "3.60"), ("volume_api_version", "2")];
    let client = config(&cloud, &settings).client().unwrap();
    for name in ["volumev3", "volumev3"] {
        client.clone().oneshot(get_from(EndpointFilter::new(name), "/volumes")).await.unwrap();
    }
    let received = cloud.received_requests("volumev3");
    let last = received.last().unwrap();
    assert_eq!(last.path_and_query(), "/volumes");
    assert_eq!(last.headers()["openstack-api-version"], "volume 3.60");
}

#[tokio::test]
async fn the_catalog_can_have_several_types_of_a_service() {
    let cloud = Cloud::new([("volumev3", "cinder"), ("volumev2", "old")]).user("alice", "wonderland");
    let cloud = cloud.project("demo");
    let _served = cloud.serve().await.unwrap();
    let send = async |settings: &[(&str, &str)], service_type: &str| {
        let client = config(&cloud, settings).client().unwrap();
        client.service(service_type).unwrap().oneshot(get("/volumes")).await.unwrap();
        // The types have a version, so the version documents are requested too.
        let count = |name| paths(&cloud, name).iter().filter(|path| *path == "/volumes").count();
        (count("volumev3"), count("volumev2"))
    };
    let in_v2 = [("block_storage_service_type", "volumev2"), ("block_storage_default_microversion", "3.60")];
    assert_eq!(send(&in_v2, "block-storage").await, (0, 1));
    assert_eq!(send(&in_v2, "volumev3").await, (0, 2));
    let received = cloud.received_requests("volumev2");
    assert_eq!(received.last().unwrap().headers()["openstack-api-version"], "volume 3.60");
    // The spelling of settings.
    assert_eq!(send(&[], "block_storage").await, (1, 2));
}

#[tokio::test]
async fn the_catalog_can_have_another_type_and_name() {
    let (cloud, _served) = serve().await;
    let settings = [("compute_service_type", "custom-compute"), ("compute_default_microversion", "2.60")];
    let client = config(&cloud, &settings).client().unwrap();
    let send = async |filter| client.clone().oneshot(get_from(filter, "/servers")).await.unwrap();
    send(EndpointFilter::new("compute")).await;
    send(EndpointFilter::new("compute").microversion("2.61")).await;
    let nova = client.service("compute").unwrap();
    let request = get_from(EndpointFilter::default().microversion("2.62"), "/servers");
    nova.oneshot(request).await.unwrap();
    let versions: Vec<_> = cloud
        .received_requests("custom-compute")
        .iter()
        .map(|request| request.headers()["openstack-api-version"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(versions, ["compute 2.60", "compute 2.61", "compute 2.62"]);
}

#[tokio::test]
async fn the_region_and_interface_of_a_service_are_used_unless_the_request_sets_them() {
    let (cloud, _served) = serve().await;
    let settings =
        [("region_name", "RegionOne"), ("compute_region_name", "RegionTwo"), ("image_interface", "secret")];
    let client = config(&cloud, &settings).client().unwrap();
    let send = async |filter| client.clone().oneshot(get_from(filter, "/things")).await;
    for missing in ["compute", "image"] {
        let error = send(EndpointFilter::new(missing)).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{error}");
    }
    send(EndpointFilter::new("compute").region("RegionOne")).await.unwrap();
    send(EndpointFilter::new("image").interface("internal")).await.unwrap();
    send(EndpointFilter::new("network")).await.unwrap();
}

#[tokio::test]
async fn the_layer_has_the_region_and_the_interfaces_of_the_cloud() {
    let cloud = Cloud::new(SERVICES).user("alice", "wonderland").project("demo");
    for setting in [("region_name", "RegionTwo"), ("interface", "secret")] {
        let layer = config(&cloud, &[setting]).layer(cloud.transport());
        let nova = ServiceBuilder::new().layer(layer).service(cloud.clone());
        let error = nova.oneshot(get_from(EndpointFilter::new("compute"), "/servers")).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_setting_fails_the_requests_of_its_service_only() {
    let (cloud, _served) = serve().await;
    let client = config(&cloud, &[("compute_endpoint_override", "canary")]).client().unwrap();
    let nova = || get_from(EndpointFilter::new("compute"), "/servers");
    for _ in 0..2 {
        let error = client.clone().oneshot(nova()).await.unwrap_err();
        assert_eq!(config_error(&error).member.as_deref(), Some("compute_endpoint_override"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert!(matches!(client.service("compute"), Err(Error::Config(_))));
    assert_eq!((cloud.keystone().logins(), cloud.requests_to("compute")), (0, 0));
    client.clone().oneshot(get_from(EndpointFilter::new("image"), "/images")).await.unwrap();
}

#[tokio::test]
async fn requests_are_retried_as_often_as_the_configuration_says() {
    let (cloud, _served) = serve().await;
    let settings = [
        ("compute_status_code_retries", "0"),
        ("image_status_code_retries", "4"),
        ("image_retriable_status_codes", "500"),
        ("status_code_retry_delay", "0"),
    ];
    let client = config(&cloud, &settings).client().unwrap();
    for (service_type, status, attempts) in [
        ("compute", StatusCode::SERVICE_UNAVAILABLE, 1),
        ("image", StatusCode::INTERNAL_SERVER_ERROR, 5),
        ("custom-compute", StatusCode::SERVICE_UNAVAILABLE, 4),
    ] {
        cloud.fail_next(service_type, 5, Fault::status(status));
        let request = get_from(EndpointFilter::new(service_type), "/v2/things");
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(cloud.requests_to(service_type), attempts, "{service_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_connect_is_retried() {
    // There is no TLS handshake, so the connection ends in a timeout.
    let mute = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("https://{}", mute.local_addr().unwrap());
    let config = empty()
        .set("auth_type", "none")
        .set_auth("endpoint", endpoint)
        .set("compute_connect_retries", "2")
        .set("connect_retry_delay", "100");
    let nova = config.build().unwrap().client().unwrap().service("compute").unwrap();
    let start = Instant::now();
    nova.oneshot(get("/servers")).await.unwrap_err();
    // A delay is shortened by up to half.
    assert!(start.elapsed() >= Duration::from_secs(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn another_stack_can_have_the_settings_of_a_service() {
    let cloud = Cloud::new(SERVICES).user("alice", "wonderland").project("demo");
    let settings = [("compute_status_code_retries", "7"), ("compute_default_microversion", "2.79")];
    let config = config(&cloud, &settings);
    let policy = RetryPolicy::new().status_code_retries(1);
    let stack = ServiceBuilder::new()
        .layer(config.service_layer().service("compute").unwrap())
        .retry(ServiceRetryPolicy::new(policy))
        .layer(config.layer(cloud.transport()))
        .service(cloud.clone());
    for (request, service_type, attempts) in [
        (get("/servers"), "compute", 8),
        (get_from(EndpointFilter::new("custom-compute"), "/servers"), "custom-compute", 2),
        (get("/servers"), "compute", 8),
    ] {
        let before = cloud.requests_to(service_type);
        cloud.fail_next(service_type, attempts, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
        let response = stack.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(cloud.requests_to(service_type) - before, attempts);
    }
    let received = cloud.received_requests("compute");
    assert!(received.iter().all(|request| request.headers()["openstack-api-version"] == "compute 2.79"));
}

#[tokio::test]
async fn a_revoked_token_is_replaced() {
    let (cloud, _served) = serve().await;
    let nova = config(&cloud, &[]).client().unwrap().service("compute").unwrap();
    nova.clone().oneshot(get("/servers")).await.unwrap();
    cloud.fail_next("compute", 1, Fault::status(StatusCode::UNAUTHORIZED));
    let response = nova.oneshot(get("/servers")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((cloud.requests_to("compute"), cloud.keystone().logins()), (3, 2));
}

#[tokio::test]
async fn an_error_names_the_service_and_the_server() {
    let (cloud, served) = serve().await;
    let nova = config(&cloud, &[("connect_retries", "0")]).client().unwrap().service("compute").unwrap();
    nova.clone().oneshot(get("/servers")).await.unwrap();
    cloud.fail_next("compute", 1, Fault::broken_connection());
    let error = nova.oneshot(get("/servers")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("compute") && text.contains(&cloud.base_url()), "{text}");
    drop(served);
}

#[tokio::test]
async fn api_timeout_limits_an_attempt() {
    // It accepts connections, and never responds.
    let mute = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", mute.local_addr().unwrap());
    let with_timeout = |timeout| {
        let builder =
            empty().set("auth_type", "none").set_auth("endpoint", &*endpoint).set("api_timeout", timeout);
        builder.build().unwrap()
    };
    let nova = with_timeout("0.05").client().unwrap().service("compute").unwrap();
    let error = nova.oneshot(get("/servers")).await.unwrap_err();
    let mut chain =
        std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |error| error.source());
    assert!(chain.any(|error| error.is::<tower::timeout::error::Elapsed>()), "{error}");

    let Err(Error::Config(error)) = with_timeout("0").client() else { panic!() };
    assert!(
        error.to_string().starts_with("the argument api_timeout: api_timeout: with a timeout of 0 s"),
        "{error}"
    );
}

#[test]
fn an_unusable_ca_file_is_named_with_its_setting() {
    let base = || empty().set("auth_type", "none").set_auth("endpoint", "https://h");
    for (builder, expected) in [
        (
            base().set("cacert", "/none/a.pem"),
            "the argument cacert: cacert: CA file `/none/a.pem`: it cannot",
        ),
        (
            base().set("verify", "/none/b.pem"),
            "the argument verify: verify: CA file `/none/b.pem`: it cannot",
        ),
        (
            base().set("verify", "true").set("cacert", "/none/a.pem"),
            "the argument cacert: cacert: CA file `/none/a.pem`: it cannot",
        ),
    ] {
        let error = builder.build().unwrap().client().err().unwrap().to_string();
        assert!(error.starts_with(&format!("cannot build the HTTPS client: {expected}")), "{error}");
    }
    let certificate = base().set("cert", "/none/c.pem").build().unwrap().client().err().unwrap().to_string();
    assert!(certificate.contains("client: client certificate `/none/c.pem`"), "{certificate}");
}

#[tokio::test]
async fn a_failure_of_version_discovery_sends_no_request_to_another_url() {
    let cloud = Cloud::new(SERVICES)
        .user("alice", "wonderland")
        .project("demo")
        .version_document("network", Discovery::new().version("v2.0", "CURRENT", "/network/v2.0/"));
    let _served = cloud.serve().await.unwrap();
    for fault in [Fault::status(StatusCode::SERVICE_UNAVAILABLE), Fault::broken_connection()] {
        let neutron =
            config(&cloud, &[("connect_retries", "0")]).client().unwrap().service("network").unwrap();
        cloud.fail_next("network", 1, fault);
        for _ in 0..3 {
            let request = Request::post("/networks").body(Full::default()).unwrap();
            if let Err(error) = neutron.clone().oneshot(request).await {
                let Some(Error::DiscoveryFailure(failure)) = Error::find(&*error) else { panic!("{error}") };
                assert!(failure.is_transient() && failure.requested.ends_with("of network"), "{error}");
            }
        }
    }
    let paths = paths(&cloud, "network");
    assert!(paths.len() >= 2 && paths.iter().all(|path| path != "/networks"), "{paths:?}");
}

#[tokio::test(start_paused = true)]
async fn the_renewal_policy_applies_to_the_plugin_and_the_layer() {
    let cloud = Cloud::new(SERVICES).user("alice", "wonderland").project("demo");
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let config = config(&cloud, &[]).renewal_policy(policy);
    cloud.fail_next("identity", 100, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let started = Instant::now();
    assert!(config.plugin(cloud.transport()).access().await.is_err());
    let nova = ServiceBuilder::new().layer(config.clone().layer(cloud.transport())).service(cloud.clone());
    assert!(nova.oneshot(get_from(EndpointFilter::new("compute"), "/servers")).await.is_err());
    assert_eq!((cloud.keystone().requests(), started.elapsed()), (2, Duration::ZERO), "each fails at once");
}

#[tokio::test]
async fn a_client_fails_fast_if_the_renewal_policy_says_so() {
    let (cloud, _served) = serve().await;
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let client = config(&cloud, &[("connect_retries", "0")]).renewal_policy(policy).client().unwrap();
    cloud.fail_next("identity", 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let request = get_from(EndpointFilter::new("compute"), "/servers");
    let error = client.oneshot(request).await.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!((cloud.keystone().requests(), cloud.requests_to("compute")), (1, 0), "nothing is sent again");
}

#[tokio::test]
async fn the_plugin_of_a_client_has_the_token_that_its_requests_carry() {
    let (cloud, _served) = serve().await;
    let client = config(&cloud, &[]).client().unwrap();
    let access = client.plugin().access().await.unwrap();
    client.clone().oneshot(get_from(EndpointFilter::new("compute"), "/servers")).await.unwrap();
    assert_eq!(cloud.keystone().logins(), 1);
    let audit_id = access.auth_ref().unwrap().audit_id().unwrap().to_owned();
    assert_eq!(cloud.received_requests("compute")[0].audit_id(), Some(&*audit_id));
    let of_service = client.service("compute").unwrap();
    assert!(Arc::ptr_eq(client.plugin(), of_service.plugin()));
}

#[tokio::test]
async fn the_proxies_are_those_of_the_environment_of_the_configuration() {
    let (cloud, _served) = serve().await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let send = async |no_proxy: &str| {
        let config = CloudConfig::builder()
            .load_files(false)
            .environment([("http_proxy", &*proxy), ("no_proxy", no_proxy)])
            .set("auth_type", "none")
            .set_auth("endpoint", format!("{}/compute", cloud.base_url()))
            .set("connect_retries", "0");
        config.build().unwrap().client().unwrap().service("compute").unwrap().oneshot(get("/servers")).await
    };
    assert!(send("").await.is_err());
    assert_eq!(send("127.0.0.1").await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stream_can_be_sent() {
    /// A body of some frames, which counts how often it is read.
    struct Frames(u8, Arc<Mutex<usize>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            *self.1.lock().unwrap() += 1;
            self.0 = match self.0.checked_sub(1) {
                Some(left) => left,
                None => return Poll::Ready(None),
            };
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
        }
    }

    let (cloud, _served) = serve().await;
    let config = config(&cloud, &[("status_code_retry_delay", "0")]);
    let https = config.https().build().unwrap().with_body();
    let retry = RetryPolicy::replaying().connect_failure(HttpsClient::is_connect_failure);
    let client = config.client_with(https, ReauthPolicy::replaying(), retry).unwrap();
    cloud.fail_next("image", 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    cloud.respond_with("image", move |request| {
        seen.lock().unwrap().push(request.body().clone());
        Response::new("")
    });

    let polls = Arc::new(Mutex::new(0));
    let upload = Request::put("/images/1/file")
        .extension(EndpointFilter::new("image"))
        .body(ReplayBody::new(Frames(3, Arc::clone(&polls)), 1024))
        .unwrap();
    let response = client.oneshot(upload).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*bodies.lock().unwrap(), [Bytes::from_static(b"frameframeframe")]);
    assert_eq!(cloud.requests_to("image"), 2);
    assert_eq!(cloud.received_requests("image")[1].method(), Method::PUT);
    assert!(*polls.lock().unwrap() <= 4, "the second attempt reads from the buffer");
}

#[tokio::test]
async fn a_missing_certificate_is_an_error_that_names_the_file() {
    let cloud = Cloud::new(SERVICES);
    let config = config(&cloud, &[("cacert", "/nowhere/ca.pem")]);
    let error = config.client().unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn settings_without_effect_and_missing_verification_are_logged() {
    let cloud = Cloud::new(SERVICES);
    let (log, _guard) = Log::new();
    let settings = [
        ("insecure", "true"),
        ("cacert", "/canary/ca.pem"),
        ("key", "/canary/key.pem"),
        ("compute_api_version", "2.canary"),
    ];
    let config = config(&cloud, &settings);
    let lines = log.take_lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("cacert has no effect"), "{lines:?}");
    assert!(lines[1].contains("WARN") && lines[1].contains("key has no effect"), "{lines:?}");

    for _ in 0..2 {
        let client = config.client().unwrap();
        let lines = log.take_lines();
        assert!(lines.len() == 1 && lines[0].contains("not verified"), "{lines:?}");
        client.service("compute").unwrap();
        client.service("compute").unwrap();
        let lines = log.take_lines();
        assert!(lines.len() == 1 && lines[0].contains("compute_api_version has no effect"), "{lines:?}");
        assert!(!lines[0].contains("canary"), "{lines:?}");
    }
}

#[test]
fn debug_shows_no_setting() {
    let cloud = Cloud::new(SERVICES);
    let config =
        config(&cloud, &[("compute_service_name", "canary"), ("compute_default_microversion", "2.4242")]);
    let client = config.client().unwrap();
    let nova = client.service("compute").unwrap();
    let shown = format!(
        "{:?} {client:?} {nova:?} {:?} {:?}",
        config.service("compute"),
        config.service_layer(),
        config.tls()
    );
    assert!(
        !shown.contains("canary") && !shown.contains("2.4242") && !shown.contains("wonderland"),
        "{shown}"
    );
}

#[test]
fn the_client_and_its_futures_can_be_sent_to_other_threads() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    fn is_sent<S: Service<Request<Full<Bytes>>>>(_: fn(S))
    where
        S::Future: Send,
    {
    }
    is_shared::<CloudClient>();
    is_sent::<CloudClient>(|_| ());
}

#[tokio::test]
async fn one_client_sends_the_requests_of_many_identities() {
    let (cloud, _served) = serve().await;
    let cloud = cloud.user("bob", "builder");
    let client = config(&cloud, &[("status_code_retry_delay", "0")]).client().unwrap();
    let nova = client.service("compute").unwrap();
    let bob = Identity::new(AccessInfoPlugin::new(cloud.keystone().issue("bob", Some("demo")).unwrap()));
    let mut to_glance = get_from(EndpointFilter::new("image"), "/v2/images");
    to_glance.extensions_mut().insert(bob.clone());
    let mut to_nova = get("/servers");
    to_nova.extensions_mut().insert(bob.clone());
    assert_eq!(client.oneshot(to_glance).await.unwrap().status(), 200);
    assert_eq!(nova.clone().oneshot(to_nova.clone()).await.unwrap().status(), 200);
    assert_eq!(cloud.keystone().logins(), 0, "the user of the configuration is not needed");

    // The second attempt has the same identity.
    cloud.fail_next("compute", 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(nova.clone().oneshot(to_nova.clone()).await.unwrap().status(), 200);
    let access = bob.access().await.unwrap();
    cloud.keystone().revoke(access.auth_ref().unwrap().auth_token().unwrap());
    assert_eq!(nova.clone().oneshot(to_nova).await.unwrap().status(), 401);
    assert_eq!(cloud.keystone().logins(), 0);
    assert_eq!(nova.oneshot(get("/servers")).await.unwrap().status(), 200);
    assert_eq!(cloud.keystone().logins(), 1);
}

#[tokio::test]
async fn a_client_sends_its_token_as_service_token_and_requires_identities() {
    let (cloud, _served) = serve().await;
    let cloud = cloud.user("bob", "builder").role("alice", "demo", "service");
    let plain = config(&cloud, &[]).client().unwrap();
    let client = plain.clone().send_service_token().require_identity();
    let bob = Identity::new(AccessInfoPlugin::new(cloud.keystone().issue("bob", Some("demo")).unwrap()));
    for nova in [client.service("compute").unwrap(), client.clone().service("compute").unwrap()] {
        let mut request = get("/servers");
        request.extensions_mut().insert(bob.clone());
        assert_eq!(nova.clone().oneshot(request).await.unwrap().status(), 200);
        let received = cloud.received_requests("compute");
        let access = client.plugin().access().await.unwrap();
        let service_audit_id = received.last().unwrap().service_audit_id();
        assert!(service_audit_id.is_some() && service_audit_id == access.auth_ref().unwrap().audit_id());

        let error = nova.oneshot(get("/servers")).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::NoIdentity)), "{error}");
        assert_eq!(cloud.requests_to("compute"), received.len());
    }
    assert_eq!(cloud.keystone().logins(), 1);

    let nova = plain.service("compute").unwrap();
    let mut request = get("/servers");
    request.extensions_mut().insert(bob);
    for request in [request, get("/servers")] {
        assert_eq!(nova.clone().oneshot(request).await.unwrap().status(), 200);
        let received = cloud.received_requests("compute");
        assert!(!received.last().unwrap().headers().contains_key("x-service-token"));
    }
}
