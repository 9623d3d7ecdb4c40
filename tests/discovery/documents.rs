//! Version documents of real services: Keystone, Glance, Nova, Cinder, Neutron, Placement, Swift.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tower_keystone::{
    Error,
    discovery::{Allow, Version, VersionDocument, VersionRange},
};

/// A recorded response of a service to a `GET`.
#[derive(Deserialize)]
struct Recorded {
    url: String,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn document(url: &str) -> Result<VersionDocument, Error> {
    let recorded = include_str!("documents.jsonl").lines().map(|line| serde_json::from_str(line).unwrap());
    let recorded = recorded.into_iter().find(|recorded: &Recorded| recorded.url == url).unwrap();
    assert!(recorded.status < 400 || !recorded.body.contains("versions"));
    let headers: HeaderMap = recorded
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .collect();
    VersionDocument::new(url, &headers, recorded.body.as_bytes())
}

fn listed(url: &str) -> Vec<(String, String, Option<String>)> {
    document(url)
        .unwrap()
        .version_data(Allow::default())
        .map(|data| {
            let max = data.max_microversion.map(|version| version.to_string());
            (data.version.unwrap().to_string(), data.url.to_string(), max)
        })
        .collect()
}

fn entry(version: &str, url: &str, max: Option<&str>) -> (String, String, Option<String>) {
    (version.to_owned(), url.to_owned(), max.map(str::to_owned))
}

#[test]
fn services_with_one_version_list_it() {
    for (url, version, at, max) in [
        ("http://127.0.0.1:35000/", "3.14", "http://127.0.0.1:35000/v3/", None),
        ("http://127.0.0.1:35000/v3", "3.14", "http://127.0.0.1:35000/v3/", None),
        ("http://127.0.0.1:35000/v3/", "3.14", "http://127.0.0.1:35000/v3/", None),
        ("http://127.0.0.1:36002/v2.1/", "2.1", "http://127.0.0.1:36002/v2.1/", Some("2.104")),
        ("http://127.0.0.1:36003/", "3.0", "http://127.0.0.1:36003/v3/", Some("3.71")),
        ("http://127.0.0.1:36004/", "2.0", "http://127.0.0.1:36004/v2.0/", None),
        ("http://127.0.0.1:36005/", "1.0", "http://127.0.0.1:36005/", Some("1.39")),
    ] {
        assert_eq!(listed(url), [entry(version, at, max)], "{url}");
    }
}

#[test]
fn nova_lists_an_old_and_a_current_version() {
    let root = "http://127.0.0.1:36002/";
    assert_eq!(
        listed(root),
        [
            entry("2.0", "http://127.0.0.1:36002/v2/", None),
            entry("2.1", "http://127.0.0.1:36002/v2.1/", Some("2.104")),
        ]
    );
    let document = document(root).unwrap();
    let mut allow = Allow::default();
    allow.deprecated = false;
    assert_eq!(document.version_data(allow).count(), 1);
    let range = VersionRange::new(Some(Version::new(2, 0)), None, None).unwrap();
    let newest = document.versioned_data_for(range, None, Allow::default()).unwrap();
    assert_eq!(newest.version, Some(Version::new(2, 1)));
}

#[test]
fn glance_lists_its_versions_at_one_url() {
    for url in ["http://127.0.0.1:36001/", "http://127.0.0.1:36001/versions"] {
        let document = document(url).unwrap();
        let versions: Vec<_> = document.version_data(Allow::default()).collect();
        assert!(versions.len() > 10);
        assert!(versions.iter().all(|data| &*data.url == "http://127.0.0.1:36001/v2/"));
        let newest = document.data_for(Version::latest_minor(2), Allow::default()).unwrap();
        assert_eq!(newest.version, Some(Version::new(2, 17)));
    }
}

#[test]
fn a_response_that_is_not_a_version_document_is_an_error() {
    for url in [
        "http://127.0.0.1:35000/v2.0",
        "http://127.0.0.1:36001/v2",
        "http://127.0.0.1:36003/v3/",
        "http://127.0.0.1:36004/v2.0",
        "http://127.0.0.1:36004/v2.0/",
        "http://127.0.0.1:36006/",
        "http://127.0.0.1:36006/info",
        "http://127.0.0.1:36006/v1",
    ] {
        assert!(matches!(document(url), Err(Error::InvalidResponse { .. })), "{url}");
    }
    assert_eq!(
        document("http://127.0.0.1:36006/v1").unwrap_err().to_string(),
        "invalid document: it is not a version document (line 1, column 1); \
         check where it comes from, and that it is complete"
    );
}
