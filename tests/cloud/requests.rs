//! Requests with a token that the plugin did not obtain itself.

use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Error, ReauthPolicy, Scope, TokenRejected,
};

use crate::support::{body_of, json_of, keystone, real};

#[tokio::test]
async fn keystone_is_found_in_the_catalog_and_at_the_auth_url() {
    let Some(real) = real() else { return };
    let access_info = real.token(real.project_scope()).await;
    let mut openstack = real.openstack(&access_info);

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
    let access_info = real.token(real.project_scope()).await;
    let mut openstack = real.openstack(&access_info);

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
    for scope in [real.project_scope(), Scope::new().unscoped()] {
        let access_info = real.token(scope).await;
        let mut openstack = real.openstack(&access_info);
        // An unscoped token has no catalog, so the URL is set explicitly.
        let endpoint = placement.clone().endpoint_override(real.placement_url());
        let request = Request::get("/resource_providers").extension(endpoint).body(body_of("")).unwrap();
        status.push(openstack.ready().await.unwrap().call(request).await.unwrap().status());
    }
    assert_eq!(status, [StatusCode::OK, StatusCode::FORBIDDEN]);

    let access_info = real.token(real.project_scope()).await;
    let mut openstack = real.openstack(&access_info);
    let request = Request::get("/resource_providers").extension(placement).body(body_of("")).unwrap();
    let response = openstack.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(json_of(response).await["resource_providers"].is_array());
}

#[tokio::test]
async fn an_unscoped_token_has_no_endpoints() {
    let Some(real) = real() else { return };
    let access_info = real.token(Scope::new().unscoped()).await;
    let openstack = real.openstack(&access_info);
    let request =
        Request::get("/servers").extension(EndpointFilter::new("compute")).body(body_of("")).unwrap();
    let error = openstack.oneshot(request).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::EmptyCatalog)), "{error}");
}

#[tokio::test]
async fn after_a_revocation_the_refusal_arrives_once_and_is_final() {
    let Some(real) = real() else { return };
    let access_info = real.token(real.project_scope()).await;
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
        assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
        assert_eq!(client.sent() - sent, 1, "nothing is sent again");
    }
}
