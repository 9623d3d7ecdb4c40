//! User code (credentials, subscribers) that resets a plugin with a store, or panics.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::Uri;
use tower_keystone::{
    Credentials, IdentityPlugin, RenewingPlugin, Transport, V3Credentials,
    identity::AuthRefFuture,
    store::{MemoryStore, SharedTokens, StoreKey},
};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    scripted_store::{Behaviour, ScriptedStore},
    *,
};
use crate::log::subscribe;

/// When credentials reset their plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ResetsIn {
    /// At each login, and then they request the access in another task.
    Login,
    /// When their id is read for the first time.
    CacheId,
}

/// Credentials that reset the plugin that calls them. Clones share the plugin and the number of calls.
#[derive(Clone)]
struct Resetting {
    credentials: V3Credentials,
    resets_in: ResetsIn,
    plugin: Arc<OnceLock<RenewingPlugin<Resetting>>>,
    calls: Arc<AtomicUsize>,
}

impl Resetting {
    fn plugin(keystone: &ScriptedKeystone, store: &MemoryStore, resets_in: ResetsIn) -> RenewingPlugin<Self> {
        let credentials = Self {
            credentials: keystone.credentials(),
            resets_in,
            plugin: Arc::default(),
            calls: Arc::default(),
        };
        let plugin = keystone.plugin_for(credentials.clone(), RenewalPolicy::default()).store(shared(store));
        assert!(credentials.plugin.set(plugin.clone()).is_ok());
        plugin
    }
}

impl Credentials for Resetting {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        if self.resets_in != ResetsIn::Login {
            return self.credentials.get_auth_ref(transport);
        }
        assert!(self.calls.fetch_add(1, SeqCst) < 1_000, "there are too many logins");
        let plugin = self.plugin.get().unwrap().clone();
        plugin.reset();
        Box::pin(async move {
            tokio::spawn(plugin.access()).await.unwrap()?;
            unreachable!("no login ends")
        })
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        if self.resets_in == ResetsIn::CacheId && self.calls.fetch_add(1, SeqCst) == 0 {
            self.plugin.get().unwrap().reset();
        }
        self.credentials.cache_id()
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_reset_their_own_plugin_are_rate_limited() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = Resetting::plugin(&keystone, &store, ResetsIn::Login);
    assert!(plugin.access().await.is_err());
    sleep_secs(600).await;
    let calls = plugin.credentials().calls.load(SeqCst);
    assert!(calls <= 30, "{calls} calls in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_reset_while_a_renewal_starts_also_ignores_the_failure_of_another_process() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(401)]);
    assert!(token(&process(&keystone, &store, 1)).await.is_err());
    let plugin = Resetting::plugin(&keystone, &store, ResetsIn::CacheId);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}

/// A subscriber that panics at each event of the store.
struct PanickingSubscriber(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for PanickingSubscriber {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target().starts_with("tower_keystone::store") {
            self.0.fetch_add(1, SeqCst);
            std::panic::panic_any("this panic is part of a test");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_subscriber_fails_no_request() {
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = tracing_subscriber::registry().with(PanickingSubscriber(Arc::clone(&events)));
    let _guard = subscribe(subscriber);
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let plugin = keystone.plugin().store(SharedTokens::new(store.clone(), StoreKey::new(KEY)));
    for behaviour in [Behaviour::Fails, Behaviour::Works, Behaviour::Garbage] {
        store.set(behaviour);
        events.store(0, SeqCst);
        sleep_secs(2 * HOUR).await;
        token(&plugin).await.unwrap();
        assert_ne!(events.load(SeqCst), 0, "{behaviour:?}");
    }
}
