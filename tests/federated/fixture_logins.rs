//! Federated logins at the fixture, renewed and failing.

use std::{env, fs, process, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, Credentials, EndpointFilter, Error, IdentityPlugin, RaiseForStatusLayer, ReauthPolicy,
    RenewalPolicy, RenewingPlugin, Scope,
    error::{FederatedLoginFailed, LoginStep},
    federation::{
        AccessTokenSource, ClientAuthentication, DeviceLogin, FederatedCredentials, Grant, IdentityProvider,
        OAuth2ClientCredentials, OidcClient,
    },
    fixture::{Cloud, Fault, ResponseBody},
};

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")])
        .project("demo")
        .project("other")
        .identity_provider("op", "openid")
        .user("bob", "builder")
        .application_credential("app-cred", "app-cred-secret", "bob", "demo");
    let provider = cloud.oidc_provider();
    provider.add_user("alice", "wonderland");
    provider.add_client("robot", "robot-secret");
    provider.add_client("a+b%c", "s/1 2");
    provider.add_public_client("cli");
    cloud
}

fn keystone(cloud: &Cloud) -> IdentityProvider {
    IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid")
}

fn client(cloud: &Cloud, id: &str) -> OidcClient {
    OidcClient::new(id).discovery_endpoint(cloud.oidc_provider().discovery_endpoint())
}

fn robot(cloud: &Cloud) -> OidcClient {
    client(cloud, "robot").secret("robot-secret")
}

fn project(name: &str) -> Scope {
    Scope::new().project_name(name).project_domain_name("Default")
}

fn credentials(cloud: &Cloud, grant: Grant) -> FederatedCredentials {
    FederatedCredentials::new(keystone(cloud), grant).scope(project("demo"))
}

fn plugin<C: Credentials>(cloud: &Cloud, credentials: C) -> RenewingPlugin<C> {
    RenewingPlugin::new(credentials, cloud.transport()).clock(cloud.keystone().clock())
}

/// Returns nova, called with the token of a plugin.
fn nova<C: Credentials>(
    cloud: &Cloud,
    plugin: RenewingPlugin<C>,
) -> impl Service<Request<Empty<Bytes>>, Response = Response<ResponseBody>, Error = BoxError> + Clone + use<C>
{
    ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(cloud.clone())
}

/// Returns the numbers of requests to the token endpoint, for unscoped tokens, and for tokens with a scope.
fn requests(cloud: &Cloud) -> [usize; 3] {
    let count = |service, path: &str| {
        let received = cloud.received_requests(service);
        received.iter().filter(|request| request.path_and_query().ends_with(path)).count()
    };
    [
        count("oidc", "/token"),
        count("identity", "/protocols/openid/auth"),
        count("identity", "/v3/auth/tokens"),
    ]
}

/// Calls nova at the start, after the token was revoked, and before and after it expires.
async fn call_and_renew<C: Credentials>(cloud: &Cloud, credentials: C) {
    let nova = nova(cloud, plugin(cloud, credentials));
    let call = async || {
        let request = Request::get("/servers").body(Empty::new()).unwrap();
        assert_eq!(nova.clone().oneshot(request).await.unwrap().status(), 200);
    };
    call().await;
    cloud.keystone().revoke_all();
    call().await;
    for minutes in [57, 30, 300] {
        tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        call().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_renewal_of_client_credentials_is_a_login() {
    let cloud = cloud();
    call_and_renew(&cloud, credentials(&cloud, Grant::client_credentials(robot(&cloud)))).await;
    let [tokens, unscoped, scoped] = requests(&cloud);
    assert!(tokens >= 4 && unscoped == tokens && scoped == tokens, "{tokens} {unscoped} {scoped}");
    let discoveries = cloud.requests_to("oidc") - tokens;
    assert_eq!(discoveries, 1);
}

#[tokio::test(start_paused = true)]
async fn passwords_and_all_ways_to_send_the_secret_of_a_client() {
    let cloud = cloud();
    let of = |authentication| {
        let client = client(&cloud, "a+b%c").secret("s/1 2").authentication(authentication);
        credentials(&cloud, Grant::password(client, "alice", "wonderland"))
    };
    for authentication in [ClientAuthentication::EncodedBasic, ClientAuthentication::Form] {
        let access_info = of(authentication).get_auth_ref(cloud.transport()).await.unwrap();
        assert_eq!((access_info.username(), access_info.user_domain_name()), (Some("alice"), Some("op")));
    }
    let failed = failure(of(ClientAuthentication::Basic).get_auth_ref(cloud.transport()).await.unwrap_err());
    assert_eq!((failed.step, failed.error.as_deref()), (LoginStep::Token, Some("invalid_request")));
    call_and_renew(&cloud, of(ClientAuthentication::EncodedBasic)).await;
}

#[tokio::test(start_paused = true)]
async fn an_access_token_is_read_from_its_file_at_each_login() {
    let cloud = cloud();
    let folder = env::temp_dir().join(format!("tower-keystone-fixture-logins-{}", process::id()));
    fs::create_dir(&folder).unwrap();
    let file = folder.join("token");
    let provider = cloud.oidc_provider();
    let first = provider.issue_access_token("alice").unwrap();
    fs::write(&file, format!("{first}\n")).unwrap();
    let nova = nova(
        &cloud,
        plugin(&cloud, credentials(&cloud, Grant::access_token(AccessTokenSource::file(&file)))),
    );
    let call = async || {
        let request = Request::get("/servers").body(Empty::new()).unwrap();
        nova.clone().oneshot(request).await.map(|response| response.status())
    };
    assert_eq!(call().await.unwrap(), 200);
    provider.revoke(&first);
    cloud.keystone().revoke_all();
    fs::write(&file, provider.issue_access_token("alice").unwrap()).unwrap();
    assert_eq!(call().await.unwrap(), 200);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_login_is_renewed_by_its_refresh_token() {
    let cloud = cloud();
    let client = client(&cloud, "cli").scope("openid offline_access");
    let mut login = DeviceLogin::start(keystone(&cloud), client, cloud.transport()).await.unwrap();
    let (provider, user_code) = (cloud.oidc_provider().clone(), login.user_code().to_owned());
    let person = async {
        tokio::time::sleep(Duration::from_secs(42)).await;
        provider.approve(&user_code, "alice");
    };
    let (login, ()) = tokio::join!(login.complete(), person);
    let login = login.unwrap();
    assert_eq!(login.access_info().username(), Some("alice"));
    // At once, and every five seconds until the person has approved.
    assert_eq!(requests(&cloud), [10, 1, 0]);
    call_and_renew(&cloud, login.into_credentials().scope(project("demo"))).await;
    let [tokens, unscoped, scoped] = requests(&cloud);
    assert!(tokens >= 13 && unscoped == tokens - 9 && scoped >= 4, "{tokens} {unscoped} {scoped}");
}

#[tokio::test(start_paused = true)]
async fn a_device_login_without_a_refresh_token_ends() {
    let cloud = cloud();
    let mut login =
        DeviceLogin::start(keystone(&cloud), client(&cloud, "cli"), cloud.transport()).await.unwrap();
    cloud.oidc_provider().approve(login.user_code(), "alice");
    let login = login.complete().await.unwrap();
    let plugin = plugin(&cloud, login.into_credentials().scope(project("demo")));
    plugin.access().await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let error = plugin.access().await.unwrap_err();
    assert!(matches!(error, Error::LoginEnded) && !error.is_transient(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_denied_and_an_expired_device_login_are_permanent_errors() {
    let cloud = cloud();
    let start = async || {
        DeviceLogin::start(keystone(&cloud), client(&cloud, "cli"), cloud.transport()).await.unwrap()
    };
    let mut denied = start().await;
    cloud.oidc_provider().deny(denied.user_code());
    let failed = failure(denied.complete().await.unwrap_err());
    assert_eq!((failed.step, failed.error.as_deref()), (LoginStep::Token, Some("access_denied")));

    let mut expired = start().await;
    let failed = failure(expired.complete().await.unwrap_err());
    assert_eq!(failed.error.as_deref(), Some("expired_token"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_used_once_by_all_clones() {
    let cloud = cloud();
    let client = client(&cloud, "cli").scope("openid offline_access");
    let mut login = DeviceLogin::start(keystone(&cloud), client, cloud.transport()).await.unwrap();
    cloud.oidc_provider().approve(login.user_code(), "alice");
    let credentials = login.complete().await.unwrap().into_credentials();
    let scoped = ["demo", "other"].map(|name| plugin(&cloud, credentials.clone().scope(project(name))));
    for hours in [0, 2, 10] {
        tokio::time::advance(Duration::from_secs(hours * 3600)).await;
        let (demo, other) = tokio::join!(scoped[0].access(), scoped[1].access());
        assert_eq!(demo.unwrap().project_id(), Some("project-demo"));
        assert_eq!(other.unwrap().project_id(), Some("project-other"));
    }
    // One poll and two uses of a refresh token. Another one would have revoked the login.
    assert_eq!(requests(&cloud), [3, 3, 6]);
}

#[tokio::test(start_paused = true)]
async fn an_application_credential_has_a_bearer_too() {
    let cloud = cloud();
    let auth_url = cloud.keystone().auth_url();
    let endpoint = format!("{auth_url}/OS-OAUTH2/token");
    let credentials = OAuth2ClientCredentials::new(auth_url, endpoint, "app-cred", "app-cred-secret");
    call_and_renew(&cloud, credentials).await;
    let requests = cloud.received_requests("compute");
    assert!(
        requests.iter().all(|request| request.headers().contains_key("authorization") && request.has_token())
    );
}

fn failure(error: Error) -> FederatedLoginFailed {
    assert!(!error.is_transient(), "{error}");
    match error {
        Error::FederatedLoginFailed(failed) => (*failed).clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_secrets_revoked_tokens_and_unknown_projects_are_permanent_errors() {
    let cloud = cloud();
    let revoked = cloud.oidc_provider().issue_access_token("alice").unwrap();
    cloud.oidc_provider().revoke(&revoked);
    let unknown = Grant::refresh_token(client(&cloud, "cli"), "nonsense");
    let error = credentials(&cloud, unknown).get_auth_ref(cloud.transport()).await.unwrap_err();
    assert!(matches!(error, Error::LoginEnded), "{error:?}");
    for (grant, step, status, code) in [
        (
            Grant::client_credentials(client(&cloud, "robot").secret("no")),
            LoginStep::Token,
            401,
            "invalid_client",
        ),
        (Grant::password(robot(&cloud), "alice", "no"), LoginStep::Token, 400, "invalid_grant"),
        (Grant::authorization_code(robot(&cloud), "nonsense"), LoginStep::Token, 400, "invalid_grant"),
        (Grant::access_token(revoked), LoginStep::Federation, 401, "invalid_token"),
    ] {
        let error = credentials(&cloud, grant.clone()).get_auth_ref(cloud.transport()).await.unwrap_err();
        let failed = failure(error);
        assert_eq!((failed.step, failed.status.unwrap().as_u16()), (step, status), "{code}");
        assert_eq!(failed.error.as_deref(), Some(code));
    }
    let unknown = credentials(&cloud, Grant::client_credentials(robot(&cloud))).scope(project("nowhere"));
    let error = unknown.get_auth_ref(cloud.transport()).await.unwrap_err();
    assert!(matches!(&error, Error::Keystone(error) if error.status == 401), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_provider_or_keystone_that_is_down_is_a_transient_error() {
    let cloud = cloud();
    let token_endpoint = format!("{}/token", cloud.oidc_provider().issuer());
    let client = OidcClient::new("robot").secret("robot-secret").access_token_endpoint(token_endpoint);
    let credentials = credentials(&cloud, Grant::client_credentials(client));
    for (service, step) in [("oidc", LoginStep::Token), ("identity", LoginStep::Federation)] {
        for fault in [
            Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_secs(7)),
            Fault::connection_refused(),
            Fault::broken_connection(),
            Fault::broken_response(),
        ] {
            cloud.fail_next(service, 1, fault.clone());
            let error = credentials.get_auth_ref(cloud.transport()).await.unwrap_err();
            assert!(error.is_transient(), "{service} {fault:?}: {error:?}");
            if let Error::FederatedLoginFailed(failed) = &error {
                assert_eq!((failed.step, &*failed.origin), (step, "https://cloud.test"), "{fault:?}");
                assert_eq!(failed.retry_after.is_some(), failed.status.is_some());
            }
            assert!(!format!("{error:?} {error:#}").contains("robot-secret"), "{error:?}");
            credentials.get_auth_ref(cloud.transport()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_does_not_hold_a_login_for_ever() {
    let cloud = cloud();
    let plugin = plugin(&cloud, credentials(&cloud, Grant::client_credentials(robot(&cloud))));
    cloud.fail_for("oidc", Duration::from_secs(60), Fault::latency(Duration::from_secs(24 * 3600)));
    let start = tokio::time::Instant::now();
    let error = plugin.access().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(start.elapsed() <= RenewalPolicy::default().wait_timeout);
    tokio::time::advance(Duration::from_secs(60)).await;
    plugin.access().await.unwrap();
}
