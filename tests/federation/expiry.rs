//! Tokens that expire.

use tokio::task::JoinSet;
use tower_keystone::{Credentials, federation::Keystone2KeystoneCredentials};

use crate::{
    grants::{credentials, person, robot},
    interactive::{by_browser, by_device},
    oauth2::{client_credentials, mtls},
    saml::{dora, ecp},
    session::Session,
    support::{Client, stack},
};

#[tokio::test]
async fn each_login_is_renewed_when_its_token_ends() {
    let Some(stack) = stack() else { return };
    let (keystone, tls_keystone) = ("short_auth_url", "short_tls_auth_url");
    let (client, with_certificate) = (stack.client(), stack.client_with("client"));
    let device = by_device(stack, keystone, "cli", &client).await.into_credentials();
    let browser = by_browser(stack, keystone, "public-cli", &client).await.into_credentials();
    let secret = stack.text("application_credential_secret");
    let home = dora(stack, &client);

    // All of them wait for the end of their tokens at the same time.
    let mut logins = JoinSet::new();
    expire(&mut logins, credentials(stack, keystone, robot(stack)), &client);
    expire(&mut logins, credentials(stack, keystone, person(stack, "alice")), &client);
    expire(&mut logins, device.scope(stack.project()), &client);
    expire(&mut logins, browser.scope(stack.project()), &client);
    expire(&mut logins, client_credentials(stack, keystone, secret), &client);
    expire(&mut logins, mtls(stack, tls_keystone, stack.text("service_user_id")), &with_certificate);
    expire(&mut logins, Keystone2KeystoneCredentials::new(home, "sp-short").scope(stack.project()), &client);
    expire(&mut logins, ecp(stack, keystone, "erin-pass"), &client);
    while let Some(login) = logins.join_next().await {
        login.expect("it is renewed");
    }
}

fn expire(logins: &mut JoinSet<()>, credentials: impl Credentials, client: &Client) {
    let session = Session::new(credentials, client);
    logins.spawn(async move { session.assert_renewed_at_its_end().await });
}
