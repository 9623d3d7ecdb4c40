//! Tokens that end while they are in use: that of a caller, and that of the service itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_keystone::{IdentityPlugin, RenewingPlugin, Transport, ValidateTokenLayer};

use super::{
    application::{self, ask},
    world::token,
};
use crate::support::{is_past, past, real, until};

#[tokio::test]
async fn a_cached_token_is_accepted_until_it_expires() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (account, user) = (admin.person("service").await, admin.person("member").await);
    let own = RenewingPlugin::new(account.credentials(real.auth_url()), real.transport());
    let asked = real.client();
    let transport = Transport::new(asked.clone());
    let layer = ValidateTokenLayer::new(own, transport)
        .www_authenticate_uri(real.auth_url())
        .validation_timeout(Duration::from_secs(600));
    let (client, application) = (real.client(), application::serve(layer).await);
    // On a busy machine, the token can expire before the requests.
    let (token, expires) = loop {
        let info = real.login_with(&user.credentials(real.short_auth_url())).await;
        let (token, expires) = (info.auth_token().unwrap().to_owned(), info.expires().unwrap().unwrap());
        let before = asked.sent();
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(ask(&client, &application, "/", &token).await);
        }
        if !is_past(expires) {
            assert_eq!(statuses, [StatusCode::OK; 3]);
            // Near its expiry, a token is validated again in the background.
            assert!(asked.sent() - before < 3, "the token is cached");
            break (token, expires);
        }
    };
    past(expires).await;
    assert_eq!(ask(&client, &application, "/", &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_the_own_token_is_revoked() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (account, user) = (admin.person("service").await, admin.person("member").await);
    let user = token(real, user.credentials(real.auth_url())).await;
    let logins = real.client();
    let own = RenewingPlugin::new(account.credentials(real.auth_url()), Transport::new(logins.clone()));
    let layer = ValidateTokenLayer::new(own.clone(), real.transport())
        .www_authenticate_uri(real.auth_url())
        .token_cache_time(Duration::ZERO)
        .validation_timeout(Duration::from_secs(600));
    let application = application::serve(layer).await;
    let (served, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (user, client, application) = (user.clone(), real.client(), application.clone());
        let (served, done) = (Arc::clone(&served), Arc::clone(&done));
        callers.spawn(async move {
            while !done.load(Relaxed) {
                assert_eq!(ask(&client, &application, "/", &user).await, StatusCode::OK);
                served.fetch_add(1, Relaxed);
            }
        });
    }
    until("requests were served", || served.load(Relaxed) >= 8).await;
    let access = own.access().await.unwrap();
    admin.revoke(access.auth_ref().unwrap().auth_token().unwrap()).await;
    until("the service has logged in again", || logins.sent() >= 2).await;
    let so_far = served.load(Relaxed);
    until("requests were served with the next token", || served.load(Relaxed) >= so_far + 8).await;
    done.store(true, Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(logins.sent(), 2);
}
