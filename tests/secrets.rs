//! `Debug` and `Display` output contains no secrets.

use std::{error::Error as _, fmt::Debug, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    AccessFuture, AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error,
    FixedEndpointPlugin, GenericCredentials, IdentityPlugin, Interface, RenewingPlugin, Secret,
    ServiceAccess, ServiceTokenAuthWrapper, TokenRejected, Unauthenticated, User, V2Credentials,
    V3Credentials,
    fixture::{CatalogService, Cloud, Discovery, V2Token, V3Token},
    store::{LeaseOwner, MemoryStore, SharedTokens, StoreKey, Version},
};

/// Part of every secret of these tests.
const CANARY: &str = "canary-7d1f";

/// Fails if the text is empty or contains a secret.
fn check(name: &str, shown: String) {
    assert!(!shown.is_empty());
    assert!(!shown.contains(CANARY), "{name} shows a secret: {shown}");
}

fn debug(value: &impl Debug) {
    let name = std::any::type_name_of_val(value);
    check(name, format!("{value:?}"));
    check(name, format!("{value:#?}"));
}

fn check_error(error: &Error) {
    check("an error", error.to_string());
    debug(error);
    let mut source = error.source();
    while let Some(error) = source {
        check("a source", format!("{error} {error:?}"));
        source = error.source();
    }
}

fn secret() -> String {
    format!("{CANARY}-secret")
}

/// Returns an access info with a secret token, and with a password in the URL of its endpoint.
fn access_info() -> AccessInfo {
    let url = format!("https://admin:{CANARY}@nova.example.com/v2.1");
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", &url);
    V3Token::new("u", "alice").project("p", "demo").service(&nova).access_info(&secret()).unwrap()
}

#[test]
fn debug_output_of_public_types_contains_no_secret() {
    let info = access_info();
    let filter = EndpointFilter::new("compute");
    let with_password: Uri = format!("https://admin:{CANARY}@keystone.example.com/v3").parse().unwrap();
    let plugin = AccessInfoPlugin::new(info.clone()).auth_url(with_password.clone()).refuse_expired();
    let access = Arc::new(ServiceAccess::from_auth_ref(info.clone()).unwrap());

    debug(&info);
    debug(&V2Token::new(&secret(), "u", "alice").access_info().unwrap());
    debug(&AccessInfo::from_auth_state(&info.auth_state()).unwrap());
    debug(&info.auth_state());
    debug(&Secret::new(secret()));
    debug(info.service_catalog());
    debug(&info.service_catalog().endpoint_data_for(&filter).unwrap());
    check("an endpoint", info.service_catalog().endpoint_data_for(&filter).unwrap().to_string());
    debug(&info.version());
    debug(&info.service_providers().unwrap().collect::<Vec<_>>());
    debug(&filter.clone().endpoint_override(with_password.to_string()));
    debug(&filter.clone().endpoint_override(format!("{with_password}/%(project_id)s")));
    check("a filter", filter.clone().endpoint_override(with_password.to_string()).to_string());
    debug(&Interface::Auth);
    debug(&plugin);
    debug(&plugin.access());
    debug(&AccessFuture::new(plugin.access()));
    debug(&access);
    debug(&Unauthenticated);
    debug(&TokenRejected::Final);

    let mut headers = HeaderMap::new();
    access.insert_headers(&mut headers);
    assert_eq!(headers["x-auth-token"], secret());
    debug(&headers);

    let layer = AuthLayer::new(plugin)
        .endpoint(filter.endpoint_override(with_password.to_string()))
        .allow_origin(&Uri::from_static("https://nova.example.com"))
        .unwrap();
    debug(&layer);
    let cloud = Cloud::new([("compute", "nova")]).user("alice", &secret()).project("demo");
    let mut auth = layer.layer(cloud.clone());
    debug(&auth);
    let request = Request::get("https://nova.example.com/").body(Empty::<Bytes>::new()).unwrap();
    debug(&Service::call(&mut auth, request));

    for method in [
        AuthMethod::password(User::new().username("alice"), secret()),
        AuthMethod::totp(User::new().user_id("u"), secret()),
        AuthMethod::token(secret()),
        AuthMethod::application_credential("id", secret()),
        AuthMethod::receipt(secret()),
    ] {
        debug(&method);
        let v3 = V3Credentials::new(with_password.clone(), method);
        debug(&v3);
        debug(&RenewingPlugin::new(v3, cloud.transport()));
    }
    debug(&V2Credentials::password(with_password.clone(), User::new().username("alice"), secret()));
    debug(&V2Credentials::token(with_password.clone(), secret()));
    debug(&GenericCredentials::password(with_password.clone(), User::new().username("alice"), secret()));
    debug(&GenericCredentials::token(with_password, secret()));
    debug(&cloud.transport());
    let endpoint = Uri::from_static("https://ironic.example.com");
    debug(&FixedEndpointPlugin::admin_token(endpoint.clone(), &secret().into()).unwrap());
    let basic = FixedEndpointPlugin::http_basic(endpoint, "alice", &secret().into()).unwrap();
    debug(&basic);
    debug(&ServiceTokenAuthWrapper::new(basic.clone(), basic));

    cloud.keystone().issue("alice", Some("demo")).unwrap();
    debug(&cloud);
    debug(cloud.keystone());
    debug(&V2Token::new(&secret(), "u", "alice"));
    debug(&V3Token::new("u", "alice"));
    debug(&CatalogService::new("compute"));
    debug(&Discovery::new());
}

#[test]
fn errors_of_documents_contain_no_secret() {
    let canary = secret();
    let body = r#"{"token": {}}"#;
    let mut twice = HeaderMap::new();
    twice.append("x-subject-token", HeaderValue::from_str(&canary).unwrap());
    twice.append("x-subject-token", HeaderValue::from_str(&format!("{canary}2")).unwrap());
    let mut binary = HeaderMap::new();
    binary.insert("x-subject-token", HeaderValue::from_bytes(format!("{canary}\u{e9}").as_bytes()).unwrap());

    let errors = [
        AccessInfo::new(format!("{canary} "), body),
        AccessInfo::new(format!("{canary}\n"), body),
        AccessInfo::new(canary.repeat(20_000), body),
        AccessInfo::new("t", &canary),
        AccessInfo::new("t", format!(r#""{canary}""#)),
        AccessInfo::new("t", format!(r#"{{"token": "{canary}"}}"#)),
        AccessInfo::new("t", format!(r#"{{"access": ["{canary}"]}}"#)),
        AccessInfo::new("t", format!(r#"{{"{canary}": {{}}}}"#)),
        AccessInfo::new("t", format!(r#"{{"token": {{"{canary}""#)),
        AccessInfo::from_body(format!(r#"{{"access": {{"token": {{"id": "{canary}é"}}}}}}"#)),
        AccessInfo::from_response(&twice, body),
        AccessInfo::from_response(&binary, body),
        AccessInfo::from_response(&HeaderMap::new(), format!(r#"{{"token": {{"user": "{canary}"}}}}"#)),
        AccessInfo::from_auth_state(&Secret::new(format!(r#"{{"auth_token": "{canary}"}}"#))),
        AccessInfo::from_auth_state(&Secret::new(format!(
            r#"{{"auth_token": {{"{canary}": 1}}, "body": {body}}}"#
        ))),
        AccessInfo::from_auth_state(&Secret::new(canary.clone())),
    ];
    for (index, result) in errors.into_iter().enumerate() {
        check_error(&result.expect_err(&format!("error {index}")));
    }
    let info = AccessInfo::new(&canary, format!(r#"{{"token": {{"expires_at": "{canary}"}}}}"#)).unwrap();
    check_error(&info.expires().unwrap_err());
    debug(&info);
}

#[tokio::test]
async fn errors_of_requests_contain_no_secret() {
    let with_password = format!("https://admin:{CANARY}@nova.example.com/v2.1");
    let compute = EndpointFilter::new("compute");
    let requests = [
        Request::get("/servers"),
        Request::get("/../servers").extension(compute.clone()),
        Request::get(&with_password),
        Request::get("https://evil.example.org/"),
        Request::get("/servers").extension(compute.clone()),
        Request::get("/servers").extension(compute.clone().region("RegionTwo")),
        Request::get("/servers").extension(EndpointFilter::new("image")),
        Request::get("/servers").extension(compute.clone().endpoint_override(&with_password)),
        Request::get("/servers")
            .extension(compute.endpoint_override(format!("https://{CANARY}@h/%(project_id)s"))),
        Request::get("/servers").extension(EndpointFilter::default().interface(Interface::Auth)),
    ];
    let plugin = AccessInfoPlugin::new(access_info()).auth_url(with_password);
    let auth = AuthLayer::new(plugin).require_https().layer(Cloud::new([]));
    for request in requests {
        let error = auth.clone().oneshot(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap_err();
        check("a boxed error", format!("{error} {error:?}"));
        check_error(Error::find(&*error).expect("an error of this crate"));
    }
}

#[tokio::test]
async fn errors_of_credentials_contain_no_secret() {
    let cloud = Cloud::new([]);
    for auth_url in [format!("https://admin:{CANARY}@keystone.example.com/"), "https://elsewhere/".to_owned()]
    {
        let credentials = GenericCredentials::token(auth_url, secret());
        check_error(&credentials.get_auth_ref(cloud.transport()).await.unwrap_err());
    }
}

#[test]
fn a_store_shows_no_secret() {
    let key = StoreKey::new(*b"canary-7d1f-canary-7d1f-01234567");
    debug(&key);
    debug(&SharedTokens::new(MemoryStore::new(), key.clone()).also_read_with(key));
    debug(&Version::from_record(secret().as_bytes()));
    let owner = LeaseOwner::random();
    assert!(!format!("{owner:?}").contains(owner.as_str()));
    for text in [secret(), format!("{CANARY}{}", "A".repeat(33)), format!("{CANARY}=")] {
        check_error(&StoreKey::from_base64(text).unwrap_err());
    }
}
