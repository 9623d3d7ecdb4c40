//! Login requests and their responses, and plugins that need no Keystone.

use std::{
    convert::Infallible,
    future::ready,
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Service, service_fn};
use tower_keystone::{
    AccessInfoPlugin, AuthMethod, BoxError, Credentials, Error, FixedEndpointPlugin, GenericCredentials,
    IdentityPlugin, RenewingPlugin, Scope, ServiceAccess, ServiceTokenAuthWrapper, Transport, User,
    V2Credentials, V3Credentials, endpoint::Origin, fixture::V3Token,
};

fn auth_url() -> Uri {
    Uri::from_static("https://keystone.example.com/")
}

fn alice() -> User {
    User::new().username("alice").user_domain_name("Default")
}

async fn body(request: Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

async fn login_body(credentials: &V3Credentials) -> Value {
    body(credentials.request().unwrap()).await
}

/// Returns a transport to a Keystone that always sends this response, and the list of requests to it.
fn keystone(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    response_body: Value,
) -> (Transport, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&requests);
    let transport = Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        recorded.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let mut response = Response::builder().status(status).header("content-type", "application/json");
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Full::new(Bytes::from(response_body.to_string()))).unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    (transport, requests)
}

#[tokio::test]
async fn every_auth_method_sends_the_expected_body() {
    let user = json!({"name": "alice", "domain": {"name": "Default"}});
    let mut with_password = user.clone();
    with_password["password"] = json!("pw");
    let mut with_passcode = user.clone();
    with_passcode["passcode"] = json!("123456");
    for (method, name, data) in [
        (AuthMethod::password(alice(), "pw"), "password", json!({"user": with_password})),
        (
            AuthMethod::password(alice().user_id("u1"), "pw"),
            "password",
            json!({"user": {"id": "u1", "password": "pw"}}),
        ),
        (AuthMethod::totp(alice(), "123456"), "totp", json!({"user": with_passcode})),
        (AuthMethod::token("gAAAA"), "token", json!({"id": "gAAAA"})),
        (
            AuthMethod::application_credential("ac", "secret"),
            "application_credential",
            json!({"id": "ac", "secret": "secret"}),
        ),
        (
            AuthMethod::named_application_credential("ac", alice(), "secret"),
            "application_credential",
            json!({"name": "ac", "secret": "secret", "user": user}),
        ),
    ] {
        let sent = login_body(&V3Credentials::new(auth_url(), method)).await;
        assert_eq!(sent, json!({"auth": {"identity": {"methods": [name], name: data}}}));
    }
}

#[tokio::test]
async fn every_scope_is_sent_and_a_second_one_is_refused() {
    let password = || V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    let domain = json!({"id": "default"});
    for (scope, expected) in [
        (Scope::new().project_id("p1").project_name("demo"), json!({"project": {"id": "p1"}})),
        (
            Scope::new().project_name("demo").project_domain_id("default"),
            json!({"project": {"name": "demo", "domain": domain}}),
        ),
        (Scope::new().domain_name("Default"), json!({"domain": {"name": "Default"}})),
        (Scope::new().system_scope("all"), json!({"system": {"all": true}})),
        (Scope::new().trust_id("t1"), json!({"OS-TRUST:trust": {"id": "t1"}})),
        (Scope::new().unscoped(), json!("unscoped")),
        (Scope::new(), Value::Null),
    ] {
        assert_eq!(login_body(&password().scope(scope)).await["auth"]["scope"], expected);
    }
    for scope in [
        Scope::new().project_id("p1").domain_id("d1"),
        Scope::new().trust_id("t1").unscoped(),
        Scope::new().system_scope("some"),
    ] {
        let error = password().scope(scope).request().unwrap_err();
        assert!(matches!(error, Error::AuthorizationFailure { .. }), "{error}");
    }
}

#[tokio::test]
async fn several_methods_are_sent_together_and_a_receipt_is_continued() {
    let both = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"))
        .and(AuthMethod::totp(alice(), "1"));
    assert_eq!(login_body(&both).await["auth"]["identity"]["methods"], json!(["password", "totp"]));

    let (transport, _) = keystone(
        401,
        &[("openstack-auth-receipt", "receipt-1")],
        json!({
            "receipt": {"methods": ["password"], "expires_at": "2026-01-15T12:05:00.000000Z"},
            "required_auth_methods": [["password", "totp"]],
        }),
    );
    let password = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    let Err(Error::MissingAuthMethods(missing)) = password.get_auth_ref(transport).await else {
        panic!("expected an error about the missing method")
    };
    assert_eq!(missing.methods, ["password"]);
    assert_eq!(missing.required_auth_methods, [["password", "totp"]]);

    let second = V3Credentials::new(auth_url(), AuthMethod::receipt(missing.receipt.clone()))
        .and(AuthMethod::totp(alice(), "1"))
        .request()
        .unwrap();
    assert_eq!(second.headers()["openstack-auth-receipt"], "receipt-1");
    assert!(second.headers()["openstack-auth-receipt"].is_sensitive());
    assert_eq!(body(second).await["auth"]["identity"]["methods"], json!(["totp"]));
}

#[tokio::test]
async fn the_last_of_two_methods_of_one_kind_is_sent() {
    for (first, second, header) in [
        (AuthMethod::token("one"), AuthMethod::token("two"), "x-auth-token"),
        (AuthMethod::receipt("one"), AuthMethod::receipt("two"), "openstack-auth-receipt"),
    ] {
        let both = V3Credentials::new(auth_url(), first).and(AuthMethod::totp(alice(), "1")).and(second);
        let request = both.request().unwrap();
        let sent: Vec<_> = request.headers().get_all(header).iter().collect();
        assert_eq!(sent, ["two"]);
    }
    let both = V3Credentials::new(auth_url(), AuthMethod::token("one")).and(AuthMethod::token("two"));
    assert_eq!(login_body(&both).await["auth"]["identity"]["token"], json!({"id": "two"}));
}

#[tokio::test]
async fn an_incomplete_receipt_is_an_ordinary_401() {
    for body in [
        json!({"error": {"code": 401, "message": "more is needed"}}),
        json!({"error": {"message": "more is needed"}, "receipt": {"methods": ["password"]}}),
    ] {
        let (transport, _) = keystone(401, &[("openstack-auth-receipt", "receipt-1")], body);
        let password = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
        let error = password.get_auth_ref(transport).await.unwrap_err();
        assert!(!error.is_transient());
        let message = error.to_string();
        assert!(
            message.starts_with("login to Keystone at https://")
                && message.contains(" failed with 401 Unauthorized: more is needed; "),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_login_url_contains_the_version_and_nocatalog() {
    for (auth_url, expected) in [
        ("https://h:5000", "https://h:5000/v3/auth/tokens"),
        ("https://h/identity/", "https://h/identity/v3/auth/tokens"),
        ("https://h/v3", "https://h/v3/auth/tokens"),
        ("https://h/v3/", "https://h/v3/auth/tokens"),
    ] {
        let token = V3Credentials::new(auth_url, AuthMethod::token("t"));
        assert_eq!(token.request().unwrap().uri(), expected);
        assert_eq!(token.without_catalog().request().unwrap().uri(), &*format!("{expected}?nocatalog"));
    }
    let v2 = V2Credentials::password("https://h/v2.0/", User::new().username("alice"), "pw")
        .tenant_name("demo")
        .request()
        .unwrap();
    assert_eq!(v2.uri(), "https://h/v2.0/tokens");
    let credentials = json!({"username": "alice", "password": "pw"});
    let without_user = V2Credentials::password("https://h/v2.0/", User::new().user_id(""), "pw");
    assert!(matches!(without_user.request(), Err(Error::AuthorizationFailure { .. })));
    assert_eq!(body(v2).await, json!({"auth": {"passwordCredentials": credentials, "tenantName": "demo"}}));
}

#[tokio::test]
async fn an_error_response_is_reported_with_its_message_and_request_id() {
    let error = json!({"error": {"code": 503, "message": "busy", "title": "Service Unavailable"}});
    let (transport, requests) =
        keystone(503, &[("retry-after", "7"), ("x-openstack-request-id", "req-1")], error);
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    let Err(error) = credentials.get_auth_ref(transport).await else { panic!("expected an error") };
    assert!(error.is_transient());
    assert_eq!(
        error.to_string(),
        "login to Keystone at https://keystone.example.com/ failed with 503 Service Unavailable: busy (request req-1)"
    );
    let Error::Keystone(response) = error else { panic!("expected a response of Keystone: {error}") };
    assert_eq!(response.retry_after.unwrap().as_secs(), 7);
    assert_eq!(*requests.lock().unwrap(), ["POST https://keystone.example.com/v3/auth/tokens"]);

    for (status, transient) in
        [(401, false), (403, false), (404, false), (413, false), (429, true), (500, true)]
    {
        let (transport, _) = keystone(status, &[], json!({"error": {"code": status}}));
        let error = credentials.get_auth_ref(transport).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{status}");
    }
    let (transport, _) = keystone(201, &[], V3Token::new("u", "alice").document().clone());
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(matches!(error, Error::NoToken) && error.to_string().contains("X-Subject-Token"), "{error}");
}

/// Returns the error text of a login that Keystone rejects with this status.
async fn login_error(credentials: &dyn Credentials, status: u16) -> String {
    let (transport, _) = keystone(status, &[], json!({"error": {"code": status, "message": "no"}}));
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_rejected_login_names_url_credentials_scope_and_likely_cause() {
    let v3 = |method, scope| V3Credentials::new(auth_url(), method).scope(scope);
    let project = || Scope::new().project_name("demo").project_domain_id("d1");
    let by_id = || AuthMethod::application_credential("ac-id", "canary");
    for (credentials, who, what, causes) in [
        (
            v3(AuthMethod::password(alice(), "canary"), project()),
            r#"the password of user "alice" of domain "Default""#,
            r#"project "demo" of domain "d1""#,
            ["and the password", "exist"],
        ),
        (
            v3(AuthMethod::password(User::new().user_id("u1"), "canary"), Scope::new().project_id("p1")),
            r#"the password of user id "u1""#,
            r#"project id "p1""#,
            ["and the password", "exist"],
        ),
        (
            v3(AuthMethod::totp(alice(), "canary"), Scope::new().domain_name("Corp")),
            r#"a passcode of user "alice" of domain "Default""#,
            r#"domain "Corp""#,
            ["passcode is the current one", "exist"],
        ),
        (
            v3(AuthMethod::token("canary"), Scope::new().trust_id("t1")),
            "a token",
            r#"trust id "t1""#,
            ["revoked"; 2],
        ),
        (
            v3(by_id(), Scope::new()),
            r#"application credential id "ac-id""#,
            "the scope of the application credential",
            ["check the secret", "still exist"],
        ),
        (
            v3(AuthMethod::named_application_credential("ac", alice(), "canary"), Scope::new()),
            r#"application credential "ac" of user "alice" of domain "Default""#,
            "the scope of the application credential",
            ["check the secret", "still exist"],
        ),
        (
            v3(AuthMethod::password(alice(), "canary"), Scope::new().system_scope("all"))
                .and(AuthMethod::totp(alice(), "canary")),
            r#"and a passcode of user "alice""#,
            "the system",
            ["each credential", "exist"],
        ),
        (
            v3(AuthMethod::password(User::new(), "canary"), Scope::new().unscoped()),
            "the password of an unnamed user",
            "unscoped access",
            ["and the password", "exist"],
        ),
    ] {
        for (status, cause) in [401, 404].into_iter().zip(causes) {
            let message = login_error(&credentials, status).await;
            let login = format!("login to Keystone at {} with ", auth_url());
            assert!(
                message.contains(&login) && message.contains(who) && message.contains(cause),
                "{message}"
            );
            assert!(
                message.contains(&format!(" for {what} failed with ")) && !message.contains("canary"),
                "{message}"
            );
            assert_eq!(message.contains("check the auth_url"), status == 404, "{message}");
        }
    }
    for (credentials, who, what) in [
        (
            V2Credentials::password(auth_url(), User::new().username("alice"), "canary").tenant_name("demo"),
            r#"the password of user "alice""#,
            r#"tenant "demo""#,
        ),
        (V2Credentials::token(auth_url(), "canary").tenant_id("t1"), "a token", r#"tenant id "t1""#),
    ] {
        let message = login_error(&credentials, 401).await;
        assert!(
            message.contains(&format!("{who} for {what} failed with ")) && !message.contains("canary"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn names_in_a_rejected_login_are_escaped_truncated_and_redacted() {
    let alice = User::new().username("al\nice").user_domain_name("d".repeat(10_000));
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice, "canary"));
    let message = login_error(&credentials, 401).await;
    assert!(message.contains(r#"user "al\nice" of domain "ddd"#) && message.len() < 1_000, "{message}");

    let mistaken = User::new().username("canary").user_domain_name("Default");
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(mistaken, "canary"))
        .scope(Scope::new().project_id("is canary"));
    let message = login_error(&credentials, 401).await;
    assert!(!message.contains("canary") && message.contains("redacted"), "{message}");
}

#[tokio::test]
async fn an_error_of_a_server_that_is_not_keystone_names_the_likely_cause() {
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    for (status, transient, cause) in [
        (404, true, "check the auth_url"),
        (401, true, "check the auth_url"),
        (405, false, "correct the auth_url"),
        (501, false, "correct the auth_url"),
        (407, false, "a proxy requires credentials"),
    ] {
        let (transport, _) = keystone(status, &[], json!("<html>"));
        let error = credentials.get_auth_ref(transport).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(error.to_string().contains(cause), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_auth_url_is_suggested_as_the_cause_of_a_failed_login() {
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    let (transport, _) = keystone(404, &[], json!({"error": {"message": "no such page"}}));
    let error = credentials.get_auth_ref(transport).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "login to Keystone at https://keystone.example.com/ with the password of user \"alice\" of domain \"Default\" \
         for the default project of the user failed with 404 Not Found: no such page; check the auth_url, and that the \
         user and the scope exist"
    );

    let unreachable =
        |_: Request<Full<Bytes>>| ready(Err::<Response<Full<Bytes>>, _>(io::Error::other("refused")));
    let transport = Transport::new(service_fn(unreachable));
    let error = credentials.get_auth_ref(transport.clone()).await.unwrap_err();
    let at = "cannot reach Keystone at https://keystone.example.com (check the auth_url and the network)";
    assert_eq!(error.to_string(), at);
    let with_more = Request::get("https://alice:pw@keystone.example.com/v2.0/tokens/gAAAA?x=y");
    let error = transport.send(with_more.body(Bytes::new()).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), at);
}

#[tokio::test]
async fn a_transport_accepts_clients_with_other_request_bodies() {
    struct CustomBody(Full<Bytes>);
    impl From<Bytes> for CustomBody {
        fn from(body: Bytes) -> Self {
            Self(Full::new(body))
        }
    }
    let respond = |body: Bytes| {
        let login: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(login["auth"]["identity"]["password"]["user"]["name"], "alice");
        let document = V3Token::new("u1", "alice").document().to_string();
        let response = Response::builder().status(201).header("x-subject-token", "gAAAA");
        Ok::<_, BoxError>(response.body(Full::new(Bytes::from(document)))?)
    };
    let custom = service_fn(move |request: Request<CustomBody>| async move {
        respond(request.into_body().0.collect().await?.to_bytes())
    });
    let axum = service_fn(move |request: Request<axum::body::Body>| async move {
        respond(request.into_body().collect().await?.to_bytes())
    });
    for transport in [Transport::new(custom), Transport::with_body(axum, axum::body::Body::from)] {
        let plugin = RenewingPlugin::new(
            V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw")),
            transport,
        );
        let access = plugin.access().await.unwrap();
        assert_eq!(access.auth_ref().and_then(|info| info.auth_token()), Some("gAAAA"));
    }
}

#[tokio::test]
async fn credentials_can_be_trait_objects() {
    let body = json!({"error": {"code": 401}});
    for v3 in [true, false] {
        let (transport, requests) = keystone(401, &[], body.clone());
        let (chosen, cache_id, path): (Arc<dyn Credentials>, _, _) = if v3 {
            let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
            let cache_id = credentials.cache_id();
            (Arc::new(credentials), cache_id, "v3/auth/tokens")
        } else {
            let credentials = V2Credentials::password(auth_url(), User::new().username("alice"), "pw");
            let cache_id = credentials.cache_id();
            (Arc::new(credentials), cache_id, "tokens")
        };
        let plugin = RenewingPlugin::new(chosen, transport);
        assert!(matches!(plugin.access().await, Err(Error::Keystone(_))));
        assert_eq!(*requests.lock().unwrap(), [format!("POST {}{path}", auth_url())]);
        assert!(plugin.cache_id().is_some() && plugin.cache_id() == cache_id);
        assert_eq!(plugin.auth_url(), Some(&auth_url()));
    }
}

#[test]
fn a_cache_id_equals_that_of_keystoneauth_and_differs_by_scope() {
    // Computed by keystoneauth1 for the same password, user and domain, and this URL without a slash.
    let user = User::new().user_id("737565f20d092aa9b70f041c3972916d");
    let auth_url = "https://identity.example.com:5000";
    let credentials = V3Credentials::new(auth_url, AuthMethod::password(user, "p\u{e4}\"ss\\"));
    let demo = Scope::new().project_name("bob-22").project_domain_id("default");
    let demo = credentials.clone().scope(demo);
    assert_eq!(demo.cache_id().unwrap(), "XDE6tjSWcE28r0cIl/h6fdFRYbQZXeGIMUVOFwS/K6A=");
    let system = credentials.clone().scope(Scope::new().system_scope("all"));
    assert_ne!(system.cache_id(), credentials.cache_id());
}

/// Credentials of each kind with these secrets, and others that each differ in one element that is no secret.
fn credentials_with_public_ids(secret: &str) -> Vec<Arc<dyn Credentials>> {
    let url = "https://identity.example.com:5000";
    let bob = || User::new().username("bob").user_domain_name("Default");
    let password = || AuthMethod::password(alice(), secret);
    let v3 = |method| V3Credentials::new(url, method);
    let generic = || GenericCredentials::password(url, alice(), secret);
    let v2 = |user: User| V2Credentials::password(url, user, secret);
    let named = |name: &str, user| AuthMethod::named_application_credential(name, user, secret);
    let mut all: Vec<Arc<dyn Credentials>> = vec![
        Arc::new(v3(password())),
        Arc::new(V3Credentials::new("https://other.example.com:5000", password())),
        Arc::new(v3(AuthMethod::password(bob(), secret))),
        Arc::new(v3(AuthMethod::password(User::new().user_id("alice"), secret))),
        Arc::new(v3(AuthMethod::password(User::new().username("alice").user_domain_id("Default"), secret))),
        Arc::new(v3(password()).without_catalog()),
        Arc::new(v3(password()).and(AuthMethod::totp(alice(), secret))),
        Arc::new(v3(password()).and(AuthMethod::receipt(secret))),
        Arc::new(v3(password()).and(AuthMethod::token(secret))),
        Arc::new(v3(AuthMethod::totp(alice(), secret))),
        Arc::new(v3(AuthMethod::application_credential("id", secret))),
        Arc::new(v3(AuthMethod::application_credential("other", secret))),
        Arc::new(v3(named("name", alice()))),
        Arc::new(v3(named("name", bob()))),
        Arc::new(v3(named("other", alice()))),
        Arc::new(generic()),
        Arc::new(GenericCredentials::password("https://other.example.com", alice(), secret)),
        Arc::new(GenericCredentials::password(url, bob(), secret)),
        Arc::new(GenericCredentials::password(url, User::new().username("alice"), secret)),
        Arc::new(
            GenericCredentials::password(url, User::new().username("alice"), secret).default_domain_id("d"),
        ),
        Arc::new(v2(User::new().username("alice"))),
        Arc::new(v2(User::new().username("bob"))),
        Arc::new(v2(User::new().user_id("alice"))),
        Arc::new(v2(User::new().username("alice")).tenant_id("t")),
        Arc::new(v2(User::new().username("alice")).tenant_name("t")),
        Arc::new(v2(User::new().username("alice")).trust_id("t")),
    ];
    let scopes = [
        Scope::new().project_id("x"),
        Scope::new().project_name("x"),
        Scope::new().project_name("x").project_domain_id("x"),
        Scope::new().project_name("x").project_domain_name("x"),
        Scope::new().domain_id("x"),
        Scope::new().domain_name("x"),
        Scope::new().system_scope("all"),
        Scope::new().trust_id("x"),
        Scope::new().unscoped(),
    ];
    for scope in scopes {
        all.push(Arc::new(v3(password()).scope(scope.clone())));
        all.push(Arc::new(generic().scope(scope)));
    }
    all
}

#[test]
fn a_public_id_differs_with_each_element_but_not_with_the_secret() {
    let ids = |secret| {
        let public_id = |credentials: Arc<dyn Credentials>| credentials.public_id().unwrap();
        credentials_with_public_ids(secret).into_iter().map(public_id).collect::<Vec<_>>()
    };
    let with_one_secret = ids("secret-a");
    assert_eq!(with_one_secret, ids("secret-b"));
    for (index, id) in with_one_secret.iter().enumerate() {
        assert_eq!(with_one_secret.iter().position(|other| other == id), Some(index));
    }
}

#[test]
fn a_public_id_is_not_the_cache_id() {
    for credentials in credentials_with_public_ids("secret") {
        assert_ne!(credentials.public_id(), credentials.cache_id());
    }
}

#[test]
fn credentials_that_only_a_secret_tells_apart_have_no_public_id() {
    let url = "https://identity.example.com:5000";
    let v3 = |method| V3Credentials::new(url, method);
    let nobody = || User::new().username("").user_id("");
    let without: [Arc<dyn Credentials>; 10] = [
        Arc::new(v3(AuthMethod::token("secret"))),
        Arc::new(v3(AuthMethod::receipt("secret")).and(AuthMethod::token("secret"))),
        Arc::new(v3(AuthMethod::password(nobody(), "secret"))),
        Arc::new(v3(AuthMethod::application_credential("", "secret"))),
        Arc::new(v3(AuthMethod::named_application_credential("name", nobody(), "secret"))),
        Arc::new(V2Credentials::token(url, "secret")),
        Arc::new(V2Credentials::password(url, nobody(), "secret")),
        Arc::new(GenericCredentials::token(url, "secret")),
        Arc::new(GenericCredentials::password(url, nobody(), "secret")),
        // The URL may contain a password by mistake.
        Arc::new(GenericCredentials::password(
            "https://alice:secret@identity.example.com",
            alice(),
            "secret",
        )),
    ];
    for (index, credentials) in without.iter().enumerate() {
        assert_eq!(credentials.public_id(), None, "{index}");
    }
}

#[test]
fn methods_that_are_not_sent_do_not_decide_an_id() {
    let password = |user| AuthMethod::password(user, "pw");
    let (alice, bob) = (|| User::new().user_id("alice"), || User::new().username("bob"));
    let credentials = |methods: [AuthMethod; 2]| {
        let [first, last] = methods;
        V3Credentials::new(auth_url(), first).and(last)
    };
    let as_bob = credentials([password(alice()), password(bob())]);
    let as_alice = credentials([password(bob()), password(alice())]);
    assert_ne!(as_bob.public_id(), as_alice.public_id());
    assert_ne!(as_bob.cache_id(), as_alice.cache_id());
    assert_eq!(as_bob.cache_id(), V3Credentials::new(auth_url(), password(bob())).cache_id());
}

async fn headers(access: &ServiceAccess) -> HeaderMap {
    let mut headers = HeaderMap::new();
    access.insert_headers(&mut headers);
    headers
}

#[tokio::test]
async fn a_fixed_endpoint_plugin_sends_its_headers() {
    let endpoint = Uri::from_static("https://ironic.example.com");
    let none = FixedEndpointPlugin::no_auth(endpoint.clone()).unwrap();
    let token = FixedEndpointPlugin::admin_token(endpoint.clone(), &"admin".into()).unwrap();
    let basic = FixedEndpointPlugin::http_basic(endpoint, "Aladdin", &"open sesame".into()).unwrap();
    assert!(headers(&none.access().await.unwrap()).await.is_empty());
    assert_eq!(headers(&token.access().await.unwrap()).await["x-auth-token"], "admin");
    let basic = headers(&basic.access().await.unwrap()).await;
    assert_eq!(basic["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert!(basic["authorization"].is_sensitive());
}

#[test]
fn a_username_with_a_colon_is_refused_for_http_basic() {
    let endpoint = Uri::from_static("https://ironic.example.com");
    let error = FixedEndpointPlugin::http_basic(endpoint, "a:b", &"pw".into()).unwrap_err();
    assert!(matches!(error, Error::AuthorizationFailure { .. }), "{error}");
}

#[tokio::test]
async fn a_service_token_is_sent_with_the_user_token_and_both_are_invalidated() {
    let info = |token| V3Token::new("u", "alice").access_info(token).unwrap();
    let (user, service) = (AccessInfoPlugin::new(info("user")), AccessInfoPlugin::new(info("service")));
    let both = ServiceTokenAuthWrapper::new(user, service);
    let access = both.access().await.unwrap();
    let sent = headers(&access).await;
    assert_eq!(
        (&sent["x-auth-token"], &sent["x-service-token"]),
        (&"user".parse().unwrap(), &"service".parse().unwrap())
    );
    assert!(sent["x-service-token"].is_sensitive());
    assert!(
        Arc::ptr_eq(&access, &both.access().await.unwrap()),
        "the access is cached while both accesses stay the same"
    );
    assert_eq!(access.user_id(), Some("u"));
    assert!(
        !both.invalidate(&access, &Origin::from_uri(&Uri::from_static("https://nova.example.com")).unwrap()),
        "neither plugin can renew"
    );
}

#[tokio::test]
async fn an_auth_url_can_be_a_string_or_a_uri() {
    let url = "https://keystone.example.com/v3";
    let sent = |credentials: V3Credentials| credentials.request().unwrap().uri().to_string();
    let token = || AuthMethod::token("t");
    let (text, uri) = (url.to_owned(), Uri::from_static(url));
    for credentials in [
        V3Credentials::new(url, token()),
        V3Credentials::new(&text, token()),
        V3Credentials::new(text, token()),
        V3Credentials::new(format!(" {url}\r\n"), token()),
        V3Credentials::new(&uri, token()),
        V3Credentials::new(uri, token()),
    ] {
        assert_eq!(credentials.auth_url(), url);
        assert_eq!(sent(credentials), format!("{url}/auth/tokens"));
    }
    let info = V3Token::new("u", "alice").access_info("user").unwrap();
    let plugin = AccessInfoPlugin::new(info).auth_url(url);
    assert_eq!(IdentityPlugin::auth_url(&plugin), Some(&Uri::from_static(url)));
}

#[tokio::test]
async fn an_unusable_auth_url_is_an_error_with_the_reason() {
    let (transport, requests) = keystone(201, &[], json!({}));
    for (url, reason) in [
        ("keystone.example.com", "it must start with https:// or http://"),
        ("keystone.example.com/v3", "it must start with https:// or http://"),
        ("keystone.example.com:5000", "it must start with https:// or http://"),
        ("/v3", "it must start with https:// or http://"),
        ("", "it must start with https:// or http://"),
        ("ftp://keystone.example.com", "it must start with https:// or http://"),
        ("https:/keystone.example.com", "it must start with https:// or http://"),
        ("https://alice:canary@keystone.example.com/v3", "the URL has a user name"),
        ("https://keystone.example.com/v3?token=canary", "the URL has a query"),
        ("https://keystone.example.com/v3#canary", "the URL has a fragment"),
        ("https://keystone.example.com/a canary", "the URL is not valid"),
        ("https://$(canary)s/v3", "the URL has a placeholder that was not filled in"),
        ("https://", "the URL is not valid"),
    ] {
        let credentials: [Box<dyn Credentials>; 3] = [
            Box::new(V3Credentials::new(url, AuthMethod::password(alice(), "pw"))),
            Box::new(V2Credentials::password(url, User::new().username("alice"), "pw")),
            Box::new(GenericCredentials::password(url, alice(), "pw")),
        ];
        for credentials in credentials {
            let error = credentials.get_auth_ref(transport.clone()).await.unwrap_err();
            assert!(matches!(error, Error::InvalidEndpoint { .. }) && !error.is_transient(), "{error}");
            assert_eq!(error.to_string(), format!("the auth_url cannot be used: {reason}"), "{url}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        // A `Uri` has no fragment.
        if let Some(uri) = url.parse::<Uri>().ok().filter(|_| !url.contains('#')) {
            assert!(V3Credentials::new(uri, AuthMethod::token("t")).request().is_err(), "{url}");
        }
    }
    assert!(requests.lock().unwrap().is_empty());
}

#[test]
fn application_credentials_accept_str_and_string() {
    for method in [
        AuthMethod::application_credential_from_parts(Some("ac"), None, User::new(), "secret"),
        AuthMethod::application_credential_from_parts(
            Some("ac".to_owned()),
            None,
            User::new(),
            "secret".to_owned(),
        ),
        AuthMethod::application_credential("ac", "secret"),
    ] {
        let sent = V3Credentials::new(auth_url(), method).request().unwrap();
        assert_eq!(sent.uri(), "https://keystone.example.com/v3/auth/tokens");
    }
}

#[tokio::test]
async fn an_invalid_token_document_is_reported_with_its_url() {
    let credentials = V3Credentials::new(auth_url(), AuthMethod::password(alice(), "pw"));
    for document in [json!("<html>canary</html>"), json!({"access": {"token": {"id": "canary"}}})] {
        let (transport, _) = keystone(200, &[("x-subject-token", "t")], document);
        let message = credentials.get_auth_ref(transport).await.unwrap_err().to_string();
        assert!(message.starts_with("invalid response from https://keystone.example.com/: it "), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

/// A function that runs once, the next time that the client is cloned.
type OnClone = Arc<Mutex<Option<Box<dyn FnMut() + Send>>>>;

/// A client that responds with 204 and runs a function when it is cloned.
struct CloneHook(OnClone);

impl Clone for CloneHook {
    fn clone(&self) -> Self {
        let on_clone = self.0.lock().unwrap().take();
        if let Some(mut on_clone) = on_clone {
            on_clone();
        }
        Self(Arc::clone(&self.0))
    }
}

impl Service<Request<Full<Bytes>>> for CloneHook {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        std::future::ready(Ok(response))
    }
}

fn get_keystone() -> Request<Bytes> {
    Request::get("https://keystone.example.com/v3").body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_client_can_use_its_transport_while_it_is_being_cloned() {
    let on_clone = OnClone::default();
    let transport = Transport::new(CloneHook(Arc::clone(&on_clone)));
    let (again, mut within) = (transport.clone(), None);
    let (sender, receiver) = std::sync::mpsc::channel();
    *on_clone.lock().unwrap() = Some(Box::new(move || {
        let transport = again.clone();
        let sent =
            within.insert(tokio_test::task::spawn(async move { transport.send(get_keystone()).await }));
        sender.send(sent.poll().is_pending()).unwrap();
    }));
    assert_eq!(transport.send(get_keystone()).await.unwrap().status(), 204);
    assert!(receiver.recv().unwrap(), "the inner request waits until the clone is made");
    assert_eq!(transport.send(get_keystone()).await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_client_that_panics_in_clone_is_cloned_again() {
    let on_clone = OnClone::default();
    let transport = Transport::new(CloneHook(Arc::clone(&on_clone)));
    *on_clone.lock().unwrap() = Some(Box::new(|| panic!("once")));
    let sending = transport.clone();
    tokio::spawn(async move { sending.send(get_keystone()).await }).await.unwrap_err();
    assert_eq!(transport.send(get_keystone()).await.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_one_transport() {
    let transport = Transport::new(CloneHook(OnClone::default()));
    let sent = (0..1_000).map(|_| {
        let transport = transport.clone();
        async move { transport.send(get_keystone()).await }
    });
    let sent = tokio::task::JoinSet::from_iter(sent).join_all().await;
    assert!(sent.into_iter().all(|response| response.is_ok_and(|response| response.status() == 204)));
}
