//! The version documents of a real Keystone and Placement.

use std::sync::Arc;

use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, Transport,
    discovery::{Discovery, LATEST, Version, VersionStatus},
};

use crate::support::{body_of, keystone, real};

#[tokio::test]
async fn keystone_and_placement_tell_their_versions() {
    let Some(real) = real() else { return };
    let plugin = AccessInfoPlugin::new(real.token(real.project_scope()).await).auth_url(real.auth_url());
    let discovery = Discovery::new(real.transport());

    let placement = discovery.endpoint_data(&plugin, &EndpointFilter::new("placement")).await.unwrap();
    assert_eq!(placement.api_version(), Some(Version::new(1, 0)));
    assert_eq!(placement.min_microversion(), Some(Version::new(1, 0)));
    assert!(placement.max_microversion() >= Some(Version::new(1, 39)));
    assert_eq!(placement.status(), Some(VersionStatus::Current));

    for filter in [EndpointFilter::new("identity"), keystone()] {
        let identity = discovery.endpoint_data(&plugin, &filter).await.unwrap();
        assert_eq!(identity.api_version().unwrap().major, 3);
        assert_eq!(identity.url().trim_end_matches('/'), real.auth_url().to_string());
    }
    let newest = EndpointFilter::new("identity").min_version(LATEST, LATEST);
    assert!(discovery.endpoint(&plugin, &newest).await.unwrap().api_version() >= Some(Version::new(3, 14)));
    let error = discovery.endpoint(&plugin, &keystone().version(2, 0)).await.unwrap_err();
    assert!(matches!(error, Error::DiscoveryFailure(_)), "{error}");

    let all = discovery.all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    let public = &all["RegionOne"]["public"];
    assert_eq!(public.keys().map(|name| &**name).collect::<Vec<_>>(), ["identity", "placement"]);
    assert!(public.values().all(|versions| versions.len() == 1));
}

#[tokio::test]
async fn requests_go_to_the_version_and_ask_for_the_newest_microversion_that_is_there() {
    let Some(real) = real() else { return };
    let plugin = AccessInfoPlugin::new(real.token(real.project_scope()).await);
    let asked = real.client();
    let layer = Arc::new(AuthLayer::new(plugin).discovery(Transport::new(asked.clone())));
    let filter = EndpointFilter::new("placement").version(1, 0).newest_microversion("1.10", "1.30");
    let mut under_way = JoinSet::new();
    for _ in 0..20 {
        let request =
            Request::get("/resource_providers").extension(filter.clone()).body(body_of("")).unwrap();
        under_way.spawn(layer.layer(real.client()).oneshot(request));
    }
    for response in under_way.join_all().await {
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["openstack-api-version"], "placement 1.30");
    }
    assert_eq!(asked.sent(), 1, "one document for all of them");

    let future = EndpointFilter::new("placement").newest_microversion("7.0", "latest");
    let request = Request::get("/resource_providers").extension(future).body(body_of("")).unwrap();
    let error = layer.layer(real.client()).oneshot(request).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::UnsupportedMicroversion { .. })), "{error}");
}
