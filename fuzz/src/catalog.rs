//! Reading the service catalog of a token document.

use http::Request;
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Interface};
use url::Url;

use crate::requests::{TOKEN, sent};

/// The input is a token document.
pub fn run(input: &[u8]) {
    let Ok(access_info) = AccessInfo::new(TOKEN, input) else { return };
    let catalog = access_info.service_catalog();
    let everything = EndpointFilter::default().any_interface();
    let listed: Vec<_> =
        catalog.endpoints_data(&everything).into_iter().flat_map(|(_, found)| found).collect();
    let origins: Vec<_> = listed.iter().filter_map(|found| Url::parse(found.url()).ok()).collect();
    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info.clone()));

    for service_type in
        ["compute", "block-storage", "volumev3", "identity", "image", "object-store", "my-own"]
    {
        let filter = EndpointFilter::new(service_type);
        for filter in [
            filter.clone(),
            filter.clone().interfaces([Interface::Internal, Interface::Admin]),
            filter.clone().region("RegionOne").any_interface(),
            filter.service_name("nova").endpoint_id("e1"),
        ] {
            ask(&access_info, &filter);
            let request =
                Request::get("/servers/detail?limit=9").extension(filter).body(()).expect("a request");
            let Ok(request) = sent(&layer, request) else { continue };
            let uri = request.uri().to_string();
            assert!(uri.ends_with("/servers/detail?limit=9"), "{uri}");
            // What cannot be read as a URL cannot be sent either.
            let Ok(read) = Url::parse(&uri) else { continue };
            assert!(origins.iter().any(|known| known.origin() == read.origin()), "{uri}");
        }
    }
    for found in listed.iter().take(4) {
        let filter = EndpointFilter::new(found.service_type()).any_interface();
        assert!(catalog.urls(&filter).count() > 0, "{found:?} is listed, and then not found");
        let _ = (format!("{found} {found:?}"), found.api_version());
    }
}

/// Checks that the lookups of one endpoint, of the best and of all endpoints agree.
fn ask(access_info: &AccessInfo, filter: &EndpointFilter) {
    let catalog = access_info.service_catalog();
    let first = catalog.urls(filter).next();
    match catalog.url_for(filter) {
        Ok(url) => assert_eq!(first, Some(url)),
        Err(error) => {
            assert_eq!(first, None);
            let _ = format!("{error} {error:?}");
        }
    }
}
