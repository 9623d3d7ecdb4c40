//! Federated logins, and those with OAuth 2.0 or a client certificate.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::service_fn;

use super::{Cloud, ConfiguredIdentity, Identity, logged, prompt};
use crate::{
    AuthLayer, BoxError, EndpointFilter, Error, Transport,
    error::{ConfigError, ConfigErrorKind},
};

/// The auth types, and what they require besides the `auth_url`.
const AUTH_TYPES: &[(&str, &[&str])] = &[
    ("v3oidcclientcredentials", &["identity_provider", "protocol", "client_id", "access_token_endpoint"]),
    (
        "v3oidcpassword",
        &["identity_provider", "protocol", "client_id", "access_token_endpoint", "username", "password"],
    ),
    ("v3oidcaccesstoken", &["identity_provider", "protocol", "access_token"]),
    ("v3oidcauthcode", &["identity_provider", "protocol", "client_id", "access_token_endpoint", "code"]),
    ("v3oidcdeviceauthz", &["identity_provider", "protocol", "client_id", "access_token_endpoint"]),
    #[cfg(feature = "browser")]
    ("v3websso", &["identity_provider", "protocol"]),
    #[cfg(feature = "saml")]
    ("v3samlpassword", &["identity_provider", "protocol", "identity_provider_url", "username", "password"]),
    ("v3oauth2clientcredential", &["oauth2_endpoint", "oauth2_client_id", "oauth2_client_secret"]),
    ("v3oauth2mtlsclientcredential", &["oauth2_endpoint", "oauth2_client_id"]),
    ("v3tokenlessauth", &["project_id"]),
];

pub(super) fn is_federated(auth_type: &str) -> bool {
    AUTH_TYPES.iter().any(|(name, _)| *name == auth_type)
}

/// Returns a cloud with all that the auth type requires.
pub(super) fn complete(auth_type: &str) -> Cloud {
    let (_, required) = AUTH_TYPES.iter().find(|(name, _)| *name == auth_type).unwrap();
    required.iter().fold(Cloud::v3(), |cloud, name| cloud.auth(name, value(name)))
}

/// Returns a cloud of the auth type, with all that it requires.
fn cloud(auth_type: &str) -> Cloud {
    complete(auth_type).top("auth_type", auth_type)
}

fn value(name: &str) -> &str {
    match name {
        "access_token_endpoint" => "https://op.example.com/token",
        "discovery_endpoint" => "https://op.example.com/.well-known/openid-configuration",
        "device_authorization_endpoint" => "https://op.example.com/device",
        "identity_provider_url" => "https://idp.example.com/ecp",
        "oauth2_endpoint" => "https://keystone.example.com/v3/OS-OAUTH2/token",
        "identity_provider" => "op",
        "protocol" => "openid",
        other => other,
    }
}

/// Sends the first request of a login, and returns `METHOD URL`, the `Authorization` header and the body of each request.
/// The token endpoint issues a token, and all other requests fail.
async fn requests(cloud: &Cloud) -> Vec<[String; 3]> {
    let identity = cloud.build().unwrap();
    let Ok(credentials) = identity.identity.credentials() else { panic!("no credentials") };
    let sent = Arc::new(Mutex::new(Vec::new()));
    let _ = credentials.get_auth_ref(transport(&sent)).await;
    let sent = sent.lock().unwrap();
    sent.clone()
}

fn transport(sent: &Arc<Mutex<Vec<[String; 3]>>>) -> Transport {
    let sent = Arc::clone(sent);
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let sent = Arc::clone(&sent);
        async move {
            let (parts, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
            let authorization = parts.headers.get("authorization").map(|value| value.to_str());
            let authorization = authorization.transpose()?.unwrap_or_default().to_owned();
            sent.lock().unwrap().push([format!("{} {}", parts.method, parts.uri), authorization, body]);
            let (status, body) = match parts.uri.path() {
                "/token" => (200, json!({"access_token": "a", "id_token": "i"}).to_string()),
                _ => (404, String::new()),
            };
            Ok::<_, BoxError>(Response::builder().status(status).body(Full::<Bytes>::from(body))?)
        }
    }))
}

const EXCHANGE: &str =
    "POST https://keystone.example.com/v3/OS-FEDERATION/identity_providers/op/protocols/openid/auth";

#[test]
fn each_builds_with_what_it_requires() {
    for (auth_type, _) in AUTH_TYPES {
        assert_eq!(cloud(auth_type).auth_type(), *auth_type);
    }
}

#[test]
fn what_is_missing_is_listed() {
    let missing = |cloud: &Cloud| match cloud.error().kind {
        ConfigErrorKind::MissingSettings { names, .. } => names,
        other => panic!("{other:?}"),
    };
    for (auth_type, required) in AUTH_TYPES {
        let label = |name: &&'static str| match *name {
            "access_token_endpoint" => "access_token_endpoint or discovery_endpoint",
            "project_id" => "project_id or project_name or domain_id or domain_name",
            other => other,
        };
        let expected: Vec<_> = ["auth_url"].into_iter().chain(required.iter().map(label)).collect();
        assert_eq!(missing(&Cloud::new().top("auth_type", auth_type)), expected, "{auth_type}");
        for name in *required {
            assert_eq!(missing(&cloud(auth_type).auth(name, "")), [label(name)], "{auth_type}");
        }
        let with_name = cloud(auth_type).auth("project_id", "").auth("project_name", "demo");
        assert_eq!(missing(&with_name), ["project_domain_id or project_domain_name"], "{auth_type}");
    }
    // The discovery document has the token endpoint.
    for auth_type in ["v3oidcclientcredentials", "v3oidcpassword", "v3oidcauthcode", "v3oidcdeviceauthz"] {
        let discovered = cloud(auth_type).auth("access_token_endpoint", "");
        let discovered = discovered.auth("discovery_endpoint", value("discovery_endpoint"));
        assert_eq!(discovered.auth_type(), auth_type);
    }
}

#[test]
fn settings_that_it_does_not_know_are_errors() {
    for (auth_type, unknown) in [
        ("v3oidcclientcredentials", "username"),
        ("v3oidcpassword", "user_domain_name"),
        ("v3oidcpassword", "user_id"),
        ("v3oidcaccesstoken", "client_id"),
        ("v3oidcdeviceauthz", "code"),
        ("v3oauth2mtlsclientcredential", "oauth2_client_secret"),
        ("v3tokenlessauth", "trust_id"),
        ("v3tokenlessauth", "token"),
    ] {
        let error = cloud(auth_type).auth(unknown, "x").error();
        assert!(
            matches!(error.kind, ConfigErrorKind::UnknownMember { .. }),
            "{auth_type} {unknown}: {error}"
        );
    }
    let text = Cloud::alice().auth("client_id", "x").error().to_string();
    assert!(text.contains("or set auth_type to one of v3oidcclientcredentials, v3oidcpassword, "), "{text}");
}

#[tokio::test]
async fn client_credentials_are_sent() {
    let cloud = cloud("v3oidcclientcredentials").auth("client_secret", "s").auth("scope", "openid email");
    let [token, exchange] = &*requests(&cloud).await else { panic!() };
    assert_eq!(
        token,
        &[
            "POST https://op.example.com/token",
            "Basic Y2xpZW50X2lkOnM=",
            "scope=openid+email&grant_type=client_credentials"
        ]
    );
    assert_eq!(exchange, &[EXCHANGE, "Bearer a", ""]);

    let [_, exchange] = &*requests(&cloud.clone().auth("access_token_type", "id_token")).await else {
        panic!()
    };
    assert_eq!(exchange, &[EXCHANGE, "Bearer i", ""]);
    let [discovery] = &*requests(&cloud.auth("discovery_endpoint", value("discovery_endpoint"))).await else {
        panic!()
    };
    assert_eq!(discovery[0], "GET https://op.example.com/.well-known/openid-configuration");
}

#[tokio::test]
async fn the_new_name_of_the_scope_takes_precedence() {
    let cloud = cloud("v3oidcclientcredentials").auth("scope", "old").auth("openid_scope", "new");
    let [token, ..] = &*requests(&cloud).await else { panic!() };
    assert_eq!(token[2], "scope=new&grant_type=client_credentials&client_id=client_id");
}

#[tokio::test]
async fn a_password_is_sent() {
    let [token, exchange] = &*requests(&cloud("v3oidcpassword").variable("client_secret", "")).await else {
        panic!()
    };
    let form =
        "username=username&password=password&scope=openid+profile&grant_type=password&client_id=client_id";
    assert_eq!(token[2], form);
    assert_eq!(exchange, &[EXCHANGE, "Bearer a", ""]);

    let with_code = cloud("v3oidcpassword").auth("idp_otp_key", "totp").auth("passcode", "123456");
    let [token, ..] = &*requests(&with_code).await else { panic!() };
    assert!(token[2].contains("scope=openid+profile&totp=123456&grant_type=password"), "{}", token[2]);
}

#[test]
fn the_user_is_asked_for_a_passcode_if_the_provider_takes_one() {
    let (ask, prompts) = prompt();
    let with_code = cloud("v3oidcpassword").auth("idp_otp_key", "totp");
    let error = with_code.error();
    assert_eq!(error.to_string(), "the auth type v3oidcpassword requires passcode");
    assert!(ConfiguredIdentity::new(&with_code.settings, Some(&ask), &[]).is_ok());
    assert_eq!(*prompts.lock().unwrap(), ["Please enter the generated OTP code: "]);
    assert!(ConfiguredIdentity::new(&cloud("v3oidcpassword").settings, Some(&ask), &[]).is_ok());
    assert_eq!(prompts.lock().unwrap().len(), 1);

    let (_, log) = logged(|| cloud("v3oidcpassword").auth("passcode", "123456").auth_type());
    assert!(log.contains("auth.passcode: it is not sent; idp_otp_key sets the name"), "{log}");
}

#[tokio::test]
async fn an_access_token_is_sent() {
    let [exchange] = &*requests(&cloud("v3oidcaccesstoken")).await else { panic!() };
    assert_eq!(exchange, &[EXCHANGE, "Bearer access_token", ""]);
}

#[tokio::test]
async fn an_authorization_code_is_sent() {
    let cloud = cloud("v3oidcauthcode").auth("code", "").auth("authorization_code", "c");
    let [token, ..] = &*requests(&cloud.auth("redirect_uri", "http://localhost:8080")).await else {
        panic!()
    };
    let form =
        "redirect_uri=http%3A%2F%2Flocalhost%3A8080&code=c&grant_type=authorization_code&client_id=client_id";
    assert_eq!(token[2], form);
}

#[cfg(feature = "saml")]
#[tokio::test]
async fn a_saml_login_begins_at_keystone() {
    let [first] = &*requests(&cloud("v3samlpassword")).await else { panic!() };
    assert_eq!(first[0], EXCHANGE.replace("POST", "GET"));
}

#[tokio::test]
async fn oauth2_of_keystone_is_used() {
    let sent = requests(&cloud("v3oauth2clientcredential")).await;
    assert_eq!(sent[0][0], "POST https://keystone.example.com/v3/auth/tokens");
    assert!(sent[0][2].contains("application_credential"), "{sent:?}");

    let [token, ..] = &*requests(&cloud("v3oauth2mtlsclientcredential")).await else { panic!() };
    assert_eq!(token[0], "POST https://keystone.example.com/v3/OS-OAUTH2/token");
    assert_eq!(token[2], "grant_type=client_credentials&client_id=oauth2_client_id");
    let (_, log) = logged(|| cloud("v3oauth2mtlsclientcredential").auth("project_id", "p").auth_type());
    assert!(log.contains("auth.project_id: it has no effect"), "{log}");
}

#[tokio::test]
async fn requests_without_a_token_have_the_scope() {
    use tower::{Layer, ServiceExt};

    let cloud = cloud("v3tokenlessauth");
    let Identity::Fixed(plugin) = cloud.build().unwrap().identity else { panic!("no plugin") };
    let echo = service_fn(|request: Request<Full<Bytes>>| async move {
        let mut response = Response::new(request.uri().to_string());
        *response.headers_mut() = request.headers().clone();
        Ok::<_, BoxError>(response)
    });
    let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("identity"));
    let request = Request::get("/users").body(Full::default()).unwrap();
    let response = layer.layer(echo).oneshot(request).await.unwrap();
    assert_eq!(response.body(), "https://keystone.example.com/v3/users");
    assert_eq!(response.headers()["x-project-id"], "project_id");
    assert!(!response.headers().contains_key("x-auth-token"));
}

#[test]
fn malformed_values_are_errors() {
    for (auth_type, name, bad) in [
        ("v3oidcpassword", "access_token_type", "bearer"),
        ("v3oidcpassword", "access_token_endpoint", "op.example.com/token"),
        ("v3oidcpassword", "discovery_endpoint", "ftp://op.example.com"),
        ("v3oidcdeviceauthz", "device_authorization_endpoint", "/device"),
        ("v3oidcdeviceauthz", "code_challenge_method", "bogus"),
        ("v3oidcdeviceauthz", "code_challenge_method", "plain"),
        ("v3oauth2clientcredential", "oauth2_endpoint", "https://alice@keystone.example.com"),
        #[cfg(feature = "saml")]
        ("v3samlpassword", "identity_provider_url", "idp"),
        #[cfg(feature = "browser")]
        ("v3websso", "redirect_port", "65536"),
        #[cfg(feature = "browser")]
        ("v3websso", "redirect_port", "-1"),
        #[cfg(feature = "browser")]
        ("v3websso", "login_timeout", "-1"),
        #[cfg(feature = "browser")]
        ("v3websso", "login_timeout", "soon"),
    ] {
        let error: ConfigError = cloud(auth_type).auth(name, bad).error();
        assert!(matches!(error.kind, ConfigErrorKind::InvalidValue { .. }), "{error}");
        assert_eq!(error.member.as_deref(), Some(&*format!("auth.{name}")), "{error}");
        assert!(error.location.is_some() && !error.to_string().contains(bad), "{error}");
    }
    let good = [("code_challenge_method", "S256"), ("code_challenge_method", "none")];
    for (name, value) in good {
        assert_eq!(cloud("v3oidcdeviceauthz").auth(name, value).auth_type(), "v3oidcdeviceauthz");
    }
}

#[tokio::test]
async fn a_login_that_needs_a_person_fails_in_a_request() {
    for auth_type in [
        "v3oidcdeviceauthz",
        #[cfg(feature = "browser")]
        "v3websso",
    ] {
        let identity = cloud(auth_type).build().unwrap();
        let Ok(credentials) = identity.identity.credentials() else { panic!("no credentials") };
        let sent = Arc::default();
        let error = credentials.get_auth_ref(transport(&sent)).await.unwrap_err();
        assert!(matches!(error, Error::AuthorizationFailure { .. }), "{error}");
        assert!(error.to_string().contains("CloudConfig::log_in"), "{error}");
        assert!(!error.is_transient() && sent.lock().unwrap().is_empty());
        assert_eq!(credentials.auth_url(), "https://keystone.example.com/v3");
    }
}

#[tokio::test]
async fn secrets_go_over_plain_http_to_allowed_hosts_only() {
    let cloud = cloud("v3oidcclientcredentials").auth("access_token_endpoint", "http://op.internal/token");
    let cloud = cloud.auth("client_secret", "canary");
    let log_in = async |hosts: &[Box<str>]| {
        let identity = ConfiguredIdentity::new(&cloud.settings, None, hosts).unwrap();
        let Ok(credentials) = identity.identity.credentials() else { panic!("no credentials") };
        let sent = Arc::default();
        let error = credentials.get_auth_ref(transport(&sent)).await.unwrap_err();
        let sent = sent.lock().unwrap().len();
        (sent, error.to_string())
    };
    let (sent, error) = log_in(&[]).await;
    assert!(sent == 0 && error.contains("allow_http"), "{error}");
    assert_eq!(log_in(&["op.internal".into()]).await.0, 2);
}

#[test]
fn secrets_are_known_as_such() {
    use crate::config::cloud::expand::is_secret;
    for name in [
        "access_token",
        "client_secret",
        "code",
        "authorization_code",
        "oauth2_client_secret",
        "password",
        "passcode",
    ] {
        assert!(is_secret(name), "{name}");
    }
    for name in ["access_token_endpoint", "access_token_type", "client_id", "code_challenge_method"] {
        assert!(!is_secret(name), "{name}");
    }
}
