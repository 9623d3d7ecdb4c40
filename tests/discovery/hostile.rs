//! Hostile and malformed documents and links.

use std::collections::BTreeSet;

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_keystone::{
    AccessInfoPlugin, EndpointFilter,
    discovery::{Allow, LATEST, Version, VersionDocument, VersionRange},
};

use crate::{allocations, support::*};

/// Generates JSON that often has the member names of version documents.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("CURRENT".to_owned()),
        Just("v2.1".to_owned()),
        Just("latest".to_owned()),
        Just("self".to_owned()),
        any_link(),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "versions",
            "values",
            "version",
            "id",
            "status",
            "links",
            "rel",
            "href",
            "min_version",
            "max_version",
            "next_min_version",
            "not_before",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    leaf.prop_recursive(6, 128, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_link() -> impl Strategy<Value = String> {
    prop_oneof![
        r"(https?|ftp|javascript)?:?(//)?[a-z@:.\\%\[\]0-9]{0,14}(/[.a-z0-9%;]{0,6}){0,4}/?(\?[a-z=/]{0,4})?(#.{0,3})?",
        r"[/.\\@:?#a-z0-9]{0,20}",
        ".{0,20}",
    ]
}

/// Returns a valid version document with this link.
fn document_with_link(link: &str) -> Value {
    json!({"versions": [{"id": "v2.1", "status": "CURRENT", "links": [{"rel": "self", "href": link}]}]})
}

/// Returns the URL of the only version in a document at `document` with this link.
fn version_url(document: &str, link: &str) -> Option<String> {
    let document =
        VersionDocument::new(document, &HeaderMap::new(), document_with_link(link).to_string().as_bytes());
    document.unwrap().version_data(Allow::default()).next().map(|data| data.url.to_string())
}

#[test]
fn a_link_with_an_invalid_host_keeps_the_host_of_the_document() {
    for host in [
        "10.0.0.1:$(compute_port)s",
        "10.0.0.1:None",
        ":8774",
        "%(host)s:8774",
        "{host}:8774",
        "<host>",
        "my_host",
        "host:99999",
        "host:8774:443",
        "",
        "host name",
        "a@b@c",
        "[::1",
        "h\\",
    ] {
        for scheme in ["http:", "https:", ""] {
            let link = format!("{scheme}//{host}/compute/v2.1/");
            let url = version_url("https://nova.example.com/api", &link);
            assert_eq!(url.as_deref(), Some("https://nova.example.com/api/v2.1/"), "{link}");
        }
    }
    for link in [
        "http://{host}",
        "/{version}//v2.1",
        "{scheme}://host/v2.1",
        "?{query}//v2.1/",
        "http://{host}/{version}/",
    ] {
        assert_eq!(version_url("https://nova.example.com/api", link), None, "{link}");
    }
}

/// Returns a document that repeats `part` between `before` and `after`, up to the maximum size of a document.
fn repeated(before: &str, part: &str, after: &str) -> String {
    let parts = (250 * 1024 - before.len() - after.len()) / (part.len() + 1);
    format!("{before}{}{after}", vec![part; parts].join(","))
}

#[test]
fn a_document_uses_at_most_eight_times_the_memory_of_its_text() {
    let entry = r#"{"id":"1","status":"","links":[{"rel":"self","href":""}]}"#;
    let both = r#"{"id":"1","status":"","links":[{"rel":"self","href":""},{"rel":"collection","href":""}]}"#;
    let whole = r#"{"id":"1","version":"1","min_version":"1","not_before":"1","status":"","links":[{"rel":"self","href":""}]}"#;
    for document in [
        repeated(r#"{"versions":["#, r#"{"":0}"#, "]}"),
        repeated(r#"{"versions":{"values":["#, r#"{"":0}"#, "]}}"),
        repeated(r#"{"versions":["#, "0", "]}"),
        repeated(r#"{"versions":["#, "[]", "]}"),
        repeated(r#"{"versions":["#, r#"{"status":""}"#, "]}"),
        repeated(r#"{"versions":["#, r#"{"id":"1","status":"","links":[]}"#, "]}"),
        repeated(r#"{"versions":["#, entry, "]}"),
        repeated(r#"{"versions":["#, both, "]}"),
        repeated(r#"{"versions":["#, &both.replace("collection", "Collection"), "]}"),
        repeated(r#"{"versions":["#, whole, "]}"),
        repeated(r#"{"versions":[{"id":"1","status":"","x":["#, r#"{"":0}"#, "]}]}"),
        repeated(r#"{"versions":[{"id":"1","status":"","links":["#, r#"{"rel":"self","href":""}"#, r#"]}]}"#),
        repeated(r#"{"version":{"id":"1","status":"","x":["#, r#"{"":0}"#, "]}}"),
        repeated(r#"{"id":"1","links":[{"rel":"self","href":""}],"x":["#, r#"{"":0}"#, "]}"),
        repeated(r#"{"id":"1","#, r#""":0"#, "}"),
        repeated("[", r#"{"":0}"#, "]"),
        format!(r#"{{"versions":[{{"status":"","x":{}{}}}]}}"#, "[".repeat(120_000), "]".repeat(120_000)),
        entry.to_owned(),
    ] {
        let long = format!("https://h.example.com/{}", "a/".repeat(1_000));
        let urls =
            if document.contains("collection") { vec![&*long] } else { vec!["https://h.example.com/"] };
        for url in urls {
            let limit = 8 * document.len() + 16 * 1024;
            let read = || VersionDocument::new(url, &HeaderMap::new(), document.as_bytes());
            let (peak, retained) = allocations::peak_and_retained(|| {
                let read = read();
                if let Ok(document) = &read {
                    let everything = allow_everything();
                    document.raw_version_data(everything).count();
                    document.data_for(Version::latest(), everything);
                }
                read
            });
            let shown = &document[..document.len().min(60)];
            assert!(peak <= limit, "{peak} bytes at peak for {} bytes: {shown}", document.len());
            assert!(retained <= limit, "{retained} bytes retained for {} bytes: {shown}", document.len());
        }
    }
}

#[test]
fn raw_version_data_keeps_numbers_as_written() {
    let headers = HeaderMap::from_iter([(
        "x-openstack-test-api-maximum-version".parse().unwrap(),
        "2.9\"".parse().unwrap(),
    )]);
    let body = "\u{feff}{\"id\": \"v2\", \"status\": \"OLD\", \"min_version\": \"2.1\", \"x\": 1.50 } ";
    let document = VersionDocument::new("https://h.example.com/", &headers, body.as_bytes()).unwrap();
    let entries: Vec<Value> = document
        .raw_version_data(Allow::default())
        .map(|entry| serde_json::from_str(entry.get()).unwrap())
        .collect();
    let entry = json!({"id": "v2", "status": "CURRENT", "min_version": "2.1", "version": "2.9\"", "x": 1.5});
    assert_eq!(entries, [entry]);
    let entries: Vec<_> = document.raw_version_data(Allow::default()).collect();
    assert!(entries[0].get().contains("1.50"));
}

fn allow_everything() -> Allow {
    let mut everything = Allow::default();
    (everything.experimental, everything.unknown) = (true, true);
    everything
}

fn read_everything(document: &VersionDocument) {
    let everything = allow_everything();
    let versions = [Version::new(2, 1), Version::latest(), Version::latest_minor(2), Version::new(0, LATEST)];
    for version in versions {
        document.data_for(version, everything);
        let range = VersionRange::new(Some(version), None, None).unwrap();
        document.versioned_data_for(range, Some(document.url()), everything);
    }
    document.versioned_data_for(VersionRange::default(), None, everything);
    assert!(document.version_data(everything).count() <= document.raw_version_data(everything).count());
    for data in document.version_data(everything) {
        assert_same_origin(document.url(), &data.url);
        data.collection.iter().for_each(|url| assert_same_origin(document.url(), url));
    }
}

/// Asserts that `url` has the origin of `document`, and that a path, a query or a fragment follows the origin.
fn assert_same_origin(document: &str, url: &str) {
    let origin = document.split('/').take(3).collect::<Vec<_>>().join("/");
    let rest = url.strip_prefix(&origin).unwrap_or_else(|| panic!("{url} left {origin}"));
    assert!(rest.is_empty() || rest.starts_with(['/', '?', '#']), "{url}");
    if let Ok(uri) = url.parse::<http::Uri>() {
        assert_eq!(format!("{}://{}", uri.scheme().unwrap(), uri.authority().unwrap()), origin, "{url}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_are_an_error(bytes: Vec<u8>) {
        if let Ok(document) = VersionDocument::new("https://h.example.com/", &HeaderMap::new(), &bytes) {
            read_everything(&document);
        }
    }

    #[test]
    fn any_json_document_can_be_queried(body in any_json()) {
        let bytes = body.to_string();
        let headers = HeaderMap::new();
        if let Ok(document) = VersionDocument::new("https://h.example.com/a/b", &headers, bytes.as_bytes()) {
            read_everything(&document);
        }
    }

    #[test]
    fn any_link_stays_on_the_origin_of_its_document(
        link in any_link(),
        document in prop::sample::select(vec![
            "https://h.example.com", "http://h.example.com:8774/", "https://[::1]:5000/identity/v3/",
            "https://h.example.com/a/b?x=y", "http://10.0.0.1/v2",
        ]),
    ) {
        let body = document_with_link(&link).to_string();
        let read = VersionDocument::new(document, &HeaderMap::new(), body.as_bytes()).unwrap();
        read_everything(&read);
    }

    #[test]
    fn discovery_sends_at_most_five_requests_and_only_to_one_origin(
        document in any_json(),
        link in any_link(),
        url in r"https://h\.example\.com(:[0-9]{1,4})?(/[a-z0-9.]{0,6}){0,4}/?",
        version in (0u32..4, 0u32..4),
    ) {
        runtime().block_on(async {
            for body in [document, document_with_link(&link)] {
                let servers = Servers::default();
                let mut paths = BTreeSet::from([url.clone()]);
                while let Some(path) = paths.pop_first() {
                    servers.respond_at(&path, StubResponse::document(&body));
                    if let Some((above, _)) = path.trim_end_matches('/').rsplit_once('/').filter(|(above, _)| above.len() > 8) {
                        paths.extend([above.to_owned(), format!("{above}/")]);
                    }
                }
                let plugin = AccessInfoPlugin::new(access_info(&[("compute", &url)]));
                let filter = EndpointFilter::new("compute").version(version.0, version.1);
                if let Ok(endpoint) = servers.discovery().endpoint_data(&plugin, &filter).await {
                    assert_same_origin(&url, endpoint.url());
                }
                let requests = servers.take_requests();
                prop_assert!(requests.len() <= 5, "{requests:?}");
                requests.iter().for_each(|request| assert_same_origin(&url, request));
            }
            Ok(())
        })?;
    }
}
