use super::*;
use crate::{
    Error,
    federation::{AccessTokenSource, Grant, grant::Kind},
};

async fn sent(grant: &Grant, provider: &Provider) -> Result<Vec<String>, Error> {
    let Kind::Bearer(grant) = &grant.0 else { panic!("a grant without a bearer") };
    assert_eq!(grant.request_bearer(&provider.transport()).await?.expose(), "at");
    Ok(provider.requests())
}

fn forget_bearer(grant: &Grant) {
    let Kind::Bearer(grant) = &grant.0 else { panic!("a grant without a bearer") };
    grant.one_time().unwrap().forget_bearer();
}

#[tokio::test]
async fn each_grant_has_its_fields() {
    let code = || Grant::authorization_code(client(), "co");
    let password = Grant::password(client(), "alice", "pw");
    for (grant, expected) in [
        (Grant::client_credentials(client()), "scope=openid+profile&grant_type=client_credentials"),
        (Grant::client_credentials(client().scope("a b")), "scope=a+b&grant_type=client_credentials"),
        (password.clone(), "username=alice&password=pw&scope=openid+profile&grant_type=password"),
        (
            password.passcode("totp", "123"),
            "username=alice&password=pw&scope=openid+profile&totp=123&grant_type=password",
        ),
        (code(), "code=co&grant_type=authorization_code"),
        (
            code().redirect_uri("http://localhost:8080").code_verifier("v"),
            "redirect_uri=http%3A%2F%2Flocalhost%3A8080&code=co&code_verifier=v&grant_type=authorization_code",
        ),
    ] {
        let sent = sent(&grant, &Provider::new([TOKEN])).await.unwrap();
        assert_eq!(sent, [format!("POST https://op.test/token Basic Y2xpOnM= {expected}")]);
    }
}

#[tokio::test]
async fn an_access_token_needs_no_request() {
    let grant = Grant::access_token("at");
    assert!(sent(&grant, &Provider::default()).await.unwrap().is_empty());
    let grant = Grant::access_token(AccessTokenSource::function(|| async { Ok("at".into()) }));
    assert!(sent(&grant, &Provider::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_code_is_not_sent_again_after_a_login_with_it() {
    for grant in [
        Grant::authorization_code(client(), "co"),
        Grant::password(client(), "alice", "pw").passcode("otp", "123"),
    ] {
        // A login that failed has not used it.
        let provider = Provider::new([(503, ""), TOKEN]);
        assert!(sent(&grant, &provider).await.unwrap_err().is_transient());
        assert_eq!(sent(&grant.clone(), &provider).await.unwrap().len(), 2);
        // Its bearer is kept until Keystone has accepted or rejected it.
        assert!(sent(&grant, &provider).await.unwrap().is_empty());
        forget_bearer(&grant);
        let error = sent(&grant, &provider).await.unwrap_err();
        assert!(matches!(error, Error::LoginEnded) && !error.is_transient(), "{error:?}");
        assert!(provider.requests().is_empty());
    }
}

#[tokio::test]
async fn a_rotated_refresh_token_is_returned() {
    let provider = Provider::new([(200, r#"{"access_token": "at", "refresh_token": "r2"}"#)]);
    let response = client().refresh(&provider.transport(), &"r1".into()).await.unwrap();
    assert_eq!(response.refresh_token.unwrap().expose(), "r2");
    let sent = "POST https://op.test/token Basic Y2xpOnM= refresh_token=r1&grant_type=refresh_token";
    assert_eq!(provider.requests(), [sent]);
}
