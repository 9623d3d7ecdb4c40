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

/// When logins come, in seconds, if a request comes every second for an hour.
async fn logins_of_an_hour<C: Credentials>(keystone: &Keystone, plugin: &RenewingPlugin<C>) -> Vec<u64> {
    let (begun, before) = (keystone.time().elapsed(), keystone.logins());
    for _ in 0..HOUR {
        let _ = token(plugin).await;
        pass(1).await;
    }
    keystone.logins_at().iter().skip(before).map(|at| (*at - begun).as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_password_that_never_worked_is_tried_three_times_in_half_an_hour() {
    for status in [401, 403] {
        let keystone = Keystone::new();
        keystone.usually(Answer::Status(status));
        let logins = logins_of_an_hour(&keystone, &keystone.plugin()).await;
        assert_eq!(logins, [0, 30, 330, 2130]);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_brought_a_token_before_are_tried_every_ten_minutes() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let used = plugin.access().await.unwrap();
    keystone.usually(Answer::Status(401));
    plugin.invalidate(&used, &nova());
    let logins = logins_of_an_hour(&keystone, &plugin).await;
    assert_eq!(logins, [0, 30, 150, 750, 1350, 1950, 2550, 3150]);
}

/// Keystone refuses everybody for 12 minutes after a deployment.
#[tokio::test(start_paused = true)]
async fn after_twelve_minutes_of_refusals_requests_succeed_within_another() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let used = plugin.access().await.unwrap();
    keystone.usually(Answer::Status(401));
    plugin.invalidate(&used, &nova());
    for _ in 0..720 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    keystone.usually(Answer::Token);
    pass(60).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn what_locks_no_account_is_tried_every_minute() {
    let application_credential = || AuthMethod::application_credential("id", "secret");
    let credentials: [Arc<dyn Credentials>; 3] = [
        Arc::new(V3Credentials::new(auth_url(), application_credential())),
        Arc::new(V3Credentials::new(auth_url(), AuthMethod::token("token"))),
        Arc::new(
            V3Credentials::new(auth_url(), AuthMethod::token("token")).and(AuthMethod::receipt("receipt")),
        ),
    ];
    for credentials in credentials {
        let keystone = Keystone::new();
        keystone.usually(Answer::Status(401));
        let plugin = keystone.plugin_of(credentials, RenewalPolicy::default());
        let logins = logins_of_an_hour(&keystone, &plugin).await;
        assert_eq!(logins[..4], [0, 30, 90, 150]);
        assert_eq!(logins.len(), 61);
    }
}

#[test]
fn passwords_and_passcodes_may_lock_an_account_and_nothing_else() {
    let alice = || User::new().user_id("alice");
    let v3 = |method| V3Credentials::new(auth_url(), method);
    for (credentials, may) in [
        (v3(AuthMethod::password(alice(), "wonderland")), true),
        (v3(AuthMethod::totp(alice(), "123456")), true),
        (v3(AuthMethod::token("token")), false),
        (v3(AuthMethod::application_credential("id", "secret")), false),
        (v3(AuthMethod::application_credential("id", "secret")).and(AuthMethod::totp(alice(), "1")), true),
        (v3(AuthMethod::receipt("receipt")).and(AuthMethod::password(alice(), "wonderland")), true),
    ] {
        assert_eq!(credentials.can_lock_account(), may, "{credentials:?}");
        assert_eq!(Arc::new(credentials).can_lock_account(), may);
    }
    assert!(
        V2Credentials::password(auth_url(), User::new().username("alice"), "wonderland").can_lock_account()
    );
    assert!(!V2Credentials::token(auth_url(), "token").can_lock_account());
    assert!(GenericCredentials::password(auth_url(), alice(), "wonderland").can_lock_account());
    assert!(!GenericCredentials::token(auth_url(), "token").can_lock_account());
}

#[tokio::test(start_paused = true)]
async fn every_pause_can_be_set() {
    let keystone = Keystone::new();
    let mut policy = RenewalPolicy::default();
    policy.permanent_failure_delays = vec![seconds(1000)];
    policy.permanent_failure_delays_after_success = vec![seconds(700)];
    policy.permanent_failure_delays_without_lockout = vec![seconds(500)];
    let password = keystone.plugin_with(policy.clone());
    keystone.usually(Answer::Status(401));
    assert_eq!(logins_of_an_hour(&keystone, &password).await, [0, 1000, 2000, 3000]);
    let token_method = V3Credentials::new(auth_url(), AuthMethod::token("token"));
    let by_token = keystone.plugin_of(token_method, policy);
    assert_eq!(logins_of_an_hour(&keystone, &by_token).await, [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]);
    keystone.usually(Answer::Token);
    password.reset();
    let used = password.access().await.unwrap();
    keystone.usually(Answer::Status(401));
    password.invalidate(&used, &nova());
    assert_eq!(logins_of_an_hour(&keystone, &password).await, [0, 700, 1400, 2100, 2800, 3500]);
}

/// Credentials whose secret is rotated in place.
#[derive(Clone)]
struct Rotated {
    keystone: Keystone,
    password: Arc<Mutex<String>>,
    right: Arc<Mutex<String>>,
    /// How often they were asked for their id.
    ids: Arc<AtomicUsize>,
}

impl Rotated {
    fn new(keystone: &Keystone) -> Self {
        let wrong = Arc::new(Mutex::new("wrong".to_owned()));
        let right = Arc::new(Mutex::new("right".to_owned()));
        Self { keystone: keystone.clone(), password: wrong, right, ids: Arc::default() }
    }

    fn rotate(&self, password: &str) {
        *self.password.lock().unwrap() = password.to_owned();
    }

    fn now(&self) -> V3Credentials {
        let alice = User::new().username("alice").user_domain_name("Default");
        V3Credentials::new(auth_url(), AuthMethod::password(alice, self.password.lock().unwrap().clone()))
            .scope(Scope::new().project_id("p1"))
    }
}

impl Credentials for Rotated {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let is_right = *self.password.lock().unwrap() == *self.right.lock().unwrap();
        self.keystone.usually(if is_right { Answer::Token } else { Answer::Status(401) });
        self.now().get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        static AUTH_URL: std::sync::LazyLock<Uri> = std::sync::LazyLock::new(auth_url);
        &AUTH_URL
    }

    fn cache_id(&self) -> Option<String> {
        self.ids.fetch_add(1, SeqCst);
        self.now().cache_id()
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_rotated_in_place_is_tried_at_once() {
    let keystone = Keystone::new();
    let credentials = Rotated::new(&keystone);
    let plugin = keystone.plugin_of(credentials.clone(), RenewalPolicy::default());
    for _ in 0..1000 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 3);
    credentials.rotate("wrong, too");
    for _ in 0..25 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 4, "a new secret is tried at once, and pauses of its own begin");
    credentials.rotate("right");
    // The failure of the old one is nobody's, however many ask.
    let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
    for waiter in waiting {
        assert_eq!(token_of_access(&waiter.await.unwrap().unwrap()), "token-1");
    }
    assert_eq!(keystone.logins(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_rotated_while_its_token_lives_costs_no_request() {
    let keystone = Keystone::new();
    let credentials = Rotated::new(&keystone);
    credentials.rotate("right");
    let plugin = keystone.plugin_of(credentials.clone(), RenewalPolicy::default());
    token(&plugin).await.unwrap();
    *credentials.right.lock().unwrap() = "new".to_owned();
    for second in 0..2 * HOUR {
        if second == HOUR - 20 {
            credentials.rotate("new");
        }
        assert!(token(&plugin).await.is_ok(), "at {second}");
        pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_a_token_asks_for_no_cache_id() {
    let keystone = Keystone::new();
    let credentials = Rotated::new(&keystone);
    credentials.rotate("right");
    let plugin = keystone.plugin_of(credentials.clone(), RenewalPolicy::default());
    token(&plugin).await.unwrap();
    let before = credentials.ids.load(SeqCst);
    for _ in 0..3000 {
        token(&plugin).await.unwrap();
        pass(1).await;
    }
    assert_eq!(credentials.ids.load(SeqCst), before);
}

/// Credentials whose id is another one each time.
struct Restless(V3Credentials, AtomicUsize);

impl Credentials for Restless {
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
async fn credentials_whose_id_changes_each_time_are_not_tried_each_time() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401));
    let plugin =
        keystone.plugin_of(Restless(keystone.credentials(), AtomicUsize::new(0)), RenewalPolicy::default());
    let logins = logins_of_an_hour(&keystone, &plugin).await;
    assert!(logins.iter().filter(|at| **at < 1800).count() <= 4, "{logins:?}");
    assert!(logins.len() <= 9, "{logins:?}");
}

/// Credentials whose methods of the rest of the contract panic, or look at their plugin.
struct Nosy {
    credentials: V3Credentials,
    plugin: Arc<Mutex<Option<RenewingPlugin<Arc<Nosy>>>>>,
    panics: bool,
}

impl Nosy {
    fn look(&self) {
        let plugin = self.plugin.lock().unwrap().clone();
        if let Some(plugin) = plugin {
            let _ = plugin.needs_renewal();
            drop(plugin.access());
        }
        assert!(!self.panics, "a test wants this panic");
    }
}

impl Credentials for Nosy {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.credentials.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.look();
        None
    }

    fn can_lock_account(&self) -> bool {
        self.look();
        true
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_may_look_at_their_plugin_and_panic() {
    for panics in [false, true] {
        let keystone = Keystone::new();
        keystone.then([Answer::Status(401)]);
        let nosy = Arc::new(Nosy { credentials: keystone.credentials(), plugin: Arc::default(), panics });
        let plugin = keystone.plugin_of(Arc::clone(&nosy), RenewalPolicy::default());
        *nosy.plugin.lock().unwrap() = Some(plugin.clone());
        for _ in 0..2 {
            assert!(matches!(token(&plugin).await, Err(Error::Keystone(_))));
        }
        pass(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        *nosy.plugin.lock().unwrap() = None;
    }
}
