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

/// What is at the `auth_url`.
#[derive(Clone)]
enum There {
    Document(Value),
    Redirect(&'static str),
    Status(u16),
    Nobody,
}

/// A Keystone of both versions, and what it was asked.
#[derive(Clone)]
struct Keystone {
    there: Arc<Mutex<There>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// The body that was sent last.
    sent: Arc<Mutex<Value>>,
}

impl Keystone {
    fn new(there: There) -> Self {
        Self { there: Arc::new(Mutex::new(there)), asked: Arc::default(), sent: Arc::default() }
    }

    fn of(versions: &[(&str, &str, &str)]) -> Self {
        let add =
            |document: Discovery, (id, status, url): &(&str, &str, &str)| document.version(id, status, url);
        Self::new(There::Document(versions.iter().fold(Discovery::new(), add).identity_document()))
    }

    fn of_both() -> Self {
        Self::of(&[
            ("v2.0", "DEPRECATED", "https://keystone.example.com/identity/v2.0/"),
            ("v3.14", "CURRENT", "https://keystone.example.com/identity/v3/"),
        ])
    }

    fn transport(&self) -> Transport {
        let keystone = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let keystone = keystone.clone();
            async move {
                let answer = keystone.answer(&request);
                let body = request.into_body().collect().await?.to_bytes();
                *keystone.sent.lock().unwrap() = serde_json::from_slice(&body).unwrap_or_default();
                answer
            }
        }))
    }

    fn answer(&self, request: &Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let reply = |status: u16, body: &Value| {
            Response::builder()
                .status(status)
                .header("x-subject-token", "gAAAA")
                .body(body.to_string().into())
        };
        let answer = match (request.method(), &*self.there.lock().unwrap()) {
            (&Method::POST, _) if request.uri().path().ends_with("/v3/auth/tokens") => {
                reply(201, V3Token::new("u", "alice").document())
            }
            (&Method::POST, _) => reply(200, V2Token::new("gAAAA", "u", "alice").document()),
            (_, There::Document(document)) => {
                assert!(!request.headers().contains_key("x-auth-token"));
                reply(300, document)
            }
            (_, There::Redirect(url)) => {
                Response::builder().status(302).header("location", *url).body(Full::default())
            }
            (_, There::Status(status)) => reply(*status, &json!({"error": {"code": status}})),
            (_, There::Nobody) => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        };
        Ok(answer?)
    }

    /// What it was asked since this was called last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn auth_ref(&self, credentials: &GenericCredentials) -> Result<AccessInfo, Error> {
        credentials.get_auth_ref(self.transport()).await
    }
}

fn at(auth_url: &str) -> GenericCredentials {
    GenericCredentials::password(auth_url, User::new().username("alice"), "pw")
}

fn in_domain() -> Scope {
    Scope::new().project_name("demo").project_domain_name("Default")
}

const DOCUMENT: &str = "GET https://keystone.example.com/identity";
const V2: &str = "POST https://keystone.example.com/identity/v2.0/tokens";
const V3: &str = "POST https://keystone.example.com/identity/v3/auth/tokens";

#[tokio::test]
async fn the_version_is_asked_for_once_and_without_credentials() {
    let keystone = Keystone::of_both();
    let credentials = at(ROOT).scope(in_domain());
    for _ in 0..2 {
        assert_eq!(keystone.auth_ref(&credentials).await.unwrap().auth_token(), Some("gAAAA"));
    }
    assert_eq!(keystone.asked(), [DOCUMENT, V3, V3]);

    // A clone with other parameters chooses for itself.
    keystone.auth_ref(&credentials.clone()).await.unwrap();
    keystone.auth_ref(&credentials.clone().scope(Scope::new())).await.unwrap();
    assert_eq!(keystone.asked(), [V3, DOCUMENT, V2]);
    keystone.auth_ref(&credentials).await.unwrap();
    assert_eq!(keystone.asked(), [V3]);
}

#[tokio::test]
async fn the_oldest_version_that_can_do_it_is_taken() {
    let keystone = Keystone::of_both();
    let root = || ROOT.parse::<Uri>().unwrap();
    let bob = User::new().username("bob");
    let of_domain = GenericCredentials::password(root(), bob.clone().user_domain_id("default"), "pw");
    for (credentials, expected) in [
        (at(ROOT), V2),
        (at(ROOT).scope(Scope::new().project_id("p").trust_id("t")), V2),
        (at(ROOT).scope(in_domain()), V3),
        (at(ROOT).scope(Scope::new().domain_name("Default")), V3),
        (at(ROOT).scope(Scope::new().system_scope("all")), V3),
        (at(ROOT).scope(Scope::new().unscoped()), V3),
        (at(ROOT).default_domain_name("Default"), V3),
        (of_domain, V3),
        (GenericCredentials::token(root(), "t"), V2),
        (GenericCredentials::token(root(), "t").default_domain_id("default"), V3),
    ] {
        keystone.auth_ref(&credentials).await.unwrap();
        assert_eq!(keystone.asked(), [DOCUMENT, expected], "{credentials:?}");
    }
}

#[tokio::test]
async fn a_default_domain_does_not_keep_from_an_old_keystone() {
    let keystone = Keystone::of(&[("v2.0", "CURRENT", "https://keystone.example.com/identity/v2.0/")]);
    keystone.auth_ref(&at(ROOT).default_domain_id("default")).await.unwrap();
    assert_eq!(keystone.asked(), [DOCUMENT, V2]);
    let error = keystone.auth_ref(&at(ROOT).scope(in_domain())).await.unwrap_err();
    assert!(matches!(error, Error::DiscoveryFailure(_)) && !error.is_transient());
    assert!(error.to_string().contains("lists 2.0 (CURRENT)"), "{error}");
    assert_eq!(keystone.asked(), [DOCUMENT], "nothing is sent to a version that cannot do it");
}

#[tokio::test]
async fn a_default_domain_stands_in_only_where_none_is_given() {
    let domain = |user: User| async move {
        let keystone = Keystone::of_both();
        let credentials = GenericCredentials::password(ROOT, user.username("alice"), "pw");
        keystone.auth_ref(&credentials.default_domain_id("default")).await.unwrap();
        let sent = keystone.sent.lock().unwrap().clone();
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
        let keystone = Keystone::of(&[("v3.14", "CURRENT", link)]);
        keystone.auth_ref(&at(ROOT).scope(in_domain())).await.unwrap();
        assert_eq!(keystone.asked(), [DOCUMENT, V3], "{link}");
    }
    let keystone = Keystone::new(There::Redirect("https://evil.example.org/"));
    let error = keystone.auth_ref(&at(ROOT)).await.unwrap_err();
    assert!(matches!(error, Error::DiscoveryFailure(_)) && !error.is_transient());
    assert_eq!(keystone.asked(), [DOCUMENT]);
}

#[tokio::test]
async fn without_a_document_the_path_decides() {
    for there in [There::Status(404), There::Status(401), There::Nobody, There::Document(json!([]))] {
        let keystone = Keystone::new(there);
        for (auth_url, expected) in [
            ("https://h/v3", "POST https://h/v3/auth/tokens"),
            ("https://h/V3/", "POST https://h/V3/v3/auth/tokens"),
            ("https://h/v2.0", "POST https://h/v2.0/tokens"),
        ] {
            keystone.auth_ref(&at(auth_url)).await.unwrap();
            assert_eq!(keystone.asked()[1..], [expected]);
        }
        for auth_url in ["https://h/", "https://h/identity/v3", "https://h/v4"] {
            let error = keystone.auth_ref(&at(auth_url)).await.unwrap_err();
            assert!(matches!(error, Error::DiscoveryFailure(_)), "{error}");
            assert_eq!(keystone.asked().len(), 1, "no credentials are sent");
        }
        let domain = keystone.auth_ref(&at("https://h/v2.0").scope(in_domain())).await;
        assert!(matches!(domain, Err(Error::DiscoveryFailure(_))));
    }
}

#[tokio::test]
async fn a_keystone_that_is_away_is_asked_again() {
    let keystone = Keystone::new(There::Nobody);
    let credentials = at(ROOT).scope(in_domain());
    assert!(keystone.auth_ref(&credentials).await.unwrap_err().is_transient());
    *keystone.there.lock().unwrap() = There::Status(503);
    assert!(keystone.auth_ref(&credentials).await.unwrap_err().is_transient());
    let there = Keystone::of_both().there.lock().unwrap().clone();
    *keystone.there.lock().unwrap() = there;
    keystone.auth_ref(&credentials).await.unwrap();
    assert_eq!(keystone.asked(), [DOCUMENT, DOCUMENT, DOCUMENT, V3]);
}

#[tokio::test]
async fn an_auth_url_that_is_none_is_refused() {
    let keystone = Keystone::of_both();
    for auth_url in ["/v3", "keystone:5000", "https://admin:pw@keystone/v3", "https://keystone/v3?x=1"] {
        let refused = keystone.auth_ref(&at(auth_url)).await;
        assert!(matches!(refused, Err(Error::InvalidEndpoint { .. })), "{auth_url}");
    }
    assert!(keystone.asked().is_empty());
}

#[tokio::test]
async fn an_error_at_the_version_document_is_that_of_a_proxy_and_passes() {
    for (status, passes) in
        [(400, true), (401, true), (403, true), (404, true), (503, true), (405, false), (501, false)]
    {
        let keystone = Keystone::new(There::Status(status));
        let credentials = at(ROOT).scope(in_domain());
        let error = keystone.auth_ref(&credentials).await.unwrap_err();
        assert!(matches!(error, Error::DiscoveryFailure(_)), "{error}");
        assert_eq!(error.is_transient(), passes, "{status}: {error}");
        let there = Keystone::of_both().there.lock().unwrap().clone();
        *keystone.there.lock().unwrap() = there;
        keystone.auth_ref(&credentials).await.unwrap();
    }
}
