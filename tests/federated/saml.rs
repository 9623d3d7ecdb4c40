//! Logins with a password at a SAML identity provider: `Grant::saml`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use tower_keystone::{
    Credentials, Error, Scope,
    error::LoginStep,
    federation::{FederatedCredentials, Grant, IdentityProvider, SamlIdentityProvider},
};

use crate::{
    recorded::Exchange,
    wire::{Requests, response, transport},
};

const SP: &str = "http://127.0.0.1:48000";
const IDP: &str = "http://127.0.0.1:48005/ecp";
const FEDERATED: &str = "/v3/OS-FEDERATION/identity_providers/ecp/protocols/saml2/auth";
const ACS: &str = "/v3/mellon/paosResponse";

fn credentials_at(sp: &str, idp: &str) -> FederatedCredentials {
    let saml = SamlIdentityProvider::new(idp, "erin", "erin-pass");
    FederatedCredentials::new(IdentityProvider::new(sp, "ecp", "saml2"), Grant::saml(saml))
}

fn recorded() -> [Exchange; 4] {
    ["saml-ecp-1-unscoped", "saml-ecp-2-idp", "saml-ecp-3-acs", "saml-ecp-4-unscoped"].map(Exchange::read)
}

/// Changes the response to one of the requests: 0 is the service provider, 1 the identity provider, 2 the assertion
/// consumer, 3 Keystone.
type Change = Arc<dyn Fn(usize, Response<Bytes>) -> Response<Bytes> + Send + Sync>;

/// Logs in with the recorded responses, one of which is changed.
async fn log_in(change: Change) -> (Result<String, Error>, Requests) {
    let responses = Arc::new(recorded());
    let (transport, requests) = transport(move |request| {
        let index = match request.uri().path() {
            "/ecp" => 1,
            FEDERATED if request.headers().contains_key("cookie") => 3,
            FEDERATED => 0,
            _ => 2,
        };
        Ok(change(index, responses[index].response()))
    });
    let result = credentials_at(SP, IDP).get_auth_ref(transport).await;
    (result.map(|info| info.auth_token().unwrap().to_owned()), requests)
}

/// Returns the error of a login with another response to one of the requests, and the requests.
async fn failed(
    at: usize,
    other: impl Fn(Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) -> (Error, Requests) {
    let change: Change =
        Arc::new(move |index, recorded| if index == at { other(recorded) } else { recorded });
    let (result, requests) = log_in(change).await;
    (result.unwrap_err(), requests)
}

/// Replaces a text in the body of a response.
fn replaced(from: &'static str, to: &'static str) -> impl Fn(Response<Bytes>) -> Response<Bytes> {
    move |response| {
        response.map(|body| {
            let body = str::from_utf8(&body).unwrap();
            assert!(body.contains(from), "{from}");
            body.replace(from, to).into()
        })
    }
}

#[tokio::test]
async fn the_recorded_login_is_sent_and_the_signed_body_byte_for_byte() {
    let exchanges = recorded();
    let rescope = Exchange::read("saml-ecp-5-rescope");
    let responses: Arc<Vec<_>> = Arc::new(exchanges.iter().cloned().chain([rescope]).collect());
    let (sent, next) = (Arc::clone(&responses), Arc::new(AtomicUsize::new(0)));
    let (transport, requests) = transport(move |_| Ok(sent[next.fetch_add(1, Ordering::Relaxed)].response()));
    let scope = Scope::new().project_id("8096c87a0b384a8e9afc72fc03835eea");
    let info = credentials_at(SP, IDP).scope(scope).get_auth_ref(transport).await.unwrap();
    assert_eq!(info.project_name(), Some("fed-project"));

    let requests = requests.map(Request::clone);
    assert_eq!(requests.len(), 5);
    for (index, (exchange, request)) in responses.iter().zip(&requests).enumerate() {
        match index {
            // The recorded client wrote the header of the envelope differently.
            2 => {
                let (sent, recorded) = (str::from_utf8(request.body()).unwrap(), exchange.body_text());
                let body = |text: &str| text.split_once("</S:Header>").unwrap().1.to_owned();
                assert_eq!(body(sent), body(recorded));
                let state = format!(">{SP}{FEDERATED}</ecp:RelayState></S:Header>");
                assert!(sent.contains(&state), "{sent}");
                assert!(!sent.contains("ecp:Response"));
                assert_eq!(request.headers()["content-type"], "application/vnd.paos+xml");
                assert_eq!(request.uri(), &*format!("{SP}{ACS}"));
            }
            4 => exchange.check_without(request, &["cookie"]),
            _ => exchange.check(request),
        }
    }
    assert!(requests[1].headers()["authorization"].is_sensitive());
    assert!(requests[3].headers()["cookie"].is_sensitive());
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(request.headers().contains_key("authorization"), index == 1);
        assert_eq!(request.headers().contains_key("cookie"), index == 3);
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_permanent_error_that_says_so() {
    let exchange = Exchange::read("saml-ecp-wrong-password-1-idp");
    let (error, requests) = failed(1, move |_| exchange.response()).await;
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.step, LoginStep::SamlIdentityProvider);
    assert!(error.to_string().contains("401 Unauthorized; check the user name and the password"), "{error}");
    assert!(!error.is_transient());
    assert!(credentials_at(SP, IDP).can_lock_account());
    assert_eq!(requests.lines().len(), 2);
}

#[tokio::test]
async fn an_assertion_for_another_url_is_a_fault_and_not_sent() {
    let (error, requests) = failed(
        1,
        replaced(
            "AssertionConsumerServiceURL=\"http://127.0.0.1:48000/v3/mellon/paosResponse\"",
            "AssertionConsumerServiceURL=\"http://127.0.0.1:48000/v3/mellon/other\"",
        ),
    )
    .await;
    assert!(error.to_string().contains("for another URL than that of the service provider"), "{error}");
    assert!(!error.is_transient());
    assert_eq!(requests.lines()[2..], [format!("POST {SP}{ACS}")]);
    let bodies = requests.map(|request| str::from_utf8(request.body()).unwrap().to_owned());
    assert!(bodies[2].contains("<S:Fault>") && !bodies[2].contains("Assertion "), "{}", bodies[2]);
    assert_eq!(requests.header("content-type")[2].as_deref(), Some("application/vnd.paos+xml"));
}

#[tokio::test]
async fn the_password_is_not_sent_if_the_assertion_would_go_to_another_host() {
    let consumer = "responseConsumerURL=\"http://127.0.0.1:48000/";
    for other in [
        "responseConsumerURL=\"http://127.0.0.2:48000/",
        "responseConsumerURL=\"https://evil.example.com/",
        "responseConsumerURL=\"http://127.0.0.1:48000@evil.example.com/",
        "responseConsumerURL=\"/",
    ] {
        let (error, requests) = failed(0, replaced(consumer, other)).await;
        assert!(error.to_string().contains("another host"), "{error}");
        assert_eq!(requests.lines().len(), 1, "{other}");
    }
    // Not over plain http either, if Keystone has https.
    let exchange = recorded()[0].clone();
    let (transport, requests) = transport(move |_| Ok(exchange.response()));
    let error = credentials_at("https://127.0.0.1:48000", IDP).get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");
    assert_eq!(requests.lines().len(), 1);
}

#[tokio::test]
async fn each_step_says_what_failed() {
    use LoginStep::{Federation, SamlIdentityProvider, ServiceProvider};

    let paos = [("content-type", "application/vnd.paos+xml")];
    let xml = [("content-type", "text/xml")];
    for (at, other, step, status, text) in [
        (
            0,
            response(200, &[("content-type", "text/html")], "<html/>"),
            Federation,
            200,
            "not application/vnd.paos+xml",
        ),
        (0, response(200, &[], ""), Federation, 200, "not application/vnd.paos+xml"),
        (
            0,
            response(302, &[("location", "/login")], ""),
            Federation,
            302,
            "takes no logins of enhanced clients",
        ),
        (0, response(404, &[], ""), Federation, 404, "check the auth_url"),
        (0, response(200, &paos, "<e/>"), Federation, 200, "not an envelope of SOAP"),
        (1, response(200, &xml, "<html>"), SamlIdentityProvider, 200, "not XML"),
        (
            1,
            response(200, &xml, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
            SamlIdentityProvider,
            200,
            "document type",
        ),
        (1, response(200, &xml, "x".repeat(1024 * 1024 + 1)), SamlIdentityProvider, 200, "longer than 1 MiB"),
        (
            1,
            response(302, &[("location", "https://idp/")], ""),
            SamlIdentityProvider,
            302,
            "password is not sent on",
        ),
        (1, response(404, &[], ""), SamlIdentityProvider, 404, "ECP endpoint"),
        (1, response(503, &[], ""), SamlIdentityProvider, 503, ""),
        (2, response(400, &[], ""), ServiceProvider, 400, "trusts the identity provider"),
        (2, response(200, &[], ""), ServiceProvider, 200, "started no session"),
        (3, response(200, &paos, "<e/>"), Federation, 200, "has not accepted the assertion"),
    ] {
        let (error, requests) = failed(at, move |_| other.clone()).await;
        let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(
            (failed.step, failed.status.map(|status| status.as_u16())),
            (step, Some(status)),
            "{error}"
        );
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.is_transient(), status == 503, "{error}");
        assert_eq!(requests.lines().len(), at + 1, "{error}");
    }
    let (error, requests) = failed(1, replaced("ecp:Response ", "ecp:Other ")).await;
    assert!(error.to_string().contains("no ecp:Response"), "{error}");
    assert_eq!(requests.lines().len(), 2);
}

#[tokio::test]
async fn a_content_type_may_have_parameters() {
    let change: Change = Arc::new(|index, mut response| {
        if index == 0 {
            let value = "application/vnd.paos+xml; charset=utf-8".parse().unwrap();
            response.headers_mut().insert("content-type", value);
        }
        response
    });
    assert_eq!(log_in(change).await.0.unwrap(), "keystone-token-24");
}

#[tokio::test]
async fn the_password_goes_over_plain_http_to_allowed_hosts_only() {
    let (transport, requests) = transport(|_| panic!("nothing is sent"));
    for (sp, idp) in [
        (SP, "http://idp.example.com/ecp"),
        ("http://sp.example.com", IDP),
        (SP, "idp.example.com/ecp"),
        (SP, "https://erin:pw@idp.example.com/ecp"),
    ] {
        let error = credentials_at(sp, idp).get_auth_ref(transport.clone()).await.unwrap_err();
        assert!(matches!(error, Error::FederatedLoginFailed(_) | Error::InvalidEndpoint { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("pw"), "{error:?}");
    }
    let saml = SamlIdentityProvider::new(IDP, "a:b", "c");
    let colon = FederatedCredentials::new(IdentityProvider::new(SP, "ecp", "saml2"), Grant::saml(saml));
    let error = colon.get_auth_ref(transport).await.unwrap_err();
    assert!(error.to_string().contains("contains a colon"), "{error}");
    assert!(requests.lines().is_empty());
}

#[tokio::test]
async fn errors_show_no_password_assertion_or_cookie() {
    for (at, secret) in [(1, "erin-pass"), (1, "ZXJpbjplcmluLXBhc3M="), (3, "mellon-keystone-sp=cookie")] {
        let body = format!(r#"{{"error": {{"code": 400, "message": "bad {secret}", "title": "x"}}}}"#);
        let (error, _) = failed(at, move |_| response(400, &[], body.clone())).await;
        assert!(!format!("{error:#} {error:?}").contains(secret), "{error:?}");
    }
}

#[test]
fn ids_tell_users_apart_and_the_public_one_not_passwords() {
    let ids = |username: &str, password: &str| {
        let saml = SamlIdentityProvider::new(IDP, username, password);
        let credentials =
            FederatedCredentials::new(IdentityProvider::new(SP, "ecp", "saml2"), Grant::saml(saml));
        (credentials.cache_id().unwrap(), credentials.public_id().unwrap())
    };
    let erin = ids("erin", "erin-pass");
    let (other_password, other_user) = (ids("erin", "other"), ids("eric", "erin-pass"));
    assert!(erin.0 != other_password.0 && erin.1 == other_password.1);
    assert!(erin.0 != other_user.0 && erin.1 != other_user.1);
}
