//! Each server of the stack does its part, with plain requests.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{Answer, Client, Stack, stack},
};

/// Exchanges an access token of the provider for an unscoped token of this Keystone.
async fn unscoped(stack: &Stack, auth_url: &str, access_token: &str) -> Answer {
    let request = Request::post(stack.federated(auth_url, "op", "openid"))
        .header("authorization", format!("Bearer {access_token}"));
    stack.client().ask(request, "").await
}

/// Returns a token of the project, or the response that has none.
async fn scoped(stack: &Stack, auth_url: &str, access_token: &str) -> Answer {
    let unscoped = unscoped(stack, auth_url, access_token).await;
    assert_eq!(unscoped.status, StatusCode::CREATED, "{}", unscoped.text);
    stack.rescope(stack.text(auth_url), unscoped.subject_token(), stack.text("project_id")).await
}

/// Returns the lifetime of the token in seconds, rounded down to whole ones.
fn lifetime(token: &Value) -> i64 {
    let time =
        |name: &str| token["token"][name].as_str().expect("a time").parse::<jiff::Timestamp>().unwrap();
    time("expires_at").as_second() - time("issued_at").as_second()
}

#[tokio::test]
async fn client_credentials_give_a_token_of_the_project() {
    let Some(stack) = stack() else { return };
    let answer = stack.provider_token("robot", &[("grant_type", "client_credentials")]).await;
    let answer = scoped(stack, "auth_url", answer.json()["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.json()["token"]["project"]["name"], "fed-project");
    assert!(lifetime(&answer.json()) > 3000);
}

#[tokio::test]
async fn tokens_of_the_short_keystone_end_soon_and_are_known_to_both() {
    let Some(stack) = stack() else { return };
    let answer = stack.provider_token("robot", &[("grant_type", "client_credentials")]).await;
    let answer = scoped(stack, "short_auth_url", answer.json()["access_token"].as_str().unwrap()).await;
    assert!(lifetime(&answer.json()) <= 10);
    assert_eq!(stack.document(answer.subject_token()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_access_token_gives_no_token() {
    let Some(stack) = stack() else { return };
    let fields =
        [("grant_type", "password"), ("username", "bob"), ("password", "bob-pass"), ("scope", "openid")];
    let answer = stack.provider_token("cli", &fields).await.json();
    let access_token = answer["access_token"].as_str().unwrap();
    assert_eq!(unscoped(stack, "auth_url", access_token).await.status, StatusCode::CREATED);
    stack.revoke_at_provider("cli", access_token).await;
    let answer = unscoped(stack, "auth_url", access_token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_browser_is_sent_back_with_a_code_and_the_state() {
    let Some(stack) = stack() else { return };
    let redirect_uri = "http://127.0.0.1:9/callback";
    let url = format!(
        "{}/auth?client_id=cli&response_type=code&scope=openid&state=s&redirect_uri={redirect_uri}",
        stack.text("issuer")
    );
    let back = Browser::new(stack.client(), "alice").authorize(&url, redirect_uri).await;
    let value = |name: &str| back.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(value("state"), "s");
    let code = value("code");
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect_uri)];
    let answer = stack.provider_token("cli", &fields).await.json();
    assert!(answer["refresh_token"].is_string());
    let answer = scoped(stack, "auth_url", answer["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.json()["token"]["user"]["name"], "alice");
}

#[tokio::test]
async fn a_device_is_confirmed_or_denied() {
    let Some(stack) = stack() else { return };
    for (client, is_confirmed) in [("cli", true), ("public-cli", false)] {
        let device = stack.ask_provider("/device/auth", client, &[("scope", "openid")]).await.json();
        assert_eq!(device["interval"], 1);
        let url = device["verification_uri_complete"].as_str().unwrap();
        Browser::new(stack.client(), "bob").device(url, is_confirmed).await;
        let code = device["device_code"].as_str().unwrap();
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let answer =
            stack.provider_token(client, &[("device_code", code), ("grant_type", grant)]).await.json();
        if is_confirmed {
            assert!(answer["access_token"].is_string(), "{answer}");
        } else {
            assert_eq!(answer["error"], "access_denied");
        }
    }
}

#[tokio::test]
async fn websso_gives_a_form_with_a_token() {
    let Some(stack) = stack() else { return };
    for keystone in ["auth_url", "short_auth_url"] {
        let origin = format!("http://localhost:{}/auth/websso/", stack.fact("websso_ports")[0]);
        let v3 = stack.text(keystone);
        let path = "auth/OS-FEDERATION/identity_providers/op/protocols/openid/websso";
        let page = Browser::new(stack.client(), "alice").open(&format!("{v3}/{path}?origin={origin}")).await;
        let form = page.form().unwrap_or_else(|| panic!("{} {}", page.status, page.text));
        assert_eq!(form.action.as_str(), origin);
        let [(name, token)] = &form.fields[..] else { panic!("{:?}", form.fields) };
        assert_eq!(name, "token");
        assert_eq!(stack.document(token).await.json()["token"]["user"]["name"], "alice");
    }
}

/// Sends the certificate with a request for an access token.
async fn mtls_token(stack: &Stack, client: &Client, keystone: &str) -> Answer {
    let url = format!("{}/OS-OAUTH2/token", stack.text(keystone));
    let form = format!("grant_type=client_credentials&client_id={}", stack.text("service_user_id"));
    let request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    client.ask(request, form).await
}

#[tokio::test]
async fn a_certificate_gives_an_access_token() {
    let Some(stack) = stack() else { return };
    for keystone in ["tls_auth_url", "short_tls_auth_url"] {
        let answer = mtls_token(stack, &stack.client_with("client"), keystone).await;
        assert!(answer.json()["access_token"].is_string(), "{}", answer.text);
    }
    for client in [stack.client(), stack.client_with("stranger")] {
        let answer = mtls_token(stack, &client, "tls_auth_url").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_certificate_of_the_other_ca_needs_no_token() {
    let Some(stack) = stack() else { return };
    let project_id = stack.text("project_id");
    let request = || {
        Request::get(format!("{}/projects/{project_id}", stack.text("tls_auth_url")))
            .header("x-project-id", project_id)
    };
    let answer = stack.client_with("tokenless").ask(request(), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(stack.client().ask(request(), "").await.status, StatusCode::UNAUTHORIZED);
}

/// Sends SAML to the service provider, and then goes where it redirects, with its cookie.
async fn assert_saml(stack: &Stack, acs: &str, envelope: String, login: &str) -> Answer {
    let client = stack.client();
    let request = Request::post(acs).header("content-type", "application/vnd.paos+xml");
    let answer = client.ask(request, envelope).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    client.ask(Request::get(login).header("cookie", cookie), "").await
}

#[tokio::test]
async fn a_keystone_logs_in_at_another_one() {
    let Some(stack) = stack() else { return };
    let home = stack.fact("home");
    let domain = json!({"id": "default"});
    let user = json!({"name": home["username"], "password": home["password"], "domain": domain});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let scope = json!({"project": {"name": home["project_name"], "domain": domain}});
    let home_url = stack.text("home_auth_url");
    let token = stack.log_in(&stack.client(), home_url, json!({"identity": identity, "scope": scope})).await;
    for (provider, keystone) in [("sp", "auth_url"), ("sp-short", "short_auth_url")] {
        let identity = json!({"methods": ["token"], "token": {"id": token.subject_token()}});
        let scope = json!({"service_provider": {"id": provider}});
        let request = Request::post(format!("{home_url}/auth/OS-FEDERATION/saml2/ecp"))
            .header("content-type", "application/json");
        let body = json!({"auth": {"identity": identity, "scope": scope}}).to_string();
        let assertion = stack.client().ask(request, body).await;
        assert_eq!(assertion.status, StatusCode::OK, "{}", assertion.text);
        let acs = format!("{}/mellon/paosResponse", stack.text(keystone));
        let login = stack.federated(keystone, "k2k", "saml2");
        let answer = assert_saml(stack, &acs, assertion.text, &login).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert_eq!(answer.json()["token"]["user"]["name"], "dora");
    }
}

#[tokio::test]
async fn the_ecp_provider_receives_a_request_and_checks_the_password() {
    let Some(stack) = stack() else { return };
    for (keystone, user, status) in [
        ("auth_url", "erin:erin-pass", 200),
        ("short_auth_url", "erin:erin-pass", 200),
        ("auth_url", "erin:no", 401),
    ] {
        let request = Request::get(stack.federated(keystone, "ecp", "saml2"))
            .header("accept", "text/html, application/vnd.paos+xml")
            .header(
                "paos",
                "ver=\"urn:liberty:paos:2003-08\";\"urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp\"",
            );
        let paos = stack.client().ask(request, "").await;
        assert_eq!(paos.header("content-type"), "application/vnd.paos+xml");
        let (start, end) = (paos.text.find(":Header>").unwrap(), paos.text.rfind(":Header>").unwrap());
        assert!(start < end);
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, user);
        let request = Request::post(stack.text("ecp_url"))
            .header("content-type", "text/xml")
            .header("authorization", format!("Basic {basic}"));
        let answer = stack.client().ask(request, paos.text).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
}
