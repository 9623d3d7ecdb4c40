use std::fmt::Write;

use http::Uri;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{AccessInfo, EndpointFilter, endpoint::Origin};

/// Parts of the strings of a document, as they are written in JSON. `ID` stands for the id of the project.
const PARTS: [&str; 24] = [
    "ID",
    "ID",
    "ID",
    "/",
    "/",
    "/v3",
    "/v3/",
    "1",
    "a",
    "h",
    "https://",
    "http://h.example/",
    "https://h/v3/ID",
    ":80",
    "?",
    "#",
    "\\/",
    "\\u0031",
    "\\u00",
    "41ID",
    " ",
    "%",
    "$(x)s",
    "é",
];

const IDS: [&str; 14] = [
    "0123456789abcdef0123456789abcdef",
    "ffffffffffffffffffffffffffffffff",
    "0123456789abcdef0123456789abcdee",
    "zzz",
    "z-_",
    "1",
    "h",
    "v3",
    "ID",
    "aa",
    "a1",
    "https",
    "a b",
    "p/1",
];

/// A member of the JSON text of a catalog.
fn string() -> impl Strategy<Value = String> {
    let likely = select(vec![
        "compute",
        "volumev3",
        "public",
        "RegionOne",
        "nova",
        "http://h/v3/ID",
        "https://h/ID/x",
        "https://ID.example/v3",
        "https://h/?ID",
    ]);
    prop_oneof![
        likely.prop_map(str::to_owned),
        vec(select(&PARTS[..]), 0..5).prop_map(|parts| parts.concat())
    ]
}

fn object(members: Vec<(&'static str, String)>) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

fn endpoint(is_v3: bool) -> impl Strategy<Value = String> {
    let names: &[&str] = match is_v3 {
        true => &["url", "url", "interface", "region", "region_id", "id", "x"],
        false => &["publicURL", "publicURL", "internalURL", "xURL", "region", "id", "url"],
    };
    let value =
        prop_oneof![9 => string().prop_map(|string| format!("\"{string}\"")), 1 => Just("null".to_owned())];
    vec((select(names), value), 0..6).prop_map(object)
}

/// The JSON text of a catalog.
fn catalog(is_v3: bool) -> impl Strategy<Value = String> {
    let texts = vec((select(vec!["type", "type", "name", "id", "x"]), string()), 0..5);
    let service = (texts, vec(endpoint(is_v3), 0..4)).prop_map(|(texts, endpoints)| {
        let mut members: Vec<_> =
            texts.into_iter().map(|(name, text)| (name, format!("\"{text}\""))).collect();
        members.push(("endpoints", format!("[{}]", endpoints.join(","))));
        object(members)
    });
    let list = vec(service, 0..4).prop_map(|services| format!("[{}]", services.join(" , ")));
    prop_oneof![9 => list, 1 => string().prop_map(|string| format!("\"{string}\""))]
}

/// Returns the document of a project. Of its members, one stands before the catalog and one after it.
fn document(is_v3: bool, catalog: &str, project_id: &str) -> String {
    let catalog = catalog.replace("ID", project_id);
    match is_v3 {
        true => format!(
            r#"{{"token": {{"project": {{"id": "{project_id}"}}, "catalog": {catalog}, "user": {{"id": "u"}}}}}} "#
        ),
        false => format!(
            r#"{{"access": {{"token": {{"id": "gAAAA", "tenant": {{"id": "{project_id}"}}}},
                "serviceCatalog": {catalog}, "user": {{"id": "u"}}}}}}"#
        ),
    }
}

/// Returns everything that an access info says about its catalog.
fn answers(info: &AccessInfo) -> String {
    let catalog = info.service_catalog();
    let mut answers = format!("{} {} {info:?}\n", info.body().expose(), info.auth_state().expose());
    writeln!(answers, "{:?} {:?} {}", info.user_id(), info.project_id(), info.has_service_catalog()).unwrap();
    let any = || EndpointFilter::default().any_interface();
    let filters = [
        any(),
        EndpointFilter::default(),
        EndpointFilter::new("compute").any_interface(),
        EndpointFilter::new("compute"),
        EndpointFilter::new("block-storage").interface("internal"),
        EndpointFilter::new("volumev3").region("RegionOne"),
        EndpointFilter::new("1").any_interface(),
        EndpointFilter::new("compute").any_interface().service_name("nova"),
        EndpointFilter::new("v3").any_interface(),
    ];
    for filter in &filters {
        let all = catalog.endpoints_data(filter);
        for (service_type, endpoints) in all {
            for it in endpoints {
                let service = (service_type, it.service_type(), it.service_name(), it.service_id());
                let endpoint =
                    (it.interface(), it.region_name(), it.endpoint_id(), it.url(), it.api_version());
                let base_url = it.base_url().map(|url| url.url().to_string());
                writeln!(answers, "{it} {service:?} {endpoint:?} {base_url:?}").unwrap();
                let origin = it.url().parse::<Uri>().ok().and_then(|url| Origin::from_uri(&url));
                let known = origin.as_ref().map(|origin| catalog.origins().get(origin));
                writeln!(answers, "{origin:?} {known:?}").unwrap();
            }
        }
        let urls: Vec<_> = catalog.urls(filter).collect();
        let error = |error: crate::Error| error.to_string();
        let best = catalog.url_for(filter).map_err(error);
        let usable = catalog.usable_endpoint_for(filter).map(|endpoint| endpoint.url()).map_err(error);
        let base_url = catalog.base_url_for(filter).map(|url| url.url().to_string()).map_err(error);
        writeln!(answers, "{urls:?} {best:?} {usable:?} {base_url:?}").unwrap();
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shared_catalog_is_equal_to_one_that_is_not_shared(
        (is_v3, catalog) in any::<bool>().prop_flat_map(|is_v3| (Just(is_v3), catalog(is_v3))),
        ids in prop_oneof![vec(select(&IDS[..3]), 2..4), vec(select(&IDS[3..]), 1..4)],
    ) {
        let catalogs = SharedCatalogs::default();
        let documents: Vec<_> = ids.iter().map(|id| document(is_v3, &catalog, id)).collect();
        let alone = documents.iter().map(|document| AccessInfo::new("gAAAA", document));
        let sharing: Vec<_> =
            documents.iter().map(|document| AccessInfo::new_sharing("gAAAA", document, &catalogs)).collect();
        for (alone, sharing) in alone.zip(&sharing) {
            match (alone, sharing) {
                (Ok(alone), Ok(sharing)) => {
                    prop_assert_eq!(answers(&alone), answers(sharing));
                    prop_assert_eq!(answers(&alone), answers(sharing));
                }
                (Err(alone), Err(sharing)) => prop_assert_eq!(alone.to_string(), sharing.to_string()),
                (alone, sharing) => prop_assert!(false, "{alone:?} {sharing:?}"),
            }
        }
    }
}

/// Returns a token document as Keystone writes it, with a catalog of 20 services with 3 endpoints each.
fn token_document(user: usize, project: usize) -> String {
    let id = |what: &str, number: usize| {
        format!("{:x}", Sha256::digest(format!("{what}{number}")))[..32].to_owned()
    };
    let project_id = id("project", project);
    let services: Vec<_> = (0..20)
        .map(|service| {
            let path = match service % 4 {
                0 => format!("/v3/{project_id}"),
                1 => format!("/v1/AUTH_{project_id}"),
                _ => "/v2.1".to_owned(),
            };
            let endpoints = ["public", "internal", "admin"].map(|interface| {
                let endpoint_id = id(interface, service);
                format!(
                    r#"{{"id": "{endpoint_id}", "interface": "{interface}", "region_id": "RegionOne",
                    "url": "https://service{service}.{interface}.example.com:8774{path}", "region": "RegionOne"}}"#
                )
            });
            let (service_id, endpoints) = (id("service", service), endpoints.join(", "));
            format!(
                r#"{{"endpoints": [{endpoints}], "id": "{service_id}", "type": "type{service}", "name": "name{service}"}}"#
            )
        })
        .collect();
    let roles = ["reader", "member", "manager"]
        .map(|role| format!(r#"{{"id": "{}", "name": "{role}"}}"#, id(role, 0)));
    format!(
        r#"{{"token": {{"methods": ["password"], "user": {{"domain": {{"id": "default", "name": "Default"}},
        "id": "{}", "name": "user{user}", "password_expires_at": null}}, "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"],
        "expires_at": "2026-11-27T13:00:00.000000Z", "issued_at": "2026-11-26T13:00:00.000000Z",
        "project": {{"domain": {{"id": "default", "name": "Default"}}, "id": "{project_id}", "name": "project{project}"}},
        "is_domain": false, "roles": [{}], "catalog": [{}]}}}}"#,
        id("user", user),
        roles.join(", "),
        services.join(", ")
    )
}

#[test]
fn projects_share_a_catalog_that_differs_only_in_their_ids() {
    let catalogs = SharedCatalogs::default();
    let info = |project| AccessInfo::new_sharing("gAAAA", token_document(0, project), &catalogs).unwrap();
    let (first, second) = (info(1), info(2));
    assert!(Arc::ptr_eq(&first.service_catalog().index, &second.service_catalog().index));
    let url = |info: &AccessInfo, service_type: &str| {
        let filter = EndpointFilter::new(service_type);
        let base_url = info.service_catalog().base_url_for(&filter).unwrap();
        let url = info.service_catalog().url_for(&filter).unwrap();
        assert_eq!(base_url.url(), &url.parse::<Uri>().unwrap());
        url.to_owned()
    };
    assert_eq!(url(&first, "type2"), url(&second, "type2"));
    for info in [&first, &second] {
        assert!(url(info, "type1").ends_with(&format!("AUTH_{}", info.project_id().unwrap())));
        // From the cache of the catalog.
        assert!(url(info, "type1").ends_with(&format!("AUTH_{}", info.project_id().unwrap())));
    }
}

#[test]
fn dropped_catalogs_are_removed() {
    let catalogs = SharedCatalogs::default();
    let info = |number| {
        let body = format!(r#"{{"token": {{"catalog": [{{"type": "type{number}", "endpoints": []}}]}}}}"#);
        AccessInfo::new_sharing("gAAAA", body, &catalogs).unwrap()
    };
    let alive: Vec<_> = (0..50).map(info).collect();
    (0..10_000).for_each(|number| drop(info(number)));
    let stored = catalogs.0.lock().unwrap().catalogs.len();
    assert!((50..=100).contains(&stored), "{stored}");
    drop(alive);
    (0..100).for_each(|number| drop(info(number)));
    assert!(catalogs.0.lock().unwrap().catalogs.len() <= 2 * MIN_SWEEP);
}
