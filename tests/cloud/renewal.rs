//! Tokens that are revoked, expire, or whose account is disabled, while they are in use.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, AuthMethod, Credentials, EndpointFilter, Error, IdentityPlugin,
    RenewingPlugin, ServiceTokenAuthWrapper, TokenRejected, Transport, V3Credentials,
};

use crate::support::{Caller, body_of, hasty, is_past, keystone, next_second, past, providers, real};

#[tokio::test]
async fn with_many_requests_in_flight_a_revocation_loses_none_and_costs_one_login() {
    let Some(real) = real() else { return };
    let logins = real.client();
    let plugin = RenewingPlugin::new(real.credentials(real.auth_url()), Transport::new(logins.clone()))
        .policy(hasty());
    let placement = real.placement(plugin.clone());
    for run in 0..20 {
        let access = plugin.access().await.unwrap();
        let (info, before) = (access.auth_ref().unwrap(), logins.sent());
        let mut under_way = JoinSet::new();
        for number in 0..50 {
            if number == 25 {
                let revoke = Request::delete("/auth/tokens")
                    .header("x-subject-token", info.auth_token().unwrap())
                    .extension(keystone())
                    .body(body_of(""))
                    .unwrap();
                let revoked = real.openstack(info).oneshot(revoke).await.unwrap();
                assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
            }
            under_way.spawn(placement.clone().oneshot(providers()));
            tokio::task::yield_now().await;
        }
        while let Some(answer) = under_way.join_next().await {
            assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK, "run {run}");
        }
        assert_eq!(logins.sent() - before, 1, "run {run}");
    }
}

#[tokio::test]
async fn tokens_that_live_for_seconds_are_renewed_before_a_service_refuses_one() {
    let Some(real) = real() else { return };
    let (logins, client) = (real.client(), real.client());
    let plugin = RenewingPlugin::new(real.credentials(real.short_auth_url()), Transport::new(logins.clone()))
        .policy(hasty());
    let mut placement =
        AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("placement")).layer(client.clone());
    for sent in 0.. {
        if logins.sent() >= 4 {
            break;
        }
        assert!(sent < 20_000, "{} logins after {sent} requests", logins.sent());
        let access = plugin.access().await.unwrap();
        let response = placement.ready().await.unwrap().call(providers()).await.unwrap();
        // Placement rejects a request that takes longer than the lifetime of its token.
        let expires = access.auth_ref().unwrap().expires().unwrap().unwrap();
        assert!(response.status() == StatusCode::OK || is_past(expires), "{}", response.status());
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_token_and_is_one_failure_for_all() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("admin").await;
    let logins = real.client();
    let plugin = RenewingPlugin::new(person.credentials(real.auth_url()), Transport::new(logins.clone()));
    let placement = real.placement(plugin.clone());
    assert_eq!(placement.clone().oneshot(providers()).await.unwrap().status(), StatusCode::OK);
    let old = plugin.access().await.unwrap().auth_ref().unwrap().clone();
    assert_eq!(logins.sent(), 1);

    admin.update(&person, json!({"password": "another"})).await;
    let refused = real.placement(AccessInfoPlugin::new(old)).oneshot(providers()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let mut under_way: JoinSet<_> = (0..20).map(|_| placement.clone().oneshot(providers())).collect();
    let mut answers = HashSet::new();
    while let Some(outcome) = under_way.join_next().await {
        let error = outcome.unwrap().unwrap_err();
        let Some(Error::Keystone(answer)) = Error::find(&*error) else { panic!("{error}") };
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!answer.is_transient());
        answers.insert(answer.request_id.clone().unwrap());
    }
    assert_eq!(answers.len(), 1, "it is the failure of one login");
    assert_eq!(logins.sent(), 2);

    next_second().await;
    let password = AuthMethod::password(person.user(), "another");
    let credentials = V3Credentials::new(real.auth_url(), password).scope(person.scope());
    let placement = real.placement(RenewingPlugin::new(credentials, real.transport()));
    assert_eq!(placement.oneshot(providers()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_disabled_user_is_refused_until_enabled_and_the_plugin_reset() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("admin").await;
    let logins = real.client();
    let plugin = RenewingPlugin::new(person.credentials(real.auth_url()), Transport::new(logins.clone()));
    // There is no retry, so that the test sees the response of the service.
    let placement =
        AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("placement")).layer(real.client());
    let ask = || placement.clone().oneshot(providers());
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);

    admin.update(&person, json!({"enabled": false})).await;
    let refused = ask().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.extensions().get(), Some(&TokenRejected::Renewable));
    let failed = async || {
        let error = ask().await.unwrap_err();
        let Some(Error::Keystone(answer)) = Error::find(&*error) else { panic!("{error}") };
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!answer.is_transient());
        answer.request_id.clone().unwrap()
    };
    let failure = failed().await;
    assert_eq!(logins.sent(), 2);

    admin.update(&person, json!({"enabled": true})).await;
    next_second().await;
    assert_eq!(failed().await, failure, "nobody is asked again yet");
    assert_eq!(logins.sent(), 2);
    plugin.reset();
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    assert_eq!(logins.sent(), 3);
}

#[tokio::test]
async fn requests_go_on_until_their_application_credential_expires_and_then_fail_for_good() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("admin").await;
    let token = person.credentials(real.auth_url()).get_auth_ref(real.transport()).await.unwrap();
    let caller = Caller(real.openstack(&token));
    // On a busy machine, it takes longer to create and use an application credential.
    let mut lifetime = Duration::from_secs(6);
    let (placement, expires) = loop {
        // Keystone stores the expiry in whole seconds.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + lifetime;
        let expires = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        let wanted = json!({
            "name": format!("for-{}-seconds", lifetime.as_secs()),
            "secret": "s3cret",
            "unrestricted": false,
            "expires_at": jiff::Timestamp::try_from(expires).unwrap().to_string(),
        });
        let made = caller.application_credential(&admin, &person, wanted).await;
        let Some(id) = made else {
            assert!(is_past(expires), "Keystone wants no application credential");
            lifetime *= 4;
            continue;
        };
        let method = AuthMethod::application_credential(id, "s3cret");
        let plugin = RenewingPlugin::new(V3Credentials::new(real.auth_url(), method), real.transport())
            .policy(hasty());
        let placement = real.placement(plugin.clone());
        let first = placement.clone().oneshot(providers()).await;
        if !is_past(expires) {
            assert_eq!(first.unwrap().status(), StatusCode::OK);
            let access = plugin.access().await.unwrap();
            assert_eq!(access.auth_ref().unwrap().expires().unwrap(), Some(expires));
            break (placement, expires);
        }
        lifetime *= 4;
    };

    let error = loop {
        match placement.clone().oneshot(providers()).await {
            Ok(answer) => {
                assert!(answer.status() == StatusCode::OK || is_past(expires), "{}", answer.status())
            }
            Err(error) => break error,
        }
    };
    assert!(is_past(expires), "{error}");
    let Some(Error::Keystone(answer)) = Error::find(&*error) else { panic!("{error}") };
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_expired_token_is_taken_where_a_service_vouches_for_it() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let vouching = admin.person("service").await.credentials(real.auth_url());
    let other = admin.person("member").await.credentials(real.auth_url());
    let short_lived = real.credentials(real.short_auth_url());
    let (info, expires) = loop {
        let info = short_lived.get_auth_ref(real.transport()).await.unwrap();
        let expires = info.expires().unwrap().unwrap();
        let alone = real.placement(AccessInfoPlugin::new(info.clone()));
        let status = alone.oneshot(providers()).await.unwrap().status();
        // On a busy machine, the token can expire before the request.
        if !is_past(expires) {
            assert_eq!(status, StatusCode::OK);
            break (info, expires);
        }
    };
    let user = AccessInfoPlugin::new(info);
    let alone = real.placement(user.clone());
    let with_other = real
        .placement(ServiceTokenAuthWrapper::new(user.clone(), RenewingPlugin::new(other, real.transport())));
    let vouched =
        real.placement(ServiceTokenAuthWrapper::new(user, RenewingPlugin::new(vouching, real.transport())));

    past(expires).await;
    assert_eq!(alone.oneshot(providers()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(with_other.oneshot(providers()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(vouched.oneshot(providers()).await.unwrap().status(), StatusCode::OK);
}
