//! Processes that end, or that are stopped for a while.

use tokio::{runtime::Runtime, task::JoinHandle};
use tower_keystone::{Error, store::MemoryStore};

use super::*;

/// Returns whether nobody holds the lease: another process logs in at once.
async fn logs_in_at_once(keystone: &ScriptedKeystone, store: &MemoryStore) -> bool {
    let started = keystone.time().elapsed();
    keystone.respond_with(LoginResponse::Token);
    token(&process(keystone, store, 99)).await.unwrap();
    keystone.time().elapsed() == started
}

#[tokio::test(start_paused = true)]
async fn closing_the_store_gives_the_lease_of_a_background_renewal_back() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let tokens = shared(&store);
    let plugin = keystone.plugin().store(tokens.clone());
    token(&plugin).await.unwrap();
    sleep_secs(HOUR - 100).await;
    keystone.respond_with(LoginResponse::Never);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    settle().await;
    assert_eq!(keystone.logins(), 2);
    tokens.close().await;
    sleep_secs(100).await;
    assert!(logs_in_at_once(&keystone, &store).await);
}

#[tokio::test(start_paused = true)]
async fn closing_the_store_loses_no_request() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let tokens = shared(&store);
    let plugin = keystone.plugin().store(tokens.clone());
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let waiting = plugin.clone();
    let waiting = tokio::spawn(async move { token(&waiting).await });
    sleep_secs(1).await;
    let started = keystone.time().elapsed();
    tokens.close().await;
    assert_eq!(keystone.time().elapsed(), started);
    assert!(logs_in_at_once(&keystone, &store).await);
    assert_eq!(waiting.await.unwrap().unwrap(), "token-2");
    // The plugin goes on without the store.
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-3");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_plugin_gives_its_lease_back() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Never);
    let plugin = process(&keystone, &store, 1);
    let waiting = tokio::spawn(async move { token(&plugin).await });
    sleep_secs(2).await;
    waiting.abort();
    sleep_secs(2).await;
    assert!(logs_in_at_once(&keystone, &store).await);
}

/// Another process, with a runtime of its own. It is stopped unless a function runs in it.
struct Process(Option<Runtime>);

impl Process {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Self(Some(builder.enable_time().start_paused(true).build().unwrap()))
    }

    fn run<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| self.0.as_ref().unwrap().block_on(future)).join().unwrap())
    }

    /// Starts to obtain a token, and stops as soon as it waits for Keystone.
    fn start(&self, plugin: Plugin) -> JoinHandle<Result<String, Error>> {
        let token = self.0.as_ref().unwrap().spawn(async move { token(&plugin).await });
        self.run(settle());
        token
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_delays_the_others_by_the_term_of_its_lease() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let killed = Process::new();
    let _waiting = killed.start(process(&keystone, &store, 1));
    assert_eq!(keystone.logins(), 1);
    let (tokens, time) = tokens(&fleet(&keystone, &store, 50)).await;
    assert!(tokens.iter().all(|token| token.as_ref().unwrap() == "token-1"));
    assert_eq!(keystone.logins(), 2);
    assert!((seconds(3)..seconds(6)).contains(&time), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_during_its_login_overwrites_nothing_newer() {
    for is_rejected in [false, true] {
        let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
        keystone.queue_responses([LoginResponse::TokenInTransit(millis(500))]);
        let stopped = Process::new();
        let waiting = stopped.start(process(&keystone, &store, 1));
        assert_eq!(keystone.issued().len(), 1);
        let others = fleet(&keystone, &store, 20);
        assert_eq!(one_token(&others).await, "token-2");
        if is_rejected {
            for plugin in &others {
                reject(plugin).await;
            }
            assert_eq!(one_token(&others).await, "token-3");
        }
        let token = stopped.run(async {
            tokio::time::advance(seconds(40)).await;
            waiting.await.unwrap().unwrap()
        });
        assert_eq!(token, if is_rejected { "token-3" } else { "token-2" });
        assert_eq!(one_token(&[process(&keystone, &store, 99)]).await, token);
    }
}
