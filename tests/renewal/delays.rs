//! Delays after failed logins.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::Uri;
use tower_keystone::{
    AuthMethod, Credentials, Error, GenericCredentials, IdentityPlugin, RenewalPolicy, RenewingPlugin, Scope,
    Transport, User, V2Credentials, V3Credentials, identity::AuthRefFuture,
};

use crate::support::*;

fn auth_url() -> Uri {
    Uri::from_static("https://keystone.test/v3")
}

/// Sends a request every second for an hour. Returns the times of the logins, in seconds.
async fn logins_of_an_hour<C: Credentials>(
    keystone: &ScriptedKeystone,
    plugin: &RenewingPlugin<C>,
) -> Vec<u64> {
    let (start, before) = (keystone.time().elapsed(), keystone.logins());
    for _ in 0..HOUR {
        let _ = token(plugin).await;
        sleep_secs(1).await;
    }
    keystone.login_times().iter().skip(before).map(|at| (*at - start).as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_password_that_never_worked_is_tried_three_times_in_half_an_hour() {
    for status in [401, 403] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Status(status));
        let logins = logins_of_an_hour(&keystone, &keystone.plugin()).await;
        assert_eq!(logins, [0, 30, 330, 2130]);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_worked_before_are_tried_every_ten_minutes() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let used = plugin.access().await.unwrap();
    keystone.respond_with(LoginResponse::Status(401));
    plugin.invalidate(&used, &nova_origin());
    let logins = logins_of_an_hour(&keystone, &plugin).await;
    assert_eq!(logins, [0, 30, 150, 750, 1350, 1950, 2550, 3150]);
}

/// Keystone rejects all logins for 12 minutes, for example after a deployment.
#[tokio::test(start_paused = true)]
async fn after_twelve_minutes_of_rejected_logins_requests_succeed_within_a_minute() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let used = plugin.access().await.unwrap();
    keystone.respond_with(LoginResponse::Status(401));
    plugin.invalidate(&used, &nova_origin());
    for _ in 0..720 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(60).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_lock_an_account_are_tried_every_minute() {
    let application_credential = || AuthMethod::application_credential("id", "secret");
    let credentials: [Arc<dyn Credentials>; 3] = [
        Arc::new(V3Credentials::new(auth_url(), application_credential())),
        Arc::new(V3Credentials::new(auth_url(), AuthMethod::token("token"))),
        Arc::new(
            V3Credentials::new(auth_url(), AuthMethod::token("token")).and(AuthMethod::receipt("receipt")),
        ),
    ];
    for credentials in credentials {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Status(401));
        let plugin = keystone.plugin_for(credentials, RenewalPolicy::default());
        let logins = logins_of_an_hour(&keystone, &plugin).await;
        assert_eq!(logins[..4], [0, 30, 90, 150]);
        assert_eq!(logins.len(), 61);
    }
}

#[test]
fn only_passwords_and_passcodes_can_lock_an_account() {
    let alice = || User::new().user_id("alice");
    let v3 = |method| V3Credentials::new(auth_url(), method);
    for (credentials, can_lock) in [
        (v3(AuthMethod::password(alice(), "wonderland")), true),
        (v3(AuthMethod::totp(alice(), "123456")), true),
        (v3(AuthMethod::token("token")), false),
        (v3(AuthMethod::application_credential("id", "secret")), false),
        (v3(AuthMethod::application_credential("id", "secret")).and(AuthMethod::totp(alice(), "1")), true),
        (v3(AuthMethod::receipt("receipt")).and(AuthMethod::password(alice(), "wonderland")), true),
    ] {
        assert_eq!(credentials.can_lock_account(), can_lock, "{credentials:?}");
        assert_eq!(Arc::new(credentials).can_lock_account(), can_lock);
    }
    assert!(
        V2Credentials::password(auth_url(), User::new().username("alice"), "wonderland").can_lock_account()
    );
    assert!(!V2Credentials::token(auth_url(), "token").can_lock_account());
    assert!(GenericCredentials::password(auth_url(), alice(), "wonderland").can_lock_account());
    assert!(!GenericCredentials::token(auth_url(), "token").can_lock_account());
}

#[tokio::test(start_paused = true)]
async fn all_delays_after_permanent_failures_are_configurable() {
    let keystone = ScriptedKeystone::new();
    let mut policy = RenewalPolicy::default();
    policy.permanent_failure_delays = vec![seconds(1000)];
    policy.permanent_failure_delays_after_success = vec![seconds(700)];
    policy.permanent_failure_delays_without_lockout = vec![seconds(500)];
    let password = keystone.plugin_with(policy.clone());
    keystone.respond_with(LoginResponse::Status(401));
    assert_eq!(logins_of_an_hour(&keystone, &password).await, [0, 1000, 2000, 3000]);
    let token_method = V3Credentials::new(auth_url(), AuthMethod::token("token"));
    let token_plugin = keystone.plugin_for(token_method, policy);
    assert_eq!(
        logins_of_an_hour(&keystone, &token_plugin).await,
        [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]
    );
    keystone.respond_with(LoginResponse::Token);
    password.reset();
    let used = password.access().await.unwrap();
    keystone.respond_with(LoginResponse::Status(401));
    password.invalidate(&used, &nova_origin());
    assert_eq!(logins_of_an_hour(&keystone, &password).await, [0, 700, 1400, 2100, 2800, 3500]);
}

/// Credentials whose secret can be rotated while a plugin uses them.
#[derive(Clone)]
struct RotatedCredentials {
    keystone: ScriptedKeystone,
    password: Arc<Mutex<String>>,
    accepted: Arc<Mutex<String>>,
    /// Number of calls of `cache_id`.
    cache_id_calls: Arc<AtomicUsize>,
}

impl RotatedCredentials {
    fn new(keystone: &ScriptedKeystone) -> Self {
        let wrong = Arc::new(Mutex::new("wrong".to_owned()));
        let accepted = Arc::new(Mutex::new("right".to_owned()));
        Self { keystone: keystone.clone(), password: wrong, accepted, cache_id_calls: Arc::default() }
    }

    fn rotate(&self, password: &str) {
        *self.password.lock().unwrap() = password.to_owned();
    }

    fn current(&self) -> V3Credentials {
        let alice = User::new().username("alice").user_domain_name("Default");
        V3Credentials::new(auth_url(), AuthMethod::password(alice, self.password.lock().unwrap().clone()))
            .scope(Scope::new().project_id("p1"))
    }
}

impl Credentials for RotatedCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let is_accepted = *self.password.lock().unwrap() == *self.accepted.lock().unwrap();
        self.keystone.respond_with(if is_accepted {
            LoginResponse::Token
        } else {
            LoginResponse::Status(401)
        });
        self.current().get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        static AUTH_URL: std::sync::LazyLock<Uri> = std::sync::LazyLock::new(auth_url);
        &AUTH_URL
    }

    fn cache_id(&self) -> Option<String> {
        self.cache_id_calls.fetch_add(1, SeqCst);
        self.current().cache_id()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_is_tried_at_once() {
    let keystone = ScriptedKeystone::new();
    let credentials = RotatedCredentials::new(&keystone);
    let plugin = keystone.plugin_for(credentials.clone(), RenewalPolicy::default());
    for _ in 0..1000 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 3);
    credentials.rotate("wrong, too");
    for _ in 0..25 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 4, "a new secret is tried at once, and its own delays start");
    credentials.rotate("right");
    // No request gets the error of the old secret.
    let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
    for waiter in waiting {
        assert_eq!(token_from_access(&waiter.await.unwrap().unwrap()), "token-1");
    }
    assert_eq!(keystone.logins(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_secret_rotated_before_the_token_expires_loses_no_request() {
    let keystone = ScriptedKeystone::new();
    let credentials = RotatedCredentials::new(&keystone);
    credentials.rotate("right");
    let plugin = keystone.plugin_for(credentials.clone(), RenewalPolicy::default());
    token(&plugin).await.unwrap();
    *credentials.accepted.lock().unwrap() = "new".to_owned();
    for second in 0..2 * HOUR {
        if second == HOUR - 20 {
            credentials.rotate("new");
        }
        assert!(token(&plugin).await.is_ok(), "at {second}");
        sleep_secs(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_cached_token_does_not_call_cache_id() {
    let keystone = ScriptedKeystone::new();
    let credentials = RotatedCredentials::new(&keystone);
    credentials.rotate("right");
    let plugin = keystone.plugin_for(credentials.clone(), RenewalPolicy::default());
    token(&plugin).await.unwrap();
    let before = credentials.cache_id_calls.load(SeqCst);
    for _ in 0..3000 {
        token(&plugin).await.unwrap();
        sleep_secs(1).await;
    }
    assert_eq!(credentials.cache_id_calls.load(SeqCst), before);
}

/// Credentials that return a different cache ID at each call.
struct UnstableCacheId(V3Credentials, AtomicUsize);

impl Credentials for UnstableCacheId {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.0.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.0.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.1.fetch_add(1, SeqCst).to_string())
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_whose_cache_id_always_changes_are_still_delayed() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401));
    let plugin = keystone
        .plugin_for(UnstableCacheId(keystone.credentials(), AtomicUsize::new(0)), RenewalPolicy::default());
    let logins = logins_of_an_hour(&keystone, &plugin).await;
    assert!(logins.iter().filter(|at| **at < 1800).count() <= 4, "{logins:?}");
    assert!(logins.len() <= 9, "{logins:?}");
}

/// Credentials whose optional methods use their own plugin, and panic if `panics` is set.
struct ReentrantCredentials {
    credentials: V3Credentials,
    plugin: Arc<Mutex<Option<RenewingPlugin<Arc<ReentrantCredentials>>>>>,
    panics: bool,
}

impl ReentrantCredentials {
    fn use_plugin(&self) {
        let plugin = self.plugin.lock().unwrap().clone();
        if let Some(plugin) = plugin {
            let _ = plugin.needs_renewal();
            drop(plugin.access());
        }
        assert!(!self.panics, "this panic is part of a test");
    }
}

impl Credentials for ReentrantCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.credentials.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.use_plugin();
        None
    }

    fn can_lock_account(&self) -> bool {
        self.use_plugin();
        true
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_can_use_their_plugin_and_panic_in_optional_methods() {
    for panics in [false, true] {
        let keystone = ScriptedKeystone::new();
        keystone.queue_responses([LoginResponse::Status(401)]);
        let credentials = Arc::new(ReentrantCredentials {
            credentials: keystone.credentials(),
            plugin: Arc::default(),
            panics,
        });
        let plugin = keystone.plugin_for(Arc::clone(&credentials), RenewalPolicy::default());
        *credentials.plugin.lock().unwrap() = Some(plugin.clone());
        for _ in 0..2 {
            assert!(matches!(token(&plugin).await, Err(Error::Keystone(_))));
        }
        sleep_secs(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        *credentials.plugin.lock().unwrap() = None;
    }
}
