//! The layer against a real Keystone and a real Placement.
//!
//! `boot.py` starts them on loopback, from PyPI and on SQLite, in a virtual environment that it keeps
//! under `target/cloud`. A test that cannot have them fails. `TOWER_KEYSTONE_NO_CLOUD=1` leaves these
//! tests out, for machines without Python 3 or without a package index.

mod support;

use http::{Request, StatusCode};
use serde_json::{Value, json};
use support::{Client, Real, body_of, json_of, real};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, Auth, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error,
    IdentityPlugin, Interface, ReauthPolicy, Refusal, RenewalPolicy, Renewing, Scope, Transport, V3Auth,
    renewal::SystemClock,
};

fn openstack(real: &Real, access_info: &AccessInfo) -> Auth<AccessInfoPlugin, Client> {
    let plugin = AccessInfoPlugin::new(access_info.clone()).auth_url(real.auth_url());
    ServiceBuilder::new().layer(AuthLayer::new(plugin)).service(real.client())
}

fn keystone() -> EndpointFilter {
    EndpointFilter::default().interface(Interface::Auth)
}

#[tokio::test]
async fn a_token_of_every_scope_says_what_it_is_for() {
    let Some(real) = real() else { return };
    let project = real.token(&real.project_scope()).await;
    assert!(project.project_scoped() && project.scoped() && !project.domain_scoped());
    assert_eq!(project.project_name(), Some("admin"));
    assert_eq!(project.project_domain_name(), Some("Default"));
    assert!(project.role_names().any(|role| role == "admin"));
    assert!(project.has_service_catalog());

    let domain = real.token(&json!({"domain": {"name": "Default"}})).await;
    assert!(domain.domain_scoped() && !domain.project_scoped());
    assert_eq!(domain.domain_name(), Some("Default"));

    let system = real.token(&json!({"system": {"all": true}})).await;
    assert!(system.system_scoped() && !system.domain_scoped() && !system.project_scoped());

    let unscoped = real.token(&json!("unscoped")).await;
    assert!(!unscoped.scoped() && !unscoped.has_service_catalog());

    for info in [&project, &domain, &system, &unscoped] {
        assert_eq!(info.username(), Some("admin"));
        assert_eq!(info.user_domain_id(), Some("default"));
        assert!(info.issued().unwrap() < info.expires().unwrap());
        let restored = AccessInfo::from_auth_state(&info.auth_state()).unwrap();
        assert_eq!(restored.auth_token(), info.auth_token());
        assert_eq!(restored.body(), info.body());
    }
}

#[tokio::test]
async fn keystone_is_found_in_the_catalog_and_at_the_auth_url() {
    let Some(real) = real() else { return };
    let access_info = real.token(&real.project_scope()).await;
    let mut openstack = openstack(real, &access_info);

    let by_catalog = EndpointFilter::new("identity").region("RegionOne").interface("internalURL");
    for endpoint in [by_catalog, keystone()] {
        let request = Request::get("/auth/projects").extension(endpoint).body(body_of("")).unwrap();
        let response = openstack.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let projects = json_of(response).await;
        let names: Vec<_> = projects["projects"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert!(names.contains(&&json!("admin")), "{names:?}");
    }
}

#[tokio::test]
async fn keystone_confirms_the_token_and_its_catalog() {
    let Some(real) = real() else { return };
    let access_info = real.token(&real.project_scope()).await;
    let mut openstack = openstack(real, &access_info);

    let request = Request::get("/auth/tokens")
        .header("x-subject-token", access_info.auth_token().unwrap())
        .extension(keystone())
        .body(body_of(""))
        .unwrap();
    let response = openstack.ready().await.unwrap().call(request).await.unwrap();
    let headers = response.headers().clone();
    let confirmed = AccessInfo::from_response(&headers, json_of(response).await.to_string()).unwrap();
    assert_eq!(confirmed.auth_token(), access_info.auth_token());
    assert_eq!(confirmed.audit_id(), access_info.audit_id());
    assert_eq!(confirmed.expires().unwrap(), access_info.expires().unwrap());

    let request = Request::get("/auth/catalog").extension(keystone()).body(body_of("")).unwrap();
    let catalog = json_of(openstack.ready().await.unwrap().call(request).await.unwrap()).await;
    for service in catalog["catalog"].as_array().unwrap() {
        for endpoint in service["endpoints"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let filter = EndpointFilter::new(text(&service["type"]))
                .interface(&*text(&endpoint["interface"]))
                .region(text(&endpoint["region_id"]));
            let found = access_info.service_catalog().endpoint_data_for(&filter).unwrap();
            assert_eq!(found.url(), text(&endpoint["url"]));
            assert_eq!(found.endpoint_id().unwrap(), text(&endpoint["id"]));
        }
    }
}

#[tokio::test]
async fn placement_answers_a_token_that_fits_and_refuses_one_that_does_not() {
    let Some(real) = real() else { return };
    let placement = EndpointFilter::new("placement");
    let mut status = Vec::new();
    for scope in [real.project_scope(), json!("unscoped")] {
        let access_info = real.token(&scope).await;
        let mut openstack = openstack(real, &access_info);
        // An unscoped token has no catalog, so that the URL has to be said.
        let endpoint = placement.clone().endpoint_override(real.placement_url());
        let request = Request::get("/resource_providers").extension(endpoint).body(body_of("")).unwrap();
        status.push(openstack.ready().await.unwrap().call(request).await.unwrap().status());
    }
    assert_eq!(status, [StatusCode::OK, StatusCode::FORBIDDEN]);

    let access_info = real.token(&real.project_scope()).await;
    let mut openstack = openstack(real, &access_info);
    let request = Request::get("/resource_providers").extension(placement).body(body_of("")).unwrap();
    let response = openstack.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(json_of(response).await["resource_providers"].is_array());
}

#[tokio::test]
async fn an_unscoped_token_has_no_endpoints() {
    let Some(real) = real() else { return };
    let access_info = real.token(&json!("unscoped")).await;
    let openstack = openstack(real, &access_info);
    let request =
        Request::get("/servers").extension(EndpointFilter::new("compute")).body(body_of("")).unwrap();
    let error = openstack.oneshot(request).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::EmptyCatalog)), "{error}");
}

#[tokio::test]
async fn after_a_revocation_the_refusal_arrives_once_and_is_final() {
    let Some(real) = real() else { return };
    let access_info = real.token(&real.project_scope()).await;
    let plugin = AccessInfoPlugin::new(access_info.clone()).auth_url(real.auth_url());
    let client = real.client();
    let mut openstack = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin))
        .service(client.clone());

    let token = access_info.auth_token().unwrap();
    let revoke = Request::delete("/auth/tokens")
        .header("x-subject-token", token)
        .extension(keystone())
        .body(body_of(""))
        .unwrap();
    let response = openstack.ready().await.unwrap().call(revoke).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);

    for (service_type, path) in [("placement", "/resource_providers"), ("identity", "/auth/projects")] {
        let sent = client.sent();
        let endpoint = EndpointFilter::new(service_type);
        let request = Request::get(path).extension(endpoint).body(body_of("")).unwrap();
        let response = openstack.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.extensions().get(), Some(&Refusal::Final));
        assert_eq!(client.sent() - sent, 1, "nothing is sent again");
    }
}

/// Figures for tokens that live for seconds, and for services that refuse many of them.
fn hasty() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.least_interval = std::time::Duration::ZERO;
    policy.refusals = usize::MAX;
    policy
}

#[tokio::test]
async fn with_many_requests_in_flight_a_revocation_loses_none_and_costs_one_login() {
    let Some(real) = real() else { return };
    let logins = real.client();
    let plugin = Renewing::with(
        real.credentials(real.auth_url()),
        Transport::new(logins.clone()),
        hasty(),
        SystemClock,
    );
    let placement = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("placement")))
        .service(real.client());
    for run in 0..20 {
        let access = plugin.access().await.unwrap();
        let (info, before) = (access.auth_ref().unwrap(), logins.sent());
        let mut under_way = JoinSet::new();
        for number in 0..50 {
            if number == 25 {
                let revoke = Request::delete("/auth/tokens")
                    .header("x-subject-token", info.auth_token().unwrap())
                    .extension(keystone())
                    .body(body_of(""))
                    .unwrap();
                let revoked = openstack(real, info).oneshot(revoke).await.unwrap();
                assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
            }
            let request = Request::get("/resource_providers").body(body_of("")).unwrap();
            under_way.spawn(placement.clone().oneshot(request));
            tokio::task::yield_now().await;
        }
        while let Some(answer) = under_way.join_next().await {
            assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK, "run {run}");
        }
        assert_eq!(logins.sent() - before, 1, "run {run}");
    }
}

#[tokio::test]
async fn the_version_of_keystone_is_found_out_at_its_root() {
    let Some(real) = real() else { return };
    let client = real.client();
    let versioned = real.auth_url().to_string();
    let root = versioned.strip_suffix("/v3").unwrap();
    for auth_url in [root, &versioned, &format!("{root}/")] {
        let before = client.sent();
        let credentials = real.generic_credentials(auth_url.parse().unwrap());
        for _ in 0..2 {
            let access_info = credentials.get_auth_ref(Transport::new(client.clone())).await.unwrap();
            assert_eq!(access_info.project_name(), Some("admin"));
        }
        assert_eq!(client.sent() - before, 3, "one document and two logins");
    }
}

#[tokio::test]
async fn tokens_that_live_for_seconds_are_renewed_before_a_service_refuses_one() {
    let Some(real) = real() else { return };
    let (logins, client) = (real.client(), real.client());
    let plugin = Renewing::with(
        real.credentials(real.short_auth_url()),
        Transport::new(logins.clone()),
        hasty(),
        SystemClock,
    );
    let mut placement =
        AuthLayer::new(plugin).endpoint(EndpointFilter::new("placement")).layer(client.clone());
    for sent in 0.. {
        if logins.sent() == 4 {
            break;
        }
        assert!(sent < 20_000, "{} logins after {sent} requests", logins.sent());
        let request = Request::get("/resource_providers").body(body_of("")).unwrap();
        let response = placement.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_is_exchanged_and_keeps_its_expiry() {
    let Some(real) = real() else { return };
    let unscoped = real.token(&json!("unscoped")).await;
    let transport = Transport::new(real.client());
    let token = AuthMethod::token(unscoped.auth_token().unwrap());
    let scope = Scope::new().project_name("admin").project_domain_name("Default");
    let exchange = V3Auth::new(real.auth_url(), token).scope(scope);
    let project = exchange.get_auth_ref(transport.clone()).await.unwrap();
    assert_eq!(project.project_name(), Some("admin"));
    assert_eq!(project.expires().unwrap(), unscoped.expires().unwrap());
    let slim = exchange.without_catalog().get_auth_ref(transport).await.unwrap();
    assert!(!slim.has_service_catalog() && slim.project_scoped());
}

#[tokio::test]
async fn an_application_credential_logs_in_until_it_is_deleted() {
    let Some(real) = real() else { return };
    let access_info = real.token(&real.project_scope()).await;
    let mut openstack = openstack(real, &access_info);
    let user_id = access_info.user_id().unwrap();
    let credentials = format!("/users/{user_id}/application_credentials");
    let wanted = json!({"application_credential": {"name": "of-a-test", "secret": "s3cret"}});
    let create = Request::post(&credentials)
        .header("content-type", "application/json")
        .extension(keystone())
        .body(body_of(&wanted.to_string()))
        .unwrap();
    let created = json_of(openstack.ready().await.unwrap().call(create).await.unwrap()).await;
    let id = created["application_credential"]["id"].as_str().unwrap().to_owned();

    let by_id = V3Auth::new(real.auth_url(), AuthMethod::application_credential(&*id, "s3cret"));
    let user = tower_keystone::User::new().user_id(user_id);
    let by_name = AuthMethod::named_application_credential("of-a-test", user, "s3cret");
    for credentials in [by_id.clone(), V3Auth::new(real.auth_url(), by_name)] {
        let info = credentials.get_auth_ref(Transport::new(real.client())).await.unwrap();
        assert_eq!(info.application_credential_id(), Some(&*id));
        assert_eq!(info.project_name(), Some("admin"));
    }

    let delete =
        Request::delete(format!("{credentials}/{id}")).extension(keystone()).body(body_of("")).unwrap();
    let deleted = openstack.ready().await.unwrap().call(delete).await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let error = by_id.get_auth_ref(Transport::new(real.client())).await.unwrap_err();
    assert!(matches!(&error, Error::Http(answer) if answer.status == StatusCode::NOT_FOUND), "{error}");
    assert!(!error.is_transient());
}
