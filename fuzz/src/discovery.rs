//! Reading version documents.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Transport,
    discovery::{Allow, Discovery, Version, VersionDocument, VersionRange},
};
use url::Url;

use crate::{
    input,
    requests::{TOKEN, access_info},
};

const SERVICE: &str = "https://nova.example.com/compute/v2.1/p1";

/// The input is an HTTP response.
pub fn run(input: &[u8]) {
    let Some(answer) = input::answer(input) else { return };
    for url in [SERVICE, "https://nova.example.com", "http://[::1]:8774/?x=/../y"] {
        if let Ok(document) = VersionDocument::new(url, answer.headers(), answer.body()) {
            look_at(&document);
        }
    }
    for token_first in [false, true] {
        request(&answer, token_first);
    }
}

/// Reads everything in a document, and checks that each link stays within its origin.
fn look_at(document: &VersionDocument) {
    let mut everything = Allow::default();
    (everything.experimental, everything.unknown) = (true, true);
    let home = Url::parse(document.url()).expect("a URL").origin();
    for data in document.version_data(everything) {
        for url in std::iter::once(&data.url).chain(&data.collection) {
            match Url::parse(url) {
                Ok(url) => assert_eq!(url.origin(), home, "{url}"),
                Err(error) => panic!("{url:?}: {error}"),
            }
        }
        let version = data.version.expect("an entry has a version");
        assert!(document.data_for(version, everything).is_some(), "{version} is listed, and then not found");
    }
    let ends = [None, Some(Version::new(2, 0)), Some(Version::latest_minor(2)), Some(Version::latest())];
    for min in ends {
        for max in ends {
            let Ok(range) = VersionRange::new(None, min, max) else { continue };
            for at in [None, Some(document.url())] {
                let _ = document.versioned_data_for(range, at, Allow::default());
            }
        }
    }
    let _ = (document.raw_version_data(everything).count(), format!("{document:?}"));
}

/// Sends a request for a version to a service that returns this response to everything. The token may only go to the origin
/// of the catalog.
fn request(answer: &Response<Bytes>, token_first: bool) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = |answers: Option<Response<Bytes>>| {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Full<Bytes>>| {
            let token = request.headers().contains_key("x-auth-token");
            seen.lock().expect("no panic").push((request.uri().clone(), token));
            let mut answer = answers.clone().unwrap_or_default();
            if answers.is_some() && token_first && !token {
                answer = Response::default();
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
            }
            std::future::ready(Ok::<_, Infallible>(answer.map(Full::new)))
        })
    };
    let discovery = Discovery::new(Transport::new(service(Some(answer.clone()))));
    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info(&[SERVICE]))).discovery(discovery);
    let compute = EndpointFilter::new("compute");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for filter in [
        compute.clone().version(2, 1),
        compute.clone().min_version(3, 0),
        compute.newest_microversion("2.1", "latest"),
    ] {
        let request = Request::get("/servers").extension(filter).body(Full::default()).expect("a request");
        let outcome = runtime.block_on(layer.layer(service(None)).oneshot(request));
        let _ = outcome.map_err(|error| format!("{error} {error:?}"));
    }
    let home = Url::parse(SERVICE).expect("a URL").origin();
    for (uri, token) in seen.lock().expect("no panic").iter() {
        let origin = Url::parse(&uri.to_string()).map(|url| url.origin());
        assert!(origin.is_ok_and(|origin| origin == home), "{uri} with token: {token}");
        assert!(!uri_has_token(uri));
    }
}

fn uri_has_token(uri: &Uri) -> bool {
    uri.to_string().contains(TOKEN)
}
