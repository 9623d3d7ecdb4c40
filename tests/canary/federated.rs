//! Federated logins and OAuth 2.0, to servers that echo the requests of each step.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use tower_keystone::{
    Scope,
    federation::{
        FederatedCredentials, Grant, IdentityProvider, Keystone2KeystoneCredentials, LoginHeader,
        OAuth2ClientCredentials, OAuth2MtlsCredentials, OidcClient, SamlIdentityProvider,
    },
};

use super::*;

const PROVIDER: &str = "https://op.example.com";
const SERVICE_PROVIDER: &str = "https://sp.example.com/Shibboleth.sso/SAML2/ECP";

/// The most requests of a login.
const MAX_STEPS: usize = 6;

/// Returns the response of a server that does what is asked, with a secret in each of its answers.
fn success(uri: &Uri) -> Response<Full<Bytes>> {
    let response = |status: u16, content_type: &str, body: String| {
        let builder = Response::builder().status(status).header("content-type", content_type);
        builder
            .header("set-cookie", format!("session={}", token("cookie")))
            .body(Full::new(Bytes::from(body)))
    };
    let document = json!({"token": {
        "user": {"id": "u"},
        "issued_at": "2026-01-15T12:00:00Z",
        "expires_at": "2036-01-15T12:00:00Z",
        "service_providers": [{
            "id": "other",
            "sp_url": SERVICE_PROVIDER,
            "auth_url": "https://sp.example.com/v3/OS-FEDERATION/identity_providers/home/protocols/saml2/auth",
        }],
    }});
    let mut found = match uri.path() {
        path if path.contains(".well-known") => {
            let endpoints = json!({"token_endpoint": format!("{PROVIDER}/token")});
            response(200, "application/json", endpoints.to_string())
        }
        path if path.ends_with("/token") => {
            let tokens = json!({"access_token": token("access"), "refresh_token": token("refresh")});
            response(200, "application/json", tokens.to_string())
        }
        path if path.ends_with("/saml2/ecp") => response(200, "text/xml", format!("<ecp>{CANARY}</ecp>")),
        path if path.ends_with("/ECP") => response(302, "text/plain", String::new()),
        _ => response(201, "application/json", document.to_string()),
    }
    .unwrap();
    if found.status() == 201 {
        found.headers_mut().insert("x-subject-token", token("issued").parse().unwrap());
    }
    found
}

/// A server whose first responses are successful, and which echoes the requests after them.
fn server_after(successes: usize, status: u16, echo: Echo) -> Server {
    let (count, echoing) = (Arc::new(AtomicUsize::new(0)), server(status, echo));
    BoxCloneService::new(service_fn(move |request: Request<Full<Bytes>>| {
        let is_success = count.fetch_add(1, Ordering::Relaxed) < successes;
        let echoing = echoing.clone();
        async move {
            match is_success {
                true => {
                    let response = success(request.uri());
                    Ok(response.map(|body| BodyExt::map_err(body, BoxError::from).boxed_unsync()))
                }
                false => echoing.oneshot(request).await,
            }
        }
    }))
}

/// Logs in against all kinds of responses to each step, and returns the names of the errors.
async fn log_in_step_by_step<C: Credentials + Debug>(make: impl Fn(Transport) -> C) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for successes in 0..MAX_STEPS {
        for status in [200, 302, 400, 401, 500] {
            for echo in ECHOES {
                let transport = Transport::new(server_after(successes, status, echo));
                let credentials = make(transport.clone());
                debug(&credentials);
                let renewing = RenewingPlugin::new(credentials, transport);
                match renewing.renew().await {
                    Ok(access) => {
                        debug(&access);
                        seen.insert("success".to_owned());
                    }
                    Err(failed) => {
                        seen.insert(error(&failed));
                    }
                }
                display(&renewing.cache_id().unwrap_or_default());
            }
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn federated_logins_do_not_show_secrets() {
    capture_output();
    let provider = || IdentityProvider::new(KEYSTONE, "idp", "openid");
    let client = || {
        let client = OidcClient::new("client").secret(password());
        client.discovery_endpoint(format!("{PROVIDER}/.well-known/openid-configuration"))
    };
    let federated =
        |grant: Grant| FederatedCredentials::new(provider(), grant).scope(Scope::new().project_id("p"));
    let header = || LoginHeader::new(|_, _| async { Ok(format!("Negotiate {}", token("ticket")).parse()?) });
    let saml = || {
        let url = "https://idp.example.com/ecp";
        SamlIdentityProvider::new(url, "alice", password())
    };
    let endpoint = || format!("{KEYSTONE}/OS-OAUTH2/token");
    let mut all = Vec::new();
    all.push(log_in_step_by_step(|_| federated(Grant::client_credentials(client()))).await);
    all.push(log_in_step_by_step(|_| federated(Grant::password(client(), "alice", password()))).await);
    all.push(log_in_step_by_step(|_| federated(Grant::access_token(token("given")))).await);
    let code = || Grant::authorization_code(client(), token("code")).code_verifier(token("verifier"));
    all.push(log_in_step_by_step(|_| federated(code())).await);
    all.push(log_in_step_by_step(|_| federated(Grant::refresh_token(client(), token("refresh")))).await);
    all.push(log_in_step_by_step(|_| federated(Grant::header(header()))).await);
    all.push(
        log_in_step_by_step(|_| OAuth2ClientCredentials::new(KEYSTONE, endpoint(), "id", password())).await,
    );
    all.push(log_in_step_by_step(|_| OAuth2MtlsCredentials::new(KEYSTONE, endpoint(), "user")).await);
    all.push(
        log_in_step_by_step(|transport| {
            let home = V3Credentials::new(KEYSTONE, AuthMethod::token(token("home")));
            let home = RenewingPlugin::new(home, transport);
            Keystone2KeystoneCredentials::new(home, "other").scope(Scope::new().project_id("p"))
        })
        .await,
    );
    for (index, seen) in all.iter().enumerate() {
        assert!(seen.contains("success"), "{index}: {seen:?}");
        assert!(seen.len() > 2, "{index}: {seen:?}");
    }
    let saml = log_in_step_by_step(|_| federated(Grant::saml(saml()))).await;
    assert!(saml.contains("FederatedLoginFailed"), "{saml:?}");
    assert_output_is_clean();
}
