//! Access infos and service catalogs.

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tower_keystone::{
    AccessInfo, EndpointFilter, Error, Interface, Secret,
    fixture::{CatalogService, V2Token, V3Token},
};

fn subject_tokens(tokens: &[&str]) -> HeaderMap {
    let values = tokens.iter().map(|token| HeaderValue::from_str(token).unwrap());
    values.map(|value| ("x-subject-token".parse().unwrap(), value)).collect()
}

fn access_info_with_catalog(catalog: Value) -> AccessInfo {
    AccessInfo::new("t", json!({"token": {"catalog": catalog}}).to_string()).unwrap()
}

#[test]
fn the_token_of_a_v3_response_is_read_from_its_header() {
    let body = V3Token::new("u", "alice").document().to_string();
    let info = AccessInfo::from_response(&subject_tokens(&["gAAAA"]), &body).unwrap();
    assert_eq!(info.auth_token(), Some("gAAAA"));

    let info = AccessInfo::from_response(&subject_tokens(&["gAAAA", "gAAAA"]), &body).unwrap();
    assert_eq!(info.auth_token(), Some("gAAAA"));
}

#[test]
fn a_response_without_a_token_or_with_two_is_an_error() {
    let body = V3Token::new("u", "alice").document().to_string();
    let error = |tokens: &[&str]| AccessInfo::from_response(&subject_tokens(tokens), &body).unwrap_err();
    assert!(matches!(error(&[]), Error::NoToken));
    assert!(matches!(error(&["one", "two"]), Error::InvalidToken { .. }));
    assert!(matches!(error(&[""]), Error::InvalidToken { length: 0, .. }));
    assert!(matches!(error(&["o ne"]), Error::InvalidToken { offset: Some(1), .. }));
}

#[test]
fn the_token_of_a_v2_response_is_read_from_its_body() {
    let body = V2Token::new("gAAAA", "u", "alice").document().to_string();
    let info = AccessInfo::from_response(&HeaderMap::new(), body).unwrap();
    assert_eq!(info.auth_token(), Some("gAAAA"));
}

#[test]
fn a_body_that_is_not_a_token_document_is_an_error() {
    for (body, expected) in [
        ("", "it is not JSON"),
        ("<html>", "it is not JSON"),
        (r#"{"token": {"user": "#, "it is not JSON"),
        (r#"{"token": {}} {}"#, "it is not JSON"),
        ("[]", "it has neither a `token` nor an `access` object"),
        ("{}", "it has neither a `token` nor an `access` object"),
        (r#"{"token": null}"#, "it has neither a `token` nor an `access` object"),
        (r#"{"access": null}"#, "it has neither a `token` nor an `access` object"),
        (r#"{"access": ["t"]}"#, "it has neither a `token` nor an `access` object"),
        (r#"{"token": "t"}"#, "it has neither a `token` nor an `access` object"),
        (r#"{"error": {"code": 401}}"#, "it has neither a `token` nor an `access` object"),
    ] {
        match AccessInfo::from_body(body) {
            Err(Error::InvalidResponse { reason, .. }) => assert_eq!(reason, expected, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    assert_eq!(
        AccessInfo::from_body("<html>").unwrap_err().to_string(),
        "invalid document: it is not JSON (line 1, column 1); check where it comes from, and that it is complete"
    );
    let deep = format!("{{\"token\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(AccessInfo::from_body(deep).is_err());
    assert!(AccessInfo::from_body(b"{\"token\": {\"\xff\": 1}}").is_err());
}

#[test]
fn the_auth_state_has_the_format_of_keystoneauth() {
    let body =
        V3Token::new("u", "alice").with("from_the_future", json!({"kept": [1, 2]})).document().to_string();
    let info = AccessInfo::new(r#"quote"and\backslash"#, &body).unwrap();
    let state: Value = serde_json::from_str(info.auth_state().expose()).unwrap();
    assert_eq!(state["auth_token"], r#"quote"and\backslash"#);
    assert_eq!(state["body"]["token"]["from_the_future"], json!({"kept": [1, 2]}));

    let state_of_keystoneauth =
        Secret::new(json!({"auth_token": "gAAAA", "body": state["body"]}).to_string());
    let restored = AccessInfo::from_auth_state(&state_of_keystoneauth).unwrap();
    assert_eq!((restored.auth_token(), restored.username()), (Some("gAAAA"), Some("alice")));
}

#[test]
fn members_other_than_the_catalog_are_limited_to_256_kib() {
    for (length, is_accepted) in [(250 * 1024, true), (256 * 1024, false)] {
        let long = "x".repeat(length);
        for body in [
            json!({"token": {"user": {"id": "u"}, "roles": [long]}}),
            json!({"access": {"token": {"id": "t"}, "metadata": long}}),
        ] {
            match AccessInfo::new("t", body.to_string()) {
                Ok(_) => assert!(is_accepted, "{length}"),
                Err(Error::InvalidResponse { reason, .. }) => {
                    assert!(!is_accepted && reason.contains("256 KiB"))
                }
                Err(error) => panic!("{error}"),
            }
        }
        let listed = json!({"token": {"catalog": [{"type": "compute", "name": long, "endpoints": []}]}});
        assert!(AccessInfo::new("t", listed.to_string()).is_ok());
    }
    let deep = format!(r#"{{"token": {{"roles": {}{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let error = AccessInfo::new("t", deep).unwrap_err();
    assert!(matches!(error, Error::InvalidResponse { reason, .. } if reason.contains("deep")), "{error}");
}

#[test]
fn the_last_of_two_members_with_the_same_name_is_used() {
    let body =
        r#"{"token": {"user": {"id": "first"}, "user": {"id": "last"}, "catalog": null, "catalog": []}}"#;
    let info = AccessInfo::from_body(body).unwrap();
    assert_eq!(info.user_id(), Some("last"));
    assert!(info.has_service_catalog());
}

#[test]
fn an_access_member_is_ignored_if_there_is_a_token_member() {
    let token = r#""token": {"user": {"id": "u"}}"#;
    for access in ["null", "7", r#""text""#, "[[]]", "{}", r#"{"token": {"id": "t"}, "serviceCatalog": 7}"#] {
        for body in
            [format!(r#"{{"access": {access}, {token}}}"#), format!(r#"{{{token}, "access": {access}}}"#)]
        {
            let info = AccessInfo::from_body(&body).unwrap();
            assert_eq!((info.user_id(), info.auth_token()), (Some("u"), None), "{body}");
        }
    }
}

#[test]
fn malformed_catalog_entries_are_skipped() {
    let good = json!({"interface": "public", "region_id": "R", "url": "https://good.example.com"});
    let info = access_info_with_catalog(json!([
        null, 7, "text", [], {}, {"type": null, "endpoints": [good]}, {"type": ["compute"]},
        {"type": "compute", "endpoints": null},
        {"type": "compute", "endpoints": {"url": "https://h"}},
        {"type": "compute", "name": 7, "id": {}, "endpoints": [
            null, true, {}, {"url": null, "interface": "public"}, {"url": 7}, {"url": ""},
            {"url": "https://no-interface.example.com"},
            {"url": "https://odd.example.com", "interface": ["public"], "region": 4},
            good,
        ]},
    ]));
    let catalog = info.service_catalog();
    let public = EndpointFilter::new("compute").service_name("nova").region("R");
    assert_eq!(catalog.url_for(&public).unwrap(), "https://good.example.com");
    let any: Vec<_> = catalog.urls(&EndpointFilter::new("compute").any_interface()).collect();
    assert_eq!(
        any,
        ["https://no-interface.example.com", "https://odd.example.com", "https://good.example.com"]
    );
}

#[test]
fn a_v2_endpoint_can_have_any_number_of_interfaces() {
    // Of two interfaces with the same name, the last URL is used, in the place of the first.
    let urls: String =
        (0..40_000).map(|index| format!(r#""{index}URL": "https://{index}.example.com", "#)).collect();
    let body = format!(
        r#"{{"access": {{"token": {{"id": "t"}}, "serviceCatalog": [{{"type": "compute", "endpoints": [
            {{{urls}"0URL": "https://last.example.com"}}
        ]}}]}}}}"#
    );
    let info = AccessInfo::from_body(body).unwrap();
    let filter = EndpointFilter::new("compute").any_interface();
    let urls: Vec<_> = info.service_catalog().urls(&filter).collect();
    assert_eq!(urls.len(), 40_000);
    assert_eq!(urls[..3], ["https://last.example.com", "https://1.example.com", "https://2.example.com"]);
}

#[test]
fn escaped_strings_in_a_catalog_are_decoded() {
    let body = r#"{"token": {"\u0063atalog": [{"t\u0079pe": "comp\u0075te", "name": "n\"\u00f6", "endpoints": [
        {"interface": "publ\u0069c", "region_id": "R\/1", "url": "https:\/\/one.example.com\/v2"},
        {"interface": "public", "region_id": "R/1", "id": "e\u0032", "url": "https://two.example.com"}
    ]}]}}"#;
    let access_info = AccessInfo::from_body(body).unwrap();
    let filter = EndpointFilter::new("compute").region("R/1").service_name("n\"ö");
    let urls: Vec<_> = access_info.service_catalog().urls(&filter).collect();
    assert_eq!(urls, ["https://one.example.com/v2", "https://two.example.com"]);
    assert_eq!(access_info.service_catalog().url_for(&filter.endpoint_id("e2")).unwrap(), urls[1]);
}

#[test]
fn an_empty_catalog_and_a_missing_endpoint_are_different_errors() {
    let compute = EndpointFilter::new("compute");
    for none in [json!([]), json!(null), json!({}), json!([{}])] {
        let error = access_info_with_catalog(none).service_catalog().url_for(&compute).unwrap_err();
        assert!(matches!(error, Error::EmptyCatalog));
    }
    let info = V3Token::new("u", "a")
        .service(&CatalogService::new("compute").name("nova"))
        .access_info("t")
        .unwrap();
    let error = info.service_catalog().url_for(&compute).unwrap_err();
    assert!(matches!(error, Error::EndpointNotFound(_)));
}

#[test]
fn a_missing_endpoint_is_explained_by_near_misses() {
    let nova = CatalogService::new("compute")
        .name("nova")
        .endpoint("public", "RegionOne", "https://one.example.com")
        .endpoint("admin", "RegionTwo", "https://two.example.com");
    let info = V3Token::new("u", "a").service(&nova).access_info("t").unwrap();
    let catalog = info.service_catalog();

    let filter = EndpointFilter::new("compute").region("RegionTwo").interfaces(["internal", "public"]);
    let error = catalog.url_for(&filter).unwrap_err().to_string();
    assert_eq!(
        error,
        "the service catalog has no endpoint for service type compute, interface internal or public, \
         region RegionTwo; near misses: compute (nova) public in RegionOne (its region is RegionOne), \
         compute (nova) admin in RegionTwo (its interface is admin); request an endpoint of the catalog, or a \
         token with another scope"
    );
    let error = catalog.url_for(&EndpointFilter::new("image")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the service catalog has no endpoint for service type image, interface public; the catalog lists compute; \
         request an endpoint of the catalog, or a token with another scope"
    );
    let error =
        catalog.url_for(&EndpointFilter::new("compute").service_name("nova2")).unwrap_err().to_string();
    assert!(error.contains("its service name is nova"), "{error}");
}

#[test]
fn an_interface_or_region_that_does_not_exist_is_said_once() {
    let mut nova = CatalogService::new("compute").name("nova");
    for region in ["RegionOne", "RegionTwo"] {
        for interface in ["public", "internal", "admin"] {
            nova = nova.endpoint(interface, region, "https://one.example.com");
        }
    }
    let info = V3Token::new("u", "a").service(&nova).access_info("t").unwrap();
    let message = |interface: &str, region: &str| {
        let filter = EndpointFilter::new("compute").region(region).interface(interface);
        info.service_catalog().url_for(&filter).unwrap_err().to_string()
    };
    assert_eq!(
        message("publik", "RegionTwo"),
        "the service catalog has no endpoint for service type compute, interface publik, region RegionTwo; its \
         endpoints have the interface public or internal or admin: check the requested interface"
    );
    assert_eq!(
        message("public", "regionone"),
        "the service catalog has no endpoint for service type compute, interface public, region regionone; its \
         endpoints have the region RegionOne or RegionTwo: check the requested region"
    );
    let both = message("publik", "regionone");
    assert!(
        both.contains("check the requested interface; its endpoints have the region RegionOne"),
        "{both}"
    );
}

#[test]
fn an_exact_service_type_is_preferred_to_an_alias() {
    let listed = |service_type: &str| {
        CatalogService::new(service_type)
            .standard_endpoints("R", &format!("https://{service_type}.example.com"))
    };
    let info = ["volume", "volumev2", "block-storage", "volumev3"]
        .iter()
        .fold(V3Token::new("u", "a"), |token, service_type| token.service(&listed(service_type)))
        .access_info("t")
        .unwrap();
    let url = |service_type: &str| {
        info.service_catalog().url_for(&EndpointFilter::new(service_type)).unwrap().to_owned()
    };
    for exact in ["volume", "volumev2", "block-storage", "volumev3"] {
        assert_eq!(url(exact), format!("https://{exact}.example.com"));
    }
    assert_eq!(url("block-store"), "https://block-storage.example.com");
}

#[test]
fn interfaces_are_preferred_in_the_requested_order() {
    let nova = CatalogService::new("compute").endpoint("public", "R", "https://public.example.com").endpoint(
        "internal",
        "R",
        "https://internal.example.com",
    );
    for info in [
        V3Token::new("u", "a").service(&nova).access_info("t").unwrap(),
        V2Token::new("t", "u", "a").service(&nova).access_info().unwrap(),
    ] {
        let url = |filter: EndpointFilter| info.service_catalog().url_for(&filter).unwrap().to_owned();
        let compute = || EndpointFilter::new("compute");
        assert_eq!(url(compute()), "https://public.example.com");
        assert_eq!(
            url(compute().interfaces(["admin", "internalURL", "public"])),
            "https://internal.example.com"
        );
        assert_eq!(url(compute().interface(Interface::Internal)), "https://internal.example.com");
    }
}

#[test]
fn a_byte_order_mark_before_a_document_is_ignored() {
    let body = V3Token::new("u", "alice").document().to_string();
    let marked = format!("\u{feff}{body}");
    let info = AccessInfo::new("gAAAA", &marked).unwrap();
    assert_eq!((info.username(), info.body().expose()), (Some("alice"), &*body));
    assert_eq!(AccessInfo::from_auth_state(&info.auth_state()).unwrap().auth_token(), Some("gAAAA"));

    let state = Secret::new(format!("\u{feff}{}", info.auth_state().expose()));
    assert_eq!(AccessInfo::from_auth_state(&state).unwrap().username(), Some("alice"));
    let token = AccessInfo::from_body(format!("\u{feff}{}", V2Token::new("gAAAA", "u", "alice").document()));
    assert_eq!(token.unwrap().auth_token(), Some("gAAAA"));
}

#[test]
fn white_space_around_an_endpoint_url_is_removed() {
    let endpoint = |url: &str| json!({"interface": "public", "region_id": "R", "url": url});
    let urls = ["\n", " https://nova.example.com/v2.1\r\n", "\thttps://nova.example.com/other"];
    let info = access_info_with_catalog(json!([{"type": "compute", "endpoints": urls.map(endpoint)}]));
    let urls: Vec<_> = info.service_catalog().urls(&EndpointFilter::new("compute")).collect();
    assert_eq!(urls, ["https://nova.example.com/v2.1", "https://nova.example.com/other"]);
}

#[test]
fn a_v2_tenant_object_takes_precedence_over_other_tenant_members() {
    let user = json!({"id": "u", "tenantId": "of user", "tenantName": "name of user"});
    for (tenant, id, name) in [
        (json!({"id": "t", "name": "n"}), Some("t"), Some("n")),
        (json!({"name": "n"}), None, Some("n")),
        (json!({"id": "t"}), Some("t"), None),
        (json!({}), None, None),
        (Value::Null, Some("of user"), Some("name of user")),
    ] {
        let body =
            json!({"access": {"token": {"id": "gAAAA", "tenant": tenant, "tenantId": "old"}, "user": user}});
        let info = AccessInfo::from_body(body.to_string()).unwrap();
        assert_eq!((info.project_id(), info.project_name()), (id, name), "{tenant}");
        assert_eq!(info.project_scoped(), id.is_some());
    }
    let body = json!({"access": {"token": {"id": "gAAAA", "tenantId": "old"}, "user": {"id": "u"}}});
    let info = AccessInfo::from_body(body.to_string()).unwrap();
    assert_eq!((info.project_id(), info.project_name()), (Some("old"), Some("old")));
}

#[test]
fn an_empty_audit_chain_id_is_none() {
    let ids = |ids: Value| AccessInfo::new("t", json!({"token": {"audit_ids": ids}}).to_string()).unwrap();
    let first = ids(json!(["a", ""]));
    assert_eq!((first.audit_chain_id(), first.initial_audit_id()), (None, Some("a")));
    let second = ids(json!(["b", "a"]));
    assert_eq!((second.audit_chain_id(), second.initial_audit_id()), (Some("a"), Some("a")));
}

#[test]
fn an_empty_name_of_a_v2_user_falls_back_to_the_username() {
    for (user, name) in [
        (json!({"name": "alice", "username": "old"}), Some("alice")),
        (json!({"name": "", "username": "old"}), Some("old")),
        (json!({"username": "old"}), Some("old")),
        (json!({"name": ""}), None),
    ] {
        let body = json!({"access": {"token": {"id": "gAAAA"}, "user": user}}).to_string();
        assert_eq!(AccessInfo::from_body(body).unwrap().username(), name, "{user}");
    }
}

#[test]
fn untrusted_texts_are_escaped_and_truncated_in_errors() {
    let hostile = |what: &str| format!("{what}\n\u{1b}[31m\u{202e}{}", "x".repeat(5_000));
    let endpoints: Value = (0..100)
        .map(|number| {
            let (interface, region) = (hostile(&format!("i{number}")), hostile(&format!("r{number}")));
            json!({"interface": interface, "region_id": region, "url": "https://h/"})
        })
        .collect();
    let services = (0..100).map(|number| json!({"type": hostile(&number.to_string()), "endpoints": []}));
    let compute = json!({"type": "compute", "name": hostile("n"), "endpoints": endpoints});
    let info = access_info_with_catalog(services.chain([compute]).collect());

    for filter in [
        EndpointFilter::new("compute"),
        EndpointFilter::new("compute")
            .region(hostile("R"))
            .service_name(hostile("N"))
            .interface(&*hostile("I")),
        EndpointFilter::new(hostile("other")),
    ] {
        let error = info.service_catalog().url_for(&filter).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(" more") && shown.len() < 20_000, "{} bytes", shown.len());
        let debug = format!("{error:?} {info:?}");
        assert!(debug.len() < 200_000, "{} bytes", debug.len());
        for text in [shown, debug] {
            assert!(!text.contains(['\n', '\u{1b}', '\u{202e}']), "{text}");
        }
        let Error::EndpointNotFound(error) = error else { panic!("{error}") };
        assert!(error.near_misses.len() <= 64 && error.service_types.len() <= 64);
    }

    let error = hostile("1").parse::<tower_keystone::discovery::Version>().unwrap_err().to_string();
    assert!(error.len() < 200 && !error.contains(['\n', '\u{1b}']), "{error}");
}

#[test]
fn a_value_that_is_not_json_is_not_only_called_nested() {
    for value in ["1e999", r#""\ud800""#] {
        for body in [
            format!(r#"{{"token": {{"user": {{"name": {value}}}}}}}"#),
            format!(r#"{{"token": {{"catalog": [{{"type": {value}}}]}}}}"#),
            format!(r#"{{"access": {{"serviceCatalog": [{{"type": {value}}}]}}}}"#),
        ] {
            let error = AccessInfo::new("gAAAA", &body).unwrap_err();
            assert!(matches!(error, Error::InvalidResponse { .. }), "{error:?}");
            assert!(error.to_string().contains("not valid JSON"), "{body}: {error}");
        }
    }
}
