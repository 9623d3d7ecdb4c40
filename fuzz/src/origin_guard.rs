//! Which origins the token is sent to.

use http::{Request, Uri};
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter};
use url::Url;

use crate::{
    input::next,
    requests::{access_info, sent},
};

/// The input has six lines: the URL of a request, two endpoints of the catalog, an `auth_url`, an
/// endpoint override and an allowed origin.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    let Ok(wanted) = next(&mut lines).parse::<Uri>() else { return };
    if wanted.scheme().is_none() {
        return;
    }
    let named: [&str; 5] = std::array::from_fn(|_| next(&mut lines));
    let [first, second, auth_url, endpoint_override, allowed] = named;

    let mut plugin = AccessInfoPlugin::new(access_info(&[first, second]));
    if let Ok(auth_url) = auth_url.parse::<Uri>() {
        plugin = plugin.auth_url(auth_url);
    }
    let mut layer = AuthLayer::new(plugin);
    if !endpoint_override.is_empty() {
        layer = layer.endpoint(EndpointFilter::default().endpoint_override(endpoint_override));
    }
    if let Ok(allowed) = allowed.parse()
        && let Ok(allowing) = layer.clone().allow_origin(&allowed)
    {
        layer = allowing;
    }

    let request = Request::get(wanted.clone()).body(()).expect("a request");
    let https_alone =
        sent(&layer.clone().require_https(), Request::get(wanted.clone()).body(()).expect("one"));
    if let Ok(request) = https_alone {
        assert_eq!(request.uri().scheme_str(), Some("https"));
    }
    let Ok(request) = sent(&layer, request) else { return };
    assert_eq!(request.uri(), &wanted, "an absolute URI is left as it is");
    assert!(request.headers()["x-auth-token"].is_sensitive());

    // Whoever reads URLs in another way must not be led to another origin.
    let Ok(read) = Url::parse(&wanted.to_string()) else { return };
    let mut known = named.iter().filter_map(|url| Url::parse(url).ok());
    assert!(
        known.any(|known| known.origin() == read.origin()),
        "{wanted} got the token; known are {named:?}"
    );
    assert!(read.username().is_empty() && read.password().is_none(), "{wanted}");
}
