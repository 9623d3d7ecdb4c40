//! Dropping those who wait, and the runtimes that they wait in.

use tokio_test::{assert_pending, task};
use tower_keystone::{Error, IdentityPlugin};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_whenever_the_flight_goes_on() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for polls in 0..6 {
        for dropped in 1..=3 {
            let before = tasks();
            let keystone = Keystone::new();
            keystone.usually(Answer::Token.slowly(seconds(3)));
            let plugin = keystone.plugin();
            let mut callers: Vec<_> = (0..3).map(|_| Some(task::spawn(plugin.access()))).collect();
            for _ in 0..polls {
                for caller in callers.iter_mut().flatten() {
                    assert_pending!(caller.poll());
                }
                tokio::time::sleep(millis(400)).await;
            }
            callers.iter_mut().take(dropped).for_each(|caller| *caller = None);
            for caller in callers.into_iter().flatten() {
                assert_eq!(token_of(caller.into_inner()).await.unwrap(), "token-1");
            }
            assert_eq!(token(&plugin).await.unwrap(), "token-1");
            assert_eq!(keystone.logins(), 1, "{polls} polls, {dropped} dropped");
            settle().await;
            assert_eq!(tasks(), before, "no task is left");
        }
    }
}

#[test]
fn a_flight_whose_runtime_is_gone_is_taken_over_in_another() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (one, other) = (runtime(), runtime());
    let keystone = one.block_on(async { Keystone::new() });
    keystone.then([Answer::Hang]);
    let plugin = keystone.plugin();
    let waiting = one.block_on(async {
        let mut waiting = task::spawn(plugin.access());
        assert_pending!(waiting.poll());
        settle().await;
        Some(waiting)
    });
    assert_eq!(keystone.logins(), 1);
    drop(one);
    other.block_on(async {
        assert_eq!(token_of(waiting.unwrap().into_inner()).await.unwrap(), "token-1");
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
    });
    assert_eq!(keystone.logins(), 2);
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keystone = runtime.block_on(async { Keystone::new() });
    let plugin = keystone.plugin();
    assert!(matches!(token_at_once(&plugin), Some(Err(Error::NoRuntime))));
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
}
