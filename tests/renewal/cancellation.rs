//! Dropping waiting requests, and shutting down their runtimes.

use tokio::runtime::{Builder, Runtime};
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

/// A runtime that goes on only as long as somebody blocks on it.
fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn a_flight_whose_runtime_is_gone_is_taken_over_in_another() {
    let (one, other) = (one_thread(), one_thread());
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
fn a_forced_renewal_takes_over_too() {
    let (one, other) = (one_thread(), one_thread());
    let keystone = one.block_on(async { Keystone::new() });
    keystone.then([Answer::Hang]);
    let plugin = keystone.plugin();
    one.block_on(async {
        assert_pending!(task::spawn(plugin.access()).poll());
        settle().await;
    });
    drop(one);
    assert!(other.block_on(plugin.renew()).is_ok());
    assert_eq!(keystone.logins(), 2);
}

#[test]
fn a_runtime_that_nobody_drives_keeps_nobody_waiting() {
    for (forced, later) in [(false, 41), (false, 95), (false, 101), (true, 41), (true, 101)] {
        let (one, other) = (one_thread(), one_thread());
        let keystone = one.block_on(async { Keystone::new() });
        let plugin = keystone.plugin();
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
        keystone.time().step_wall(3500); // due: the renewal is a task of `one`, which is not driven
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
        keystone.time().step_wall(later); // due, expiring or expired, and later than any renewal takes
        other.block_on(async {
            if forced {
                assert!(plugin.renew().await.is_ok());
            }
            let _ = token(&plugin).await;
            settle().await;
            assert_eq!(token(&plugin).await.unwrap(), "token-2");
        });
        assert_eq!(keystone.logins(), 2);
        // What comes late displaces nothing.
        one.block_on(settle());
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-2");
    }
}

#[test]
fn whoever_waits_for_a_runtime_that_nobody_drives_gets_a_token_in_the_end() {
    for forced in [false, true] {
        let (one, other) = (one_thread(), one_thread());
        let keystone = one.block_on(async { Keystone::new() });
        keystone.usually(Answer::Token.slowly(seconds(1)));
        let plugin = keystone.plugin();
        one.block_on(async {
            assert_pending!(task::spawn(plugin.access()).poll());
        });
        let brought = other.block_on(async {
            let waiting = async { if forced { plugin.renew().await } else { plugin.access().await } };
            tokio::time::timeout(seconds(60), waiting).await
        });
        assert!(brought.expect("a flight takes 40 s at most").is_ok());
    }
}

#[test]
fn without_a_runtime_the_token_at_hand_serves_to_its_end() {
    let one = one_thread();
    let keystone = one.block_on(async { Keystone::new() });
    let plugin = keystone.plugin();
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
    keystone.usually(Answer::Token.slowly(seconds(5)));
    one.block_on(async {
        keystone.time().step_wall(3592);
        assert_pending!(task::spawn(plugin.access()).poll());
        settle().await;
    });
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
    keystone.time().step_wall(8);
    assert!(matches!(token_at_once(&plugin), Some(Err(Error::NoRuntime))));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keystone = runtime.block_on(async { Keystone::new() });
    let plugin = keystone.plugin();
    assert!(matches!(token_at_once(&plugin), Some(Err(Error::NoRuntime))));
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
}
