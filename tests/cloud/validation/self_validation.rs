//! Tokens that validate themselves, without an account of the service.

use std::time::Duration;

use http::StatusCode;
use tower_keystone::{Scope, ValidateTokenLayer};

use super::{
    application,
    world::{by_credential, restricted_credential, token},
};
use crate::support::{past, real};

#[tokio::test]
async fn tokens_validate_themselves() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let user = admin.person("member").await;
    let credentials = user.credentials(real.auth_url());
    let layer = ValidateTokenLayer::self_validating(real.auth_url(), real.transport())
        .service_type("placement")
        .token_cache_time(Duration::ZERO)
        .validation_timeout(Duration::from_secs(600));
    let (client, application) = (real.client(), application::serve(layer).await);
    let ask = async |path, token| application::ask(&client, &application, path, token).await;

    let project = token(real, credentials.clone()).await;
    let unscoped = token(real, credentials.clone().scope(Scope::new().unscoped())).await;
    for token in [&project, &unscoped] {
        assert_eq!(ask("/", token).await, StatusCode::OK);
    }
    let caller = real.caller(&user).await;
    let id = restricted_credential(&admin, &caller, &user, "restricted", &["/allowed"]).await;
    let restricted = token(real, by_credential(real.auth_url(), &id)).await;
    assert_eq!(ask("/allowed", &restricted).await, StatusCode::OK);
    assert_eq!(ask("/elsewhere", &restricted).await, StatusCode::UNAUTHORIZED);

    assert_eq!(ask("/", "garbage").await, StatusCode::UNAUTHORIZED);
    admin.revoke(&project).await;
    assert_eq!(ask("/", &project).await, StatusCode::UNAUTHORIZED);
    let expired = real.login_with(&user.credentials(real.short_auth_url())).await;
    past(expired.expires().unwrap().unwrap()).await;
    assert_eq!(ask("/", expired.auth_token().unwrap()).await, StatusCode::UNAUTHORIZED);
}
