//! Tokens that many plugins share by a store.

mod changing;
mod credentials;
mod ends;
mod events;
mod failures;
mod logins;
mod outages;
mod refusals;
mod scripted_store;
mod user_code;

use std::time::Duration;

use tokio::task::JoinSet;
use tower_keystone::{
    Error, RenewalPolicy,
    store::{MemoryStore, SharedTokens, StoreKey},
};

use crate::support::*;

const KEY: [u8; 32] = [7; 32];

/// Shares tokens like another process with the same store.
fn shared(store: &MemoryStore) -> SharedTokens {
    SharedTokens::new(store.clone(), StoreKey::new(KEY))
}

/// Creates a plugin of another process, with random numbers of its own.
fn process(keystone: &ScriptedKeystone, store: &MemoryStore, number: u64) -> Plugin {
    keystone.plugin().seed(number).store(shared(store))
}

/// Creates the plugins of many processes.
fn fleet(keystone: &ScriptedKeystone, store: &MemoryStore, processes: u64) -> Vec<Plugin> {
    (0..processes).map(|number| process(keystone, store, number)).collect()
}

/// Lets all plugins obtain a token at once. Returns what they got, and the time that it took.
async fn tokens(plugins: &[Plugin]) -> (Vec<Result<String, Error>>, Duration) {
    let started = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    for plugin in plugins {
        let plugin = plugin.clone();
        tasks.spawn(async move { token(&plugin).await });
    }
    (tasks.join_all().await, started.elapsed())
}

/// Lets all plugins obtain a token at once, and returns the only one that they get.
async fn one_token(plugins: &[Plugin]) -> String {
    let mut tokens: Vec<_> = tokens(plugins).await.0.into_iter().map(Result::unwrap).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens.remove(0)
}

/// Rejects the current token of a plugin.
async fn reject(plugin: &Plugin) {
    use tower_keystone::IdentityPlugin;
    let access = plugin.access().await.unwrap();
    plugin.invalidate(&access, &nova_origin());
}

fn fail_fast() -> RenewalPolicy {
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    policy
}
