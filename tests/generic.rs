//! Credentials that discover the version of the Identity API.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::service_fn;
use tower_keystone::{
    AccessInfo, BoxError, Credentials, Error, GenericCredentials, Scope, Transport, User,
    fixture::{Discovery, V2Token, V3Token},
};

const ROOT: &str = "https://keystone.example.com/identity";

/// The response to a request for the version document at the `auth_url`.
#[derive(Clone)]
enum AuthUrlResponse {
    Document(Value),
    Redirect(&'static str),
    Status(u16),
    ConnectionRefused,
}

/// A Keystone that accepts v2.0 and v3 logins and records its requests.
#[derive(Clone)]
struct Keystone {
    response: Arc<Mutex<AuthUrlResponse>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// The body of the last request.
    last_body: Arc<Mutex<Value>>,
}

impl Keystone {
    fn new(response: AuthUrlResponse) -> Self {
        Self { response: Arc::new(Mutex::new(response)), requests: Arc::default(), last_body: Arc::default() }
    }

    fn with_versions(versions: &[(&str, &str, &str)]) -> Self {
        let add =
            |document: Discovery, (id, status, url): &(&str, &str, &str)| document.version(id, status, url);
        Self::new(AuthUrlResponse::Document(versions.iter().fold(Discovery::new(), add).identity_document()))
    }

    fn with_both_versions() -> Self {
        Self::with_versions(&[
            ("v2.0", "DEPRECATED", "https://keystone.example.com/identity/v2.0/"),
            ("v3.14", "CURRENT", "https://keystone.example.com/identity/v3/"),
        ])
    }

    fn transport(&self) -> Transport {
        let keystone = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let keystone = keystone.clone();
            async move {
                let response = keystone.respond(&request);
                let body = request.into_body().collect().await?.to_bytes();
                *keystone.last_body.lock().unwrap() = serde_json::from_slice(&body).unwrap_or_default();
                response
            }
        }))
    }

    fn respond(&self, request: &Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        self.requests.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let reply = |status: u16, body: &Value| {
            Response::builder()
                .status(status)
                .header("x-subject-token", "gAAAA")
                .body(body.to_string().into())
        };
        let response = match (request.method(), &*self.response.lock().unwrap()) {
            (&Method::POST, _) if request.uri().path().ends_with("/v3/auth/tokens") => {
                reply(201, V3Token::new("u", "alice").document())
            }
            (&Method::POST, _) => reply(200, V2Token::new("gAAAA", "u", "alice").document()),
            (_, AuthUrlResponse::Document(document)) => {
                assert!(!request.headers().contains_key("x-auth-token"));
                reply(300, document)
            }
            (_, AuthUrlResponse::Redirect(url)) => {
                Response::builder().status(302).header("location", *url).body(Full::default())
            }
            (_, AuthUrlResponse::Status(status)) => reply(*status, &json!({"error": {"code": status}})),
            (_, AuthUrlResponse::ConnectionRefused) => {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
        };
        Ok(response?)
    }

    /// Returns and forgets the requests so far.
    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    async fn auth_ref(&self, credentials: &GenericCredentials) -> Result<AccessInfo, Error> {
        credentials.get_auth_ref(self.transport()).await
    }
}

fn credentials_at(auth_url: &str) -> GenericCredentials {
    GenericCredentials::password(auth_url, User::new().username("alice"), "pw")
}

fn project_in_domain() -> Scope {
    Scope::new().project_name("demo").project_domain_name("Default")
}

const DOCUMENT: &str = "GET https://keystone.example.com/identity";
const V2: &str = "POST https://keystone.example.com/identity/v2.0/tokens";
const V3: &str = "POST https://keystone.example.com/identity/v3/auth/tokens";

#[tokio::test]
async fn the_version_is_discovered_once_and_without_credentials() {
    let keystone = Keystone::with_both_versions();
    let credentials = credentials_at(ROOT).scope(project_in_domain());
    for _ in 0..2 {
        assert_eq!(keystone.auth_ref(&credentials).await.unwrap().auth_token(), Some("gAAAA"));
    }
    assert_eq!(keystone.take_requests(), [DOCUMENT, V3, V3]);

    // A clone with another scope discovers the version again.
    keystone.auth_ref(&credentials.clone()).await.unwrap();
    keystone.auth_ref(&credentials.clone().scope(Scope::new())).await.unwrap();
    assert_eq!(keystone.take_requests(), [V3, DOCUMENT, V2]);
    keystone.auth_ref(&credentials).await.unwrap();
    assert_eq!(keystone.take_requests(), [V3]);
}

#[tokio::test]
async fn the_oldest_version_that_supports_the_login_is_used() {
    let keystone = Keystone::with_both_versions();
    let root = || ROOT.parse::<Uri>().unwrap();
    let bob = User::new().username("bob");
    let with_domain = GenericCredentials::password(root(), bob.clone().user_domain_id("default"), "pw");
    for (credentials, expected) in [
        (credentials_at(ROOT), V2),
        (credentials_at(ROOT).scope(Scope::new().project_id("p").trust_id("t")), V2),
        (credentials_at(ROOT).scope(project_in_domain()), V3),
        (credentials_at(ROOT).scope(Scope::new().domain_name("Default")), V3),
        (credentials_at(ROOT).scope(Scope::new().system_scope("all")), V3),
        (credentials_at(ROOT).scope(Scope::new().unscoped()), V3),
        (credentials_at(ROOT).default_domain_name("Default"), V3),
        (with_domain, V3),
        (GenericCredentials::token(root(), "t"), V2),
        (GenericCredentials::token(root(), "t").default_domain_id("default"), V3),
    ] {
        keystone.auth_ref(&credentials).await.unwrap();
        assert_eq!(keystone.take_requests(), [DOCUMENT, expected], "{credentials:?}");
    }
}

#[tokio::test]
async fn a_default_domain_alone_does_not_require_v3() {
    let keystone =
        Keystone::with_versions(&[("v2.0", "CURRENT", "https://keystone.example.com/identity/v2.0/")]);
    keystone.auth_ref(&credentials_at(ROOT).default_domain_id("default")).await.unwrap();
    assert_eq!(keystone.take_requests(), [DOCUMENT, V2]);
    let error = keystone.auth_ref(&credentials_at(ROOT).scope(project_in_domain())).await.unwrap_err();
    assert!(matches!(error, Error::DiscoveryFailure(_)) && !error.is_transient());
    assert!(error.to_string().contains("lists 2.0 (CURRENT); use credentials that one of these "), "{error}");
    assert_eq!(
        keystone.take_requests(),
        [DOCUMENT],
        "no login is sent to a version that does not support it"
    );
}

#[tokio::test]
async fn a_default_domain_is_used_only_if_no_domain_is_given() {
    let domain = |user: User| async move {
        let keystone = Keystone::with_both_versions();
        let credentials = GenericCredentials::password(ROOT, user.username("alice"), "pw");
        keystone.auth_ref(&credentials.default_domain_id("default")).await.unwrap();
        let sent = keystone.last_body.lock().unwrap().clone();
        sent["auth"]["identity"]["password"]["user"]["domain"].clone()
    };
    assert_eq!(domain(User::new()).await, json!({"id": "default"}));
    assert_eq!(domain(User::new().user_domain_name("Corp")).await, json!({"name": "Corp"}));
    assert_eq!(domain(User::new().user_domain_id("corp")).await, json!({"id": "corp"}));
}

#[tokio::test]
async fn credentials_never_follow_a_link_to_another_origin() {
    for link in [
        "https://evil.example.org/identity/v3/",
        "http://keystone.example.com/identity/v3/",
        "https://keystone.example.com:8443/identity/v3",
        "//evil.example.org/v3",
        "https://keystone.example.com@evil.example.org/v3/",
    ] {
        let keystone = Keystone::with_versions(&[("v3.14", "CURRENT", link)]);
        keystone.auth_ref(&credentials_at(ROOT).scope(project_in_domain())).await.unwrap();
        assert_eq!(keystone.take_requests(), [DOCUMENT, V3], "{link}");
    }
    let keystone = Keystone::new(AuthUrlResponse::Redirect("https://evil.example.org/"));
    let error = keystone.auth_ref(&credentials_at(ROOT)).await.unwrap_err();
    assert!(matches!(error, Error::DiscoveryFailure(_)) && !error.is_transient());
    assert_eq!(keystone.take_requests(), [DOCUMENT]);
}

#[tokio::test]
async fn without_a_document_the_version_is_read_from_the_path() {
    for response in [
        AuthUrlResponse::Status(404),
        AuthUrlResponse::Status(401),
        AuthUrlResponse::ConnectionRefused,
        AuthUrlResponse::Document(json!([])),
    ] {
        let keystone = Keystone::new(response);
        for (auth_url, expected) in [
            ("https://h/v3", "POST https://h/v3/auth/tokens"),
            ("https://h/V3/", "POST https://h/V3/v3/auth/tokens"),
            ("https://h/v2.0", "POST https://h/v2.0/tokens"),
        ] {
            keystone.auth_ref(&credentials_at(auth_url)).await.unwrap();
            assert_eq!(keystone.take_requests()[1..], [expected]);
        }
        for auth_url in ["https://h/", "https://h/identity/v3", "https://h/v4"] {
            let error = keystone.auth_ref(&credentials_at(auth_url)).await.unwrap_err();
            assert!(matches!(error, Error::DiscoveryFailure(_)), "{error}");
            assert_eq!(keystone.take_requests().len(), 1, "no credentials are sent");
        }
        let domain = keystone.auth_ref(&credentials_at("https://h/v2.0").scope(project_in_domain())).await;
        assert!(matches!(domain, Err(Error::DiscoveryFailure(_))));
    }
}

#[tokio::test]
async fn discovery_is_repeated_after_a_transient_failure() {
    let keystone = Keystone::new(AuthUrlResponse::ConnectionRefused);
    let credentials = credentials_at(ROOT).scope(project_in_domain());
    assert!(keystone.auth_ref(&credentials).await.unwrap_err().is_transient());
    *keystone.response.lock().unwrap() = AuthUrlResponse::Status(503);
    assert!(keystone.auth_ref(&credentials).await.unwrap_err().is_transient());
    let document = Keystone::with_both_versions().response.lock().unwrap().clone();
    *keystone.response.lock().unwrap() = document;
    keystone.auth_ref(&credentials).await.unwrap();
    assert_eq!(keystone.take_requests(), [DOCUMENT, DOCUMENT, DOCUMENT, V3]);
}

#[tokio::test]
async fn an_invalid_auth_url_is_refused_before_sending() {
    let keystone = Keystone::with_both_versions();
    for auth_url in ["/v3", "keystone:5000", "https://admin:pw@keystone/v3", "https://keystone/v3?x=1"] {
        let result = keystone.auth_ref(&credentials_at(auth_url)).await;
        assert!(matches!(result, Err(Error::InvalidEndpoint { .. })), "{auth_url}");
    }
    assert!(keystone.take_requests().is_empty());
}

#[tokio::test]
async fn an_error_status_for_the_version_document_is_transient_except_405_and_501() {
    for (status, transient) in
        [(400, true), (401, true), (403, true), (404, true), (503, true), (405, false), (501, false)]
    {
        let keystone = Keystone::new(AuthUrlResponse::Status(status));
        let credentials = credentials_at(ROOT).scope(project_in_domain());
        let error = keystone.auth_ref(&credentials).await.unwrap_err();
        assert!(matches!(error, Error::DiscoveryFailure(_)), "{error}");
        assert_eq!(error.is_transient(), transient, "{status}: {error}");
        let document = Keystone::with_both_versions().response.lock().unwrap().clone();
        *keystone.response.lock().unwrap() = document;
        keystone.auth_ref(&credentials).await.unwrap();
    }
}
