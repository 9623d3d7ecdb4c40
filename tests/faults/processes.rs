//! Many processes to which a program hands a token on by itself. Group `e` has those that share it by a store.

use std::sync::Arc;

use tokio::{sync::Mutex, task::JoinSet};
use tower_keystone::Secret;

use crate::support::*;

cases![
    paused b14_processes_that_restore_one_token_renew_it_at_different_times,
    paused b14_processes_that_lock_their_token_store_share_one_login,
];

const PROCESSES: u64 = 50;

/// Without a store, a program can hand a token on by itself: it exports the token (`auth_state`) and restores it
/// (`set_auth_state`). Each process then renews its own token, and jitter spreads the renewals.
async fn b14_processes_that_restore_one_token_renew_it_at_different_times() {
    let keystone = ScriptedKeystone::new();
    let first = keystone.plugin();
    token(&first).await.unwrap();
    let state = first.auth_state().unwrap();
    let processes: Vec<_> = (0..PROCESSES)
        .map(|seed| {
            let plugin = keystone.plugin().seed(seed);
            plugin.set_auth_state(Some(&state)).unwrap();
            plugin
        })
        .collect();
    for plugin in &processes {
        assert_eq!(token_without_waiting(plugin).unwrap().unwrap(), "token-1");
    }
    settle().await;
    assert_eq!(keystone.logins(), 1, "no process logs in at once");

    while keystone.time().elapsed() < seconds(HOUR) {
        for plugin in &processes {
            assert!(token(plugin).await.is_ok());
        }
        sleep_secs(1).await;
    }
    let login_seconds: Vec<_> = keystone.login_times().iter().skip(1).map(|at| at.as_secs()).collect();
    assert_eq!(login_seconds.len() as u64, PROCESSES);
    let max = login_seconds
        .iter()
        .map(|second| login_seconds.iter().filter(|other| *other == second).count())
        .max();
    assert!(max <= Some(6), "{max:?} logins in one second");
    assert!(login_seconds.last().unwrap() - login_seconds[0] >= 60, "{login_seconds:?}");
}

/// If the program locks the place where it keeps the token, for example with a file lock, one process logs in for all.
async fn b14_processes_that_lock_their_token_store_share_one_login() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(1)));
    let store: Arc<Mutex<Option<Secret>>> = Arc::default();
    let processes: JoinSet<()> = (0..PROCESSES)
        .map(|seed| {
            let (keystone, store, plugin) =
                (keystone.clone(), Arc::clone(&store), keystone.plugin().seed(seed));
            async move {
                while keystone.time().elapsed() < seconds(HOUR) {
                    if plugin.needs_renewal() {
                        let mut stored = store.lock().await;
                        let current = plugin.auth_state();
                        if stored.is_some() && *stored != current {
                            plugin.set_auth_state(stored.as_ref()).unwrap();
                        }
                        if plugin.needs_renewal() {
                            plugin.renew().await.unwrap();
                            *stored = plugin.auth_state();
                        }
                    }
                    assert!(token_without_waiting(&plugin).unwrap().is_ok());
                    sleep_secs(5).await;
                }
            }
        })
        .collect();
    processes.join_all().await;
    assert!((2..=3).contains(&keystone.logins()), "{}", keystone.logins());
    assert_eq!(keystone.max_concurrent_logins(), 1);
}
