//! A relative URI joined to its endpoint.

use http::{Request, Uri};
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter};
use url::Url;

use crate::{
    input::next,
    requests::{TOKEN, access_info, sent},
};

/// The input has two lines: the URL of the endpoint, and a request URI.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    // What is around the URL of an endpoint is not part of it.
    let (endpoint, relative) = (next(&mut lines).trim_ascii(), next(&mut lines));
    let Ok(relative) = relative.parse::<Uri>() else { return };
    if relative.scheme().is_some() {
        return;
    }
    let plugin = AccessInfoPlugin::new(access_info(&[endpoint]));
    let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
    let wanted = relative.path_and_query().map_or(String::new(), ToString::to_string);
    let Ok(request) = sent(&layer, Request::get(relative).body(()).expect("a request")) else { return };

    assert_eq!(request.headers()["x-auth-token"], TOKEN);
    let uri = request.uri().to_string();
    // Byte for byte, with one slash between the two.
    let joined = format!("/{}", wanted.trim_start_matches('/'));
    assert!(uri.ends_with(&joined), "{uri} for {wanted}");
    let base: Uri = endpoint.parse().expect("it was used");
    assert!(request.uri().path().starts_with(base.path().trim_end_matches('/')), "{uri} for {endpoint}");

    // As another reader of URLs sees it, it is at the endpoint's origin and below its path.
    let Ok(base) = Url::parse(&format!("{}/", endpoint.trim_end_matches('/'))) else { return };
    let read = Url::parse(&uri).expect("the endpoint can be read, and so can this");
    assert_eq!(read.origin(), base.origin(), "{uri} for {endpoint}");
    assert!(read.path().starts_with(base.path()), "{uri} for {endpoint}");
}
