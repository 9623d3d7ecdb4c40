//! Logins of a person: on any device, and in the browser of this machine.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::{join, select, time::sleep};
use tower_keystone::{
    Error, Secret,
    error::LoginStep,
    federation::{BrowserLogin, CompletedLogin, DeviceLogin, FederatedCredentials, Grant, WebSsoLogin},
};

use crate::{
    browser::Browser,
    session::{Session, assert_failed, assert_keystone, failed, login_error, unknown_project},
    support::{Client, Stack, stack},
};

const PATIENCE: Duration = Duration::from_secs(600);

async fn device_login(stack: &Stack, keystone: &str, name: &str, client: &Client) -> DeviceLogin {
    let provider = stack.identity_provider(keystone);
    DeviceLogin::start(provider, stack.oidc_client(name), client.transport()).await.expect("a code")
}

async fn confirm(stack: &Stack, login: &DeviceLogin, user: &'static str, is_confirmed: bool) {
    let url = login.verification_uri_complete().expect("the provider has one");
    Browser::new(stack.client(), user).device(url, is_confirmed).await;
}

/// Logs in as alice on another device.
pub(crate) async fn by_device(stack: &Stack, keystone: &str, name: &str, client: &Client) -> CompletedLogin {
    let mut login = device_login(stack, keystone, name, client).await;
    confirm(stack, &login, "alice", true).await;
    login.complete().await.expect("a token")
}

/// Logs in as alice in the browser.
pub(crate) async fn by_browser(stack: &Stack, keystone: &str, name: &str, client: &Client) -> CompletedLogin {
    let provider = stack.identity_provider(keystone);
    let login =
        BrowserLogin::start(provider, stack.oidc_client(name), client.transport()).await.expect("a URL");
    let (url, mut browser) = (login.url().to_owned(), Browser::new(stack.client(), "alice"));
    let (completed, page) = join!(login.complete(PATIENCE), browser.open(&url));
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    completed.expect("a token")
}

/// Returns a port at which a login by web single sign-on can listen, another one each time.
fn web_sso_port(stack: &Stack) -> u16 {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let port = stack.fact("websso_ports")[TAKEN.fetch_add(1, Ordering::Relaxed)].as_u64();
    port.expect("enough ports").try_into().expect("a port")
}

/// Logs in as alice by Keystone's web single sign-on.
async fn by_web_sso(stack: &Stack, keystone: &str, client: &Client) -> CompletedLogin {
    let builder = WebSsoLogin::builder(stack.identity_provider(keystone)).port(web_sso_port(stack));
    let login = builder.start(client.transport()).await.expect("a URL");
    let (url, mut browser) = (login.url().to_owned(), Browser::new(stack.client(), "alice"));
    let person = async {
        let page = browser.open(&url).await;
        let form = page.form().unwrap_or_else(|| panic!("{} {}", page.status, page.text));
        browser.submit(&form).await
    };
    let (completed, page) = join!(login.complete(PATIENCE), person);
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    completed.expect("a token")
}

fn session(stack: &Stack, login: CompletedLogin, client: &Client) -> Session<FederatedCredentials> {
    assert_eq!(login.access_info().username(), Some("alice"));
    Session::new(login.into_credentials().scope(stack.project()), client)
}

#[tokio::test]
async fn a_device_login_is_renewed_by_its_refresh_token() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    for name in ["cli", "public-cli"] {
        let login = by_device(stack, "auth_url", name, &client).await;
        assert!(login.refresh_token().is_some());
        let session = session(stack, login, &client);
        session.assert_renewed_after_a_revocation(stack).await;
        session.assert_renewed_after_a_revocation(stack).await;
    }
}

#[tokio::test]
async fn a_device_login_that_is_interrupted_goes_on() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let mut login = device_login(stack, "auth_url", "cli", &client).await;
    let polled = async {
        while !client.sent().contains(&"POST /token 400".to_owned()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    select! {
        completed = login.complete() => panic!("nobody has confirmed: {completed:?}"),
        () = polled => {}
    }
    confirm(stack, &login, "alice", true).await;
    let completed = login.complete().await.expect("a token");
    assert_eq!(completed.access_info().username(), Some("alice"));
}

#[tokio::test]
async fn a_device_login_that_is_slowed_down_goes_on() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let login = by_device(stack, "auth_url", "slow-cli", &client).await;
    assert_eq!(login.access_info().username(), Some("alice"));
    let polls: Vec<_> =
        client.sent().into_iter().filter(|request| request.starts_with("POST /token")).collect();
    assert_eq!(polls, ["POST /token 400", "POST /token 200"]);
}

#[tokio::test]
async fn a_device_login_that_is_denied_fails() {
    let Some(stack) = stack() else { return };
    for name in ["cli", "public-cli"] {
        let mut login = device_login(stack, "auth_url", name, &stack.client()).await;
        confirm(stack, &login, "alice", false).await;
        let error = login.complete().await.expect_err("denied");
        assert_failed(&error, LoginStep::Token, 400, Some("access_denied"));
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_device_login_that_nobody_confirms_expires() {
    let Some(stack) = stack() else { return };
    let mut login = device_login(stack, "auth_url", "brief-cli", &stack.client()).await;
    let error = login.complete().await.expect_err("expired");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_device_login_needs_the_secret_of_its_client() {
    let Some(stack) = stack() else { return };
    let client = stack.oidc_client("cli").secret("wrong");
    let login =
        DeviceLogin::start(stack.identity_provider("auth_url"), client, stack.client().transport()).await;
    let error = login.expect_err("no code");
    assert_failed(&error, LoginStep::DeviceAuthorization, 401, Some("invalid_client"));
}

#[tokio::test]
async fn a_browser_login_is_renewed_by_its_refresh_token() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    for name in ["cli", "public-cli"] {
        let login = by_browser(stack, "auth_url", name, &client).await;
        assert!(login.refresh_token().is_some());
        let session = session(stack, login, &client);
        session.assert_renewed_after_a_revocation(stack).await;
        session.assert_renewed_after_a_revocation(stack).await;
    }
}

#[tokio::test]
async fn a_browser_login_needs_the_secret_of_its_client() {
    let Some(stack) = stack() else { return };
    let client = stack.oidc_client("cli").secret("wrong");
    let login =
        BrowserLogin::start(stack.identity_provider("auth_url"), client, stack.client().transport()).await;
    let login = login.expect("a URL");
    let (url, mut browser) = (login.url().to_owned(), Browser::new(stack.client(), "alice"));
    let (completed, _) = join!(login.complete(PATIENCE), browser.open(&url));
    assert_failed(&completed.expect_err("no token"), LoginStep::Token, 401, Some("invalid_client"));
}

#[tokio::test]
async fn a_login_has_no_token_of_a_project_that_is_unknown() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    for login in [
        by_device(stack, "auth_url", "cli", &client).await,
        by_browser(stack, "auth_url", "public-cli", &client).await,
        by_web_sso(stack, "auth_url", &client).await,
    ] {
        let credentials = login.into_credentials().scope(unknown_project());
        assert_keystone(&login_error(&credentials, &client).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_login_ends_with_its_refresh_token() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let login = by_device(stack, "auth_url", "cli", &client).await;
    let refresh_token = login.refresh_token().expect("a refresh token").expose().to_owned();
    let session = session(stack, login, &client);
    session.access_info().await;
    stack.revoke_at_provider("cli", &refresh_token).await;
    let error = session.error_after_a_revocation(stack).await;
    assert!(matches!(error, Error::LoginEnded), "{error}");
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_handed_over() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    let login = by_browser(stack, "auth_url", "public-cli", &client).await;
    let first = login.refresh_token().expect("a refresh token").expose().to_owned();
    let newest = Arc::new(Mutex::new(first.clone()));
    let kept = Arc::clone(&newest);
    let keep = move |token: &Secret| *kept.lock().unwrap() = token.expose().to_owned();
    let credentials = login.into_credentials().scope(stack.project()).on_refresh_token(keep);
    let session = Session::new(credentials, &client);
    session.assert_renewed_after_a_revocation(stack).await;
    let newest = newest.lock().unwrap().clone();
    assert_ne!(newest, first);
    // As another process does later.
    let grant = Grant::refresh_token(stack.oidc_client("public-cli"), newest);
    let later = FederatedCredentials::new(stack.identity_provider("auth_url"), grant).scope(stack.project());
    assert_eq!(Session::new(later, &client).access_info().await.username(), Some("alice"));
}

#[tokio::test]
async fn a_web_sso_login_lasts_until_its_token_is_revoked() {
    let Some(stack) = stack() else { return };
    let client = stack.client();
    for _ in 0..2 {
        let login = by_web_sso(stack, "auth_url", &client).await;
        let unscoped = login.access_info().auth_token().expect("a token").to_owned();
        let session = session(stack, login, &client);
        // It has more than half of its life left.
        session.assert_renewed_after_a_revocation(stack).await;
        stack.revoke(&unscoped).await;
        let error = session.error_after_a_revocation(stack).await;
        assert!(matches!(error, Error::LoginEnded), "{error}");
    }
}

#[tokio::test]
async fn a_web_sso_login_works_without_the_identity_provider_in_its_url() {
    let Some(stack) = stack() else { return };
    let builder = WebSsoLogin::builder(stack.identity_provider("auth_url")).any_identity_provider();
    let login = builder.host("127.0.0.1").port(web_sso_port(stack)).start(stack.client().transport()).await;
    let login = login.expect("a URL");
    let (url, mut browser) = (login.url().to_owned(), Browser::new(stack.client(), "bob"));
    let person = async {
        let form = browser.open(&url).await.form().expect("a form");
        browser.submit(&form).await
    };
    let (completed, _) = join!(login.complete(PATIENCE), person);
    assert_eq!(completed.expect("a token").access_info().username(), Some("bob"));
}

#[tokio::test]
async fn a_web_sso_login_needs_an_origin_that_keystone_trusts() {
    let Some(stack) = stack() else { return };
    let builder = WebSsoLogin::builder(stack.identity_provider("auth_url")).port(0);
    let login = builder.start(stack.client().transport()).await.expect("a URL");
    let page = Browser::new(stack.client(), "alice").open(login.url()).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let error = login.complete(Duration::from_millis(1)).await.expect_err("nobody comes back");
    assert_eq!(failed(&error).step, LoginStep::Browser);
}
