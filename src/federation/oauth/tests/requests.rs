use super::*;

#[tokio::test]
async fn a_token_request_has_the_fields_in_order() {
    let provider = Provider::new([TOKEN]);
    let fields = [("username", "projet-été"), ("password", "p&=w"), ("scope", "openid profile")];
    let response = client().request_token(&provider.transport(), "password", &fields).await.unwrap();
    assert_eq!(response.bearer.expose(), "at");
    assert_eq!(
        provider.requests(),
        ["POST https://op.test/token Basic Y2xpOnM= \
          username=projet-%C3%A9t%C3%A9&password=p%26%3Dw&scope=openid+profile&grant_type=password"]
    );
}

#[tokio::test]
async fn a_client_authenticates_as_set() {
    let public = OidcClient::new("cli").access_token_endpoint("https://op.test/token");
    let encoded = client().secret("a b").authentication(ClientAuthentication::EncodedBasic);
    for (client, expected) in [
        (public.clone(), " grant_type=g&client_id=cli"),
        (public.secret(""), " grant_type=g&client_id=cli"),
        (client(), "Basic Y2xpOnM= grant_type=g"),
        (client().secret("é"), "Basic Y2xpOuk= grant_type=g"),
        (encoded, "Basic Y2xpOmErYg== grant_type=g"),
        (
            client().secret("é&").authentication(ClientAuthentication::Form),
            " grant_type=g&client_id=cli&client_secret=%C3%A9%26",
        ),
    ] {
        let provider = Provider::new([TOKEN]);
        client.request_token(&provider.transport(), "g", &[]).await.unwrap();
        assert_eq!(provider.requests(), [format!("POST https://op.test/token {expected}")]);
    }
}

#[tokio::test]
async fn a_secret_that_basic_authentication_cannot_send_is_an_error_before_anything_is_sent() {
    let provider = Provider::default();
    let error = client().secret("名").request_token(&provider.transport(), "g", &[]).await.unwrap_err();
    assert!(error.to_string().contains("ClientAuthentication::EncodedBasic"), "{error}");
    assert!(!error.is_transient());
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn a_device_login_sends_the_client_id_in_any_case() {
    let public = OidcClient::new("cli").access_token_endpoint("https://op.test/token");
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    for (client, expected) in [
        (public, format!(" device_code=d&{grant}&client_id=cli")),
        (client(), format!("Basic Y2xpOnM= device_code=d&{grant}&client_id=cli")),
        (
            client().authentication(ClientAuthentication::Form),
            format!(" device_code=d&{grant}&client_id=cli&client_secret=s"),
        ),
    ] {
        let provider = Provider::new([TOKEN]);
        client.request_token(&provider.transport(), DEVICE_CODE, &[("device_code", "d")]).await.unwrap();
        assert_eq!(provider.requests(), [format!("POST https://op.test/token {expected}")]);
    }
}

#[tokio::test]
async fn a_device_authorization_has_the_client_id_once() {
    for (authentication, expected) in [
        (ClientAuthentication::Basic, "Basic Y2xpOnM= client_id=cli&scope=openid+profile"),
        (ClientAuthentication::Form, " client_id=cli&scope=openid+profile&client_secret=s"),
    ] {
        let provider = Provider::new([(200, r#"{"device_code": "d"}"#)]);
        let client = client()
            .authentication(authentication)
            .device_authorization_endpoint("https://op.test/device?tenant=x");
        let fields = [("client_id", "cli"), ("scope", "openid profile")];
        let document = client.request_device_authorization(&provider.transport(), &fields).await.unwrap();
        assert_eq!(document.0.expose(), r#"{"device_code": "d"}"#);
        assert_eq!(provider.requests(), [format!("POST https://op.test/device?tenant=x {expected}")]);
    }
}

#[tokio::test]
async fn the_bearer_is_the_token_of_the_chosen_type() {
    let provider = Provider::new([TOKEN]);
    let client = client().access_token_type(AccessTokenType::IdToken);
    let response = client.request_token(&provider.transport(), "g", &[]).await.unwrap();
    assert_eq!(response.bearer.expose(), "it");
}

#[tokio::test]
async fn secrets_are_not_sent_over_plain_http() {
    let http = client().access_token_endpoint("http://op.test/token");
    let provider = Provider::default();
    let error = http.request_token(&provider.transport(), "g", &[]).await.unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");
    assert!(provider.requests().is_empty());

    for client in [http.allow_http("op.test"), client().access_token_endpoint("http://[::1]:8080/token")] {
        let provider = Provider::new([TOKEN]);
        client.request_token(&provider.transport(), "g", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn an_invalid_url_is_named() {
    for (url, name) in [
        ("op.test/token", "the access_token_endpoint cannot be used: it must start with https"),
        (
            "https://alice:canary@op.test/token",
            "the access_token_endpoint cannot be used: the URL has a user name",
        ),
        ("", "the access_token_endpoint cannot be used"),
        ("https://op.test/token#x", "the access_token_endpoint cannot be used: the URL has a fragment"),
        (
            "https://op.test/%(tenant)s/token?x",
            "the access_token_endpoint cannot be used: the URL has a placeholder",
        ),
        ("https://x@op.test/token?x", "the access_token_endpoint cannot be used: the URL has a user name"),
        ("ftp://op.test/token?x", "the access_token_endpoint cannot be used: it must start with https"),
    ] {
        let client = client().access_token_endpoint(url);
        let error = client.request_token(&Provider::default().transport(), "g", &[]).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    let none = OidcClient::new("cli");
    let error = none.request_token(&Provider::default().transport(), "g", &[]).await.unwrap_err();
    assert!(error.to_string().contains("set the discovery_endpoint or the access_token_endpoint"), "{error}");
}
