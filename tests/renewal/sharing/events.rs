//! Debug events that show how a token is shared.

use tower_keystone::{
    IdentityPlugin,
    store::{SharedTokens, StoreKey},
};
use tracing::Level;

use super::{
    scripted_store::{Behaviour, ScriptedStore},
    *,
};
use crate::log::Log;

/// Returns the messages about the sharing of tokens, without the name of the entry, which is `entry`.
fn messages(log: &Log, entry: &mut Option<String>) -> Vec<String> {
    let mut messages = Vec::new();
    for line in log.take_lines().iter().filter(|line| line.contains("renewal::sharing")) {
        assert!(line.contains("DEBUG"), "{line}");
        assert!(!line.contains("token-"), "{line}");
        let (message, name) = line.split_once(" entry=\"").unwrap();
        let name = name.strip_suffix('"').unwrap();
        assert_eq!(name.len(), 8, "{line}");
        assert_eq!(entry.get_or_insert(name.to_owned()), name);
        messages.push(message.rsplit(": ").next().unwrap().to_owned());
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn it_can_be_observed_how_a_token_is_shared() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let process = |number| {
        let tokens = SharedTokens::new(store.clone(), StoreKey::new(KEY));
        keystone.plugin().seed(number).store(tokens)
    };
    let entry = &mut None;
    keystone.queue_responses([LoginResponse::Token.delayed_by(seconds(1))]);
    let one = process(1);
    let first = tokio::spawn(async move { token(&one).await });
    settle().await;
    assert_eq!(messages(&log, entry), ["logs in for all that share the token"]);
    let other = process(2);
    let second = tokio::spawn(async move { (token(&other).await, other) });
    settle().await;
    assert_eq!(messages(&log, entry), ["another process has the lease, and may log in"]);
    first.await.unwrap().unwrap();
    let (token_of_other, other) = second.await.unwrap();
    token_of_other.unwrap();
    // The other one looks at the lease again and again meanwhile.
    let mut observed = messages(&log, entry);
    observed.retain(|message| message != "another process has the lease, and may log in");
    assert_eq!(observed, ["published a token in the store", "takes over a token of the store"]);
    // A request with a token at hand logs nothing.
    other.access().await.unwrap();
    assert!(log.take().is_empty());
    store.set(Behaviour::Fails);
    token(&process(3)).await.unwrap();
    assert_eq!(messages(&log, entry), ["logs in without the store"]);
}
