//! Validations that replicas of a service share.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use tower_keystone::{RenewingPlugin, Transport, ValidateTokenLayer};

use super::{
    application::{self, ask},
    world::token,
};
use crate::{
    place::{self, Place},
    support::{is_past, past, real},
};

/// How long a replica waits for an answer of its store. Validations are counted, on a busy machine too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const CACHE_TIME: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_validates_a_token_for_all_and_none_accepts_it_when_it_is_revoked() {
    let (Some(real), Some(place)) = (real(), Place::valkey()) else { return };
    let admin = real.admin().await;
    let (account, user) = (admin.person("service").await, admin.person("member").await);
    let own = RenewingPlugin::new(account.credentials(real.auth_url()), real.transport());
    let (client, asked) = (real.client(), real.client());
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let layer = ValidateTokenLayer::new(own.clone(), Transport::new(asked.clone()))
            .www_authenticate_uri(real.auth_url())
            .validation_timeout(Duration::from_secs(600))
            .token_cache_time(CACHE_TIME)
            .store(place::open(&place.settings(), ANSWER_TIMEOUT));
        replicas.push(application::serve(layer).await);
    }
    let (token, validated_before) = loop {
        let token = token(real, user.credentials(real.auth_url())).await;
        let (before, started_at) = (asked.sent(), SystemTime::now());
        for replica in &replicas {
            assert_eq!(ask(&client, replica, "/", &token).await, StatusCode::OK);
        }
        // On a busy machine, the token is due for another validation before the last request.
        if !is_past(started_at + CACHE_TIME / 4) {
            assert_eq!(asked.sent() - before, 1);
            break (token, SystemTime::now());
        }
    };
    admin.revoke(&token).await;
    past(validated_before + CACHE_TIME).await;
    for replica in &replicas {
        assert_eq!(ask(&client, replica, "/", &token).await, StatusCode::UNAUTHORIZED);
    }
}
