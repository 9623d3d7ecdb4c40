//! Requests with a token that is cached are decided as those with a new one.

use tower_keystone::Caller;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_cached_token_does_not_hide_the_rest_of_the_request() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    for token in ["good", "service", "plain"] {
        admitted(&layer, &[("x-auth-token", token)]).await;
    }
    for headers in [
        &[("x-auth-token", "good"), ("x-auth-token", "plain")][..],
        &[("x-auth-token", "good"), ("x-service-token", "plain")],
        &[("x-auth-token", "good"), ("x-service-token", " ")],
        &[("x_auth_token", "good")],
    ] {
        assert_unauthorized(&rejected(&layer, headers).await);
    }
    let request =
        admitted(&layer, &[("x-auth-token", "good"), ("x-roles", "admin"), ("X_User_Id", "root")]).await;
    assert_eq!(request.headers.len(), 1);
    let request = admitted(&layer, &[("x-auth-token", "good"), ("x-service-token", "service")]).await;
    let caller = Caller::from_extensions(&request.extensions).unwrap();
    assert_eq!(caller.service().unwrap().user_id(), Some("u-nova"));
    assert_eq!(keystone.asked(), ["good", "service", "plain"]);
}

#[tokio::test(start_paused = true)]
async fn layers_that_share_a_cache_have_their_own_settings() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    admitted(&layer, &[("x-auth-token", "good")]).await;
    admitted(&layer.clone().max_token_length(4), &[("x-auth-token", "good")]).await;
    for stricter in [layer.clone().max_token_length(3), layer.clone().require_certificate_bound_tokens()] {
        assert_unauthorized(&rejected(&stricter, &[("x-auth-token", "good")]).await);
    }
    let bearer = layer.clone().bearer_tokens();
    assert_unauthorized(
        &rejected(&bearer, &[("x-auth-token", "good"), ("authorization", "Bearer unknown")]).await,
    );
    assert_eq!(keystone.asked(), ["good", "unknown"]);
}
