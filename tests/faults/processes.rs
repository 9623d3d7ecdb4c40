//! Many processes that share a stored token.

use std::sync::Arc;

use tokio::{sync::Mutex, task::JoinSet};
use tower_keystone::Secret;

use crate::support::*;

cases![
    paused b14_processes_that_restore_one_token_log_in_at_times_of_their_own,
    paused b14_processes_that_take_a_lock_around_their_store_log_in_once_for_all,
];

const PROCESSES: u64 = 50;

/// The crate keeps no store and takes no lock between processes: it hands out what is to be stored
/// (`auth_state`), takes it over (`set_auth_state`), and by its jitter keeps processes from renewing in the
/// same second. That is all it promises; each of them renews for itself.
async fn b14_processes_that_restore_one_token_log_in_at_times_of_their_own() {
    let keystone = Keystone::new();
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
        assert_eq!(token_at_once(plugin).unwrap().unwrap(), "token-1");
    }
    settle().await;
    assert_eq!(keystone.logins(), 1, "none logs in at once");

    while keystone.time().elapsed() < seconds(HOUR) {
        for plugin in &processes {
            assert!(token(plugin).await.is_ok());
        }
        pass(1).await;
    }
    let at: Vec<_> = keystone.logins_at().iter().skip(1).map(|at| at.as_secs()).collect();
    assert_eq!(at.len() as u64, PROCESSES);
    let most = at.iter().map(|second| at.iter().filter(|at| *at == second).count()).max();
    assert!(most <= Some(6), "{most:?} in one second");
    assert!(at.last().unwrap() - at[0] >= 60, "{at:?}");
}

/// With a lock of the user's own around the store, such as one on a file, one process logs in for all.
async fn b14_processes_that_take_a_lock_around_their_store_log_in_once_for_all() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(1)));
    let store: Arc<Mutex<Option<Secret>>> = Arc::default();
    let processes: JoinSet<()> = (0..PROCESSES)
        .map(|seed| {
            let (keystone, store, plugin) =
                (keystone.clone(), Arc::clone(&store), keystone.plugin().seed(seed));
            async move {
                while keystone.time().elapsed() < seconds(HOUR) {
                    if plugin.needs_renewal() {
                        let mut stored = store.lock().await;
                        let known = plugin.auth_state();
                        if stored.is_some() && *stored != known {
                            plugin.set_auth_state(stored.as_ref()).unwrap();
                        }
                        if plugin.needs_renewal() {
                            plugin.renew().await.unwrap();
                            *stored = plugin.auth_state();
                        }
                    }
                    assert!(token_at_once(&plugin).unwrap().is_ok());
                    pass(5).await;
                }
            }
        })
        .collect();
    processes.join_all().await;
    assert!((2..=3).contains(&keystone.logins()), "{}", keystone.logins());
    assert_eq!(keystone.at_once(), 1);
}
