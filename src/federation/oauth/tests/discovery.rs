use std::time::Duration;

use tokio::time::{advance, sleep};

use super::*;
use crate::{Error, error::LoginStep};

const URL: &str = "https://op.test/.well-known/openid-configuration";
const GET: &str = "GET https://op.test/.well-known/openid-configuration  ";
const DOCUMENT: (u16, &str) = (
    200,
    r#"{"issuer": "https://op.test", "token_endpoint": "https://op.test/token?x=1",
        "authorization_endpoint": "https://op.test/auth",
        "grant_types_supported": ["password", "authorization_code"]}"#,
);

fn discovering() -> OidcClient {
    OidcClient::new("cli").discovery_endpoint(URL)
}

async fn request(client: &OidcClient, provider: &Provider) -> Result<TokenResponse, Error> {
    client.request_token(&provider.transport(), "password", &[]).await
}

#[tokio::test]
async fn the_document_is_fetched_once_for_all_clones() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT, TOKEN, TOKEN]));
    request(&client, &provider).await.unwrap();
    request(&client.clone().scope("other"), &provider).await.unwrap();
    let post = "POST https://op.test/token?x=1  grant_type=password&client_id=cli";
    assert_eq!(provider.requests(), [GET, post, post]);
    let url = client.authorization_url(&provider.transport()).await.unwrap();
    assert_eq!(url, "https://op.test/auth");
    let (metadata, _) = client.discover(&provider.transport()).await.unwrap().unwrap();
    assert_eq!(metadata.issuer.as_deref(), Some("https://op.test"));
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn another_discovery_endpoint_has_another_document() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT, TOKEN, DOCUMENT, TOKEN]));
    request(&client, &provider).await.unwrap();
    request(&client.discovery_endpoint("https://op.test/.well-known/other"), &provider).await.unwrap();
    assert_eq!(provider.requests()[2], "GET https://op.test/.well-known/other  ");
}

#[tokio::test]
async fn a_url_that_was_set_takes_precedence_but_the_grant_is_checked() {
    let provider = Provider::new([DOCUMENT, TOKEN]);
    let client = discovering().access_token_endpoint("https://other.test/token");
    request(&client, &provider).await.unwrap();
    assert_eq!(
        provider.requests(),
        [GET, "POST https://other.test/token  grant_type=password&client_id=cli"]
    );

    let provider = Provider::new([(200, r#"{"grant_types_supported": ["implicit"]}"#)]);
    let client = discovering().access_token_endpoint("https://other.test/token");
    let error = request(&client, &provider).await.unwrap_err();
    assert!(error.to_string().contains("grant_types_supported"), "{error}");
    assert!(!error.is_transient());
    assert_eq!(provider.requests(), [GET]);
}

#[tokio::test]
async fn a_refresh_token_needs_no_grant_in_the_document() {
    let provider = Provider::new([DOCUMENT, TOKEN]);
    discovering().refresh(&provider.transport(), &"r".into()).await.unwrap();
    assert_eq!(
        provider.requests()[1],
        "POST https://op.test/token?x=1  refresh_token=r&grant_type=refresh_token&client_id=cli"
    );
}

#[tokio::test]
async fn grants_of_other_endpoints_are_checked_too() {
    let document = (
        200,
        r#"{"authorization_endpoint": "https://op.test/auth", "grant_types_supported": ["password"],
                            "device_authorization_endpoint": "https://op.test/device"}"#,
    );
    let (client, provider) = (discovering(), Provider::new([document]));
    let transport = provider.transport();
    for error in [
        client.authorization_url(&transport).await.unwrap_err(),
        client.request_device_authorization(&transport, &[]).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("grant_types_supported"), "{error}");
    }
    assert_eq!(provider.requests(), [GET]);
}

#[tokio::test]
async fn a_missing_endpoint_is_named() {
    let (client, provider) = (discovering(), Provider::new([(200, "{}")]));
    let transport = provider.transport();
    for (error, name) in [
        (client.request_token(&transport, "g", &[]).await.unwrap_err(), "no token_endpoint"),
        (client.authorization_url(&transport).await.unwrap_err(), "no authorization_endpoint"),
        (
            client.request_device_authorization(&transport, &[]).await.unwrap_err(),
            "no device_authorization_endpoint",
        ),
    ] {
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_failed_request_is_not_kept() {
    for (failure, is_transient, text) in [
        ((503, "<html>"), true, "503"),
        ((404, ""), false, "check the URL of the discovery document"),
        ((200, ""), true, "not a JSON object"),
        ((200, "<html>"), true, "not a JSON object"),
        ((200, "[]"), true, "not a JSON object"),
        ((200, "{\"token_endpoint\": \"https://op.test/tok"), true, "not a JSON object"),
        ((200, r#"{"error": "temporarily_unavailable"}"#), true, "temporarily_unavailable"),
        ((200, r#"{"issuer": "https://evil.test"}"#), false, "issuer"),
        ((302, ""), false, "redirects are not followed"),
        ((307, ""), false, "redirects are not followed"),
    ] {
        let (client, provider) = (discovering(), Provider::new([failure, DOCUMENT, TOKEN]));
        let error = request(&client, &provider).await.unwrap_err();
        let Error::FederatedLoginFailed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(failed.step, LoginStep::Discovery);
        assert_eq!(&*failed.origin, "https://op.test");
        assert_eq!(error.is_transient(), is_transient, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        request(&client, &provider).await.unwrap();
        assert_eq!(provider.requests().len(), 3);
    }
}

#[tokio::test]
async fn a_long_document_is_an_error() {
    let document = format!("{{\"x\": \"{}\"}}", "x".repeat(1024 * 1024));
    let provider = Provider::new([(200, &*document)]);
    let error = request(&discovering(), &provider).await.unwrap_err();
    assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
}

#[tokio::test]
async fn https_never_leads_to_plain_http() {
    for endpoint in ["http://op.test/token", "http://localhost/token", "HTTP://127.0.0.1/token"] {
        let document = format!(r#"{{"token_endpoint": "{endpoint}"}}"#);
        let provider = Provider::new([(200, &*document)]);
        let error = request(&discovering().allow_http("op.test"), &provider).await.unwrap_err();
        assert!(error.to_string().contains("leads to plain http"), "{error}");
        assert_eq!(provider.requests(), [GET]);
    }
}

#[tokio::test]
async fn an_endpoint_of_the_document_is_an_unambiguous_url() {
    for endpoint in ["/token", "ftp://op.test/token", "https://x@op.test/token", "op.test", "https://[/", ""]
    {
        let document = format!(r#"{{"token_endpoint": "{endpoint}"}}"#);
        let provider = Provider::new([(200, &*document)]);
        let error = request(&discovering(), &provider).await.unwrap_err();
        assert!(error.to_string().contains("not an http or https URL"), "{error}");
    }
}

#[tokio::test]
async fn a_document_is_fetched_over_plain_http_from_loopback_and_allowed_hosts_only() {
    let plain = OidcClient::new("cli").discovery_endpoint("http://op.test/d");
    let provider = Provider::default();
    let error = request(&plain, &provider).await.unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");

    let loopback = || OidcClient::new("cli").discovery_endpoint("http://localhost:8080/d");
    for (client, endpoint, is_sent) in [
        (plain.allow_http("op.test"), "http://op.test/token", true),
        (loopback(), "http://localhost:8081/token", true),
        (loopback(), "https://op.test/token", true),
        (loopback(), "http://op.test/token", false),
    ] {
        let document = format!(r#"{{"token_endpoint": "{endpoint}"}}"#);
        let provider = Provider::new([(200, &*document), TOKEN]);
        assert_eq!(request(&client, &provider).await.is_ok(), is_sent, "{endpoint}");
        assert_eq!(provider.requests().len(), 1 + usize::from(is_sent));
    }
}

#[tokio::test]
async fn a_document_whose_endpoint_is_gone_is_fetched_anew() {
    let moved = (200, r#"{"token_endpoint": "https://op.test/moved"}"#);
    let post = "POST https://op.test/token?x=1  grant_type=password&client_id=cli";
    for status in [404, 405] {
        let (client, provider) =
            (discovering(), Provider::new([DOCUMENT, (status, ""), moved, TOKEN, TOKEN]));
        request(&client, &provider).await.unwrap();
        let moved_post = "POST https://op.test/moved  grant_type=password&client_id=cli";
        assert_eq!(provider.requests(), [GET, post, GET, moved_post]);
        request(&client, &provider).await.unwrap();
        assert_eq!(provider.requests(), [moved_post]);
    }
}

#[tokio::test]
async fn an_endpoint_that_has_not_moved_is_asked_once() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT, (404, ""), DOCUMENT]));
    let error = request(&client, &provider).await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(provider.requests().len(), 3);

    // The document cannot be fetched any more: the error is that of the endpoint.
    let (client, provider) = (discovering(), Provider::new([DOCUMENT, (404, ""), (500, "")]));
    assert!(request(&client, &provider).await.unwrap_err().to_string().contains("404"));
    assert_eq!(provider.requests().len(), 3);

    // Other statuses, and URLs that were set, say nothing about the document.
    let (client, provider) = (discovering(), Provider::new([DOCUMENT, (403, "")]));
    request(&client, &provider).await.unwrap_err();
    let client = client.access_token_endpoint("https://op.test/set");
    let provider = Provider::new([(404, "")]);
    request(&client, &provider).await.unwrap_err();
}

/// A provider that responds after this time.
fn slow(provider: &Provider, delay: Duration) -> Transport {
    let transport = provider.transport();
    Transport::with_body(
        service_fn(move |request: Request<Bytes>| {
            let transport = transport.clone();
            async move {
                sleep(delay).await;
                transport.send(request).await.map(|response| response.map(Full::new))
            }
        }),
        |body| body,
    )
}

#[tokio::test(start_paused = true)]
async fn logins_at_the_same_time_share_one_request() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT]));
    let transport = slow(&provider, Duration::from_secs(1));
    let logins: Vec<_> = (0..8)
        .map(|_| {
            let (client, transport) = (client.clone(), transport.clone());
            tokio::spawn(async move { client.authorization_url(&transport).await })
        })
        .collect();
    for login in logins {
        login.await.unwrap().unwrap();
    }
    assert_eq!(provider.requests(), [GET]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_dropped_does_not_end_the_request_of_the_others() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT]));
    let transport = slow(&provider, Duration::from_secs(2));
    let dropped = tokio::time::timeout(Duration::from_secs(1), client.authorization_url(&transport));
    dropped.await.unwrap_err();
    client.authorization_url(&transport).await.unwrap();
    assert_eq!(provider.requests(), [GET]);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_ends() {
    let (client, provider) = (discovering(), Provider::new([DOCUMENT]));
    let transport = slow(&provider, Duration::from_secs(3600));
    let error = client.authorization_url(&transport).await.unwrap_err();
    assert!(error.to_string().contains("within 10 s"), "{error}");
    assert!(error.is_transient());
    advance(Duration::from_secs(1)).await;
    client.authorization_url(&provider.transport()).await.unwrap();
}

#[test]
fn a_request_on_a_runtime_that_is_not_driven_is_replaced() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (abandoned, driven) = (runtime(), runtime());
    let (client, provider) = (discovering(), Provider::new([DOCUMENT]));
    let transport = provider.transport();
    {
        let _guard = abandoned.enter();
        let mut login = std::pin::pin!(client.authorization_url(&transport));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(login.as_mut().poll(&mut cx).is_pending());
    }
    driven.block_on(client.authorization_url(&transport)).unwrap();
    assert_eq!(provider.requests(), [GET]);
}

#[tokio::test]
async fn a_panic_of_the_client_is_an_error() {
    let transport = Transport::with_body(
        service_fn(|_: Request<Bytes>| async {
            panic!("the client panics on purpose");
            #[expect(unreachable_code, reason = "the type of the response")]
            Ok::<_, Infallible>(response(200, &[], ""))
        }),
        |body| body,
    );
    let client = discovering();
    assert!(matches!(client.authorization_url(&transport).await, Err(Error::PluginPanicked)));
    let provider = Provider::new([DOCUMENT]);
    client.authorization_url(&provider.transport()).await.unwrap();
}
