//! Federated logins by the configuration of a cloud.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::util::MapRequest;
use tower_keystone::{
    CloudConfig, Error, IdentityPlugin, Secret, SharedTokens, Transport,
    config::CloudConfigBuilder,
    error::LoginStep,
    fixture::{Cloud, Fault},
};

pub fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("op", "openid");
    cloud.oidc_provider().add_user("alice", "wonderland");
    cloud.oidc_provider().add_client("robot", "robot-secret");
    cloud.oidc_provider().add_public_client("cli");
    cloud
}

/// Returns the configuration of a project of the cloud. All settings come from the program.
pub fn builder(cloud: &Cloud, auth_type: &str) -> CloudConfigBuilder {
    CloudConfig::builder()
        .environment([("HOME", "/nowhere")])
        .set("auth_type", auth_type)
        .set_auth("auth_url", cloud.keystone().auth_url())
        .set_auth("identity_provider", "op")
        .set_auth("protocol", "openid")
        .set_auth("project_name", "demo")
        .set_auth("project_domain_name", "Default")
}

pub fn device(cloud: &Cloud) -> CloudConfigBuilder {
    builder(cloud, "v3oidcdeviceauthz")
        .set_auth("client_id", "cli")
        .set_auth("discovery_endpoint", cloud.oidc_provider().discovery_endpoint())
        .set_auth("openid_scope", "openid profile offline_access")
}

/// Returns a transport to the cloud, and the number of requests whose path ends so.
pub fn counting(cloud: &Cloud, path: &'static str) -> (Transport, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let client = MapRequest::new(cloud.clone(), move |request: Request<Full<Bytes>>| {
        counted.fetch_add(usize::from(request.uri().path().ends_with(path)), Ordering::Relaxed);
        request
    });
    (Transport::new(client), requests)
}

/// Returns the names of the user and the project of the token that the plugin obtains.
pub async fn token(config: &CloudConfig, transport: Transport) -> Result<[String; 2], Error> {
    let access = config.plugin(transport).access().await?;
    let info = access.auth_ref().unwrap();
    Ok([info.username(), info.project_name()].map(|name| name.unwrap_or_default().to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_person_logs_in_on_any_device() {
    let cloud = cloud();
    let config = device(&cloud).build().unwrap();
    assert_eq!(config.auth_type(), "v3oidcdeviceauthz");
    let provider = cloud.oidc_provider().clone();
    let config = config.log_in(cloud.transport(), |page| {
        let code = page.user_code.unwrap();
        assert!(page.url.starts_with(&provider.issuer()) && !page.expires_in.is_zero(), "{page:?}");
        assert!(!format!("{page:?}").contains(code));
        provider.approve(code, "alice");
    });
    let config = config.await.unwrap();
    assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["alice", "demo"]);

    // A clone of the configuration contains the login, and logging in again is not needed for another plugin.
    let again = config.clone();
    assert_eq!(token(&again, cloud.transport()).await.unwrap(), ["alice", "demo"]);
}

/// Runs a program that keeps the login in `saved`. Returns whether a person was asked.
async fn run_with_kept_login(cloud: &Cloud, scope: &str, saved: &Arc<Mutex<Option<Secret>>>) -> bool {
    let (provider, save) = (cloud.oidc_provider().clone(), Arc::clone(saved));
    let refresh_token = saved.lock().unwrap().clone();
    let config = device(cloud).set_auth("openid_scope", scope).build().unwrap();
    let config = config.keep_login(refresh_token, move |token| *save.lock().unwrap() = Some(token.clone()));
    let mut is_asked = false;
    let config = config.log_in(cloud.transport(), |page| {
        provider.approve(page.user_code.unwrap(), "alice");
        is_asked = true;
    });
    let config = config.await.unwrap();
    assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["alice", "demo"]);
    is_asked
}

#[tokio::test(start_paused = true)]
async fn a_kept_login_lasts_for_many_runs() {
    let (cloud, saved) = (cloud(), Arc::default());
    let scope = "openid profile offline_access";
    assert!(run_with_kept_login(&cloud, scope, &saved).await);
    let mut seen = vec![saved.lock().unwrap().clone().unwrap()];
    for _ in 0..3 {
        assert!(!run_with_kept_login(&cloud, scope, &saved).await);
        let token = saved.lock().unwrap().clone().unwrap();
        assert!(seen.iter().all(|old| old.expose() != token.expose()));
        seen.push(token);
    }

    // The provider has ended the login.
    cloud.oidc_provider().revoke(seen.last().unwrap().expose());
    assert!(run_with_kept_login(&cloud, scope, &saved).await);
    assert!(!run_with_kept_login(&cloud, scope, &saved).await);
}

#[tokio::test(start_paused = true)]
async fn a_kept_login_goes_on_with_a_store() {
    let (cloud, saved, store) = (cloud(), Arc::default(), SharedTokens::in_memory());
    assert!(run_with_kept_login(&cloud, "openid offline_access", &saved).await);
    for _ in 0..2 {
        let save = Arc::clone(&saved);
        let refresh_token = saved.lock().unwrap().clone();
        let config = device(&cloud).shared_tokens(store.clone()).build().unwrap();
        let config =
            config.keep_login(refresh_token, move |token| *save.lock().unwrap() = Some(token.clone()));
        let config = config.log_in(cloud.transport(), |_| panic!("a person is asked")).await.unwrap();
        assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["alice", "demo"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_without_a_refresh_token_is_not_kept() {
    let (cloud, saved) = (cloud(), Arc::default());
    for _ in 0..2 {
        assert!(run_with_kept_login(&cloud, "openid profile", &saved).await);
        assert!(saved.lock().unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_end_a_kept_login() {
    let cloud = cloud();
    let config = device(&cloud).build().unwrap().keep_login(Some("saved".into()), |_| panic!("a new token"));
    cloud.fail_next("oidc", 9, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let error = config.log_in(cloud.transport(), |_| panic!("a person is asked")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_the_person_refuses_is_an_error() {
    let cloud = cloud();
    let provider = cloud.oidc_provider().clone();
    let config = device(&cloud).build().unwrap();
    let error =
        config.log_in(cloud.transport(), |page| provider.deny(page.user_code.unwrap())).await.unwrap_err();
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error}") };
    assert_eq!((failed.step, failed.error.as_deref()), (LoginStep::Token, Some("access_denied")));
}

#[tokio::test(start_paused = true)]
async fn without_the_person_requests_fail_at_once() {
    let cloud = cloud();
    let (transport, requests) = counting(&cloud, "");
    for config in [device(&cloud), builder(&cloud, "v3websso")] {
        let config = config.build().unwrap();
        let error = token(&config, transport.clone()).await.unwrap_err();
        assert!(matches!(error, Error::AuthorizationFailure { .. }) && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("CloudConfig::log_in"), "{error}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn other_auth_types_need_no_person() {
    let cloud = cloud();
    let config = builder(&cloud, "v3oidcclientcredentials")
        .set_auth("client_id", "robot")
        .set_auth("client_secret", "robot-secret")
        .set_auth("discovery_endpoint", cloud.oidc_provider().discovery_endpoint())
        .build()
        .unwrap();
    let (transport, requests) = counting(&cloud, "");
    let config = config.log_in(transport, |_| panic!("a person is asked")).await.unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), 0);
    assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["robot", "demo"]);
}

#[tokio::test(start_paused = true)]
async fn a_password_at_the_provider_is_used() {
    let cloud = cloud();
    let config = |password| {
        builder(&cloud, "v3oidcpassword")
            .set_auth("client_id", "cli")
            .set_auth("access_token_endpoint", format!("{}/token", cloud.oidc_provider().issuer()))
            .set_auth("username", "alice")
            .set_auth("password", password)
            .build()
            .unwrap()
    };
    assert_eq!(token(&config("wonderland"), cloud.transport()).await.unwrap(), ["alice", "demo"]);
    let error = token(&config("canary"), cloud.transport()).await.unwrap_err();
    assert!(matches!(error, Error::FederatedLoginFailed(_)), "{error}");
    assert!(!format!("{error:#} {error:?}").contains("canary"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_access_token_is_exchanged() {
    let cloud = cloud();
    let bearer = cloud.oidc_provider().issue_access_token("alice").unwrap();
    let config = builder(&cloud, "v3oidcaccesstoken").set_auth("access_token", bearer).build().unwrap();
    assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["alice", "demo"]);
}

/// Obtains a token for a project with this store. Returns the number of logins at the provider.
async fn token_from_store(cloud: &Cloud, store: &SharedTokens, project: &str) -> usize {
    let config = builder(cloud, "v3oidcpassword")
        .set_auth("client_id", "cli")
        .set_auth("discovery_endpoint", cloud.oidc_provider().discovery_endpoint())
        .set_auth("username", "alice")
        .set_auth("password", "wonderland")
        .set_auth("project_name", project)
        .shared_tokens(store.clone())
        .build()
        .unwrap();
    let (transport, logins) = counting(cloud, "/token");
    assert_eq!(token(&config, transport).await.unwrap(), ["alice", project]);
    logins.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn the_unscoped_token_is_in_the_store_too() {
    let cloud = cloud().project("other");
    let store = SharedTokens::in_memory();
    assert_eq!(token_from_store(&cloud, &store, "demo").await, 1);
    assert_eq!(token_from_store(&cloud, &store, "demo").await, 0, "the same token");
    assert_eq!(token_from_store(&cloud, &store, "other").await, 0, "the same unscoped token");
}

#[tokio::test]
async fn a_person_logs_in_with_the_browser_of_this_machine() {
    let cloud = cloud();
    let config = builder(&cloud, "v3websso")
        .set_auth("redirect_host", "127.0.0.1")
        .set_auth("redirect_port", "0")
        .set_auth("login_timeout", "60")
        .build()
        .unwrap();
    let unscoped = {
        let bearer = cloud.oidc_provider().issue_access_token("alice").unwrap();
        let url = format!(
            "{}/OS-FEDERATION/identity_providers/op/protocols/openid/auth",
            cloud.keystone().auth_url()
        );
        let request = Request::post(url).header("authorization", format!("Bearer {bearer}"));
        let response = cloud.transport().send(request.body(Bytes::new()).unwrap()).await.unwrap();
        response.headers()["x-subject-token"].to_str().unwrap().to_owned()
    };
    let config = config.log_in(cloud.transport(), |page| {
        assert_eq!((page.user_code, page.url_with_code), (None, None));
        assert_eq!(page.expires_in, Duration::from_secs(60));
        let (_, origin) = page.url.split_once("?origin=http%3A%2F%2F127.0.0.1%3A").unwrap();
        let port: u16 = origin.split_once('%').unwrap().0.parse().unwrap();
        thread::spawn(move || post_token(port, &unscoped));
    });
    let config = config.await.unwrap();
    assert_eq!(token(&config, cloud.transport()).await.unwrap(), ["alice", "demo"]);
}

/// Sends the form with the token, as the page of Keystone does.
fn post_token(port: u16, token: &str) {
    let form = format!("token={token}");
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let headers = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Mode: navigate\r\n\
                   Sec-Fetch-Dest: document\r\nSec-Fetch-Site: cross-site\r\n";
    let request = format!(
        "POST /auth/websso/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n{headers}\r\n{form}",
        form.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    let _ = connection.read_to_end(&mut Vec::new());
}
