//! Waiting requests that are dropped, and runtimes that are shut down or idle.

use tokio::runtime::{Builder, Runtime};
use tokio_test::{assert_pending, task};
use tower_keystone::{Error, IdentityPlugin};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_renewal_continues_when_waiting_requests_are_dropped() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for polls in 0..6 {
        for dropped in 1..=3 {
            let before = tasks();
            let keystone = ScriptedKeystone::new();
            keystone.respond_with(LoginResponse::Token.delayed_by(seconds(3)));
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
                assert_eq!(token_from_future(caller.into_inner()).await.unwrap(), "token-1");
            }
            assert_eq!(token(&plugin).await.unwrap(), "token-1");
            assert_eq!(keystone.logins(), 1, "{polls} polls, {dropped} dropped");
            settle().await;
            assert_eq!(tasks(), before, "no task is left");
        }
    }
}

/// Returns a runtime whose tasks run only while a thread is in `block_on`.
fn paused_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn a_login_whose_runtime_was_shut_down_is_sent_again_in_another() {
    let (one, other) = (paused_runtime(), paused_runtime());
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    keystone.queue_responses([LoginResponse::Never]);
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
        assert_eq!(token_from_future(waiting.unwrap().into_inner()).await.unwrap(), "token-1");
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
    });
    assert_eq!(keystone.logins(), 2);
}

#[test]
fn a_forced_renewal_also_sends_the_login_again_in_another_runtime() {
    let (one, other) = (paused_runtime(), paused_runtime());
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    keystone.queue_responses([LoginResponse::Never]);
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
fn a_renewal_in_an_idle_runtime_is_replaced_when_it_is_overdue() {
    for (forced, later) in [(false, 41), (false, 95), (false, 101), (true, 41), (true, 101)] {
        let (one, other) = (paused_runtime(), paused_runtime());
        let keystone = one.block_on(async { ScriptedKeystone::new() });
        let plugin = keystone.plugin();
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
        keystone.time().step_wall(3500); // due: the renewal is a task of `one`, which is idle
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
        keystone.time().step_wall(later); // due, expiring or expired, after the time limit of a renewal
        other.block_on(async {
            if forced {
                assert!(plugin.renew().await.is_ok());
            }
            let _ = token(&plugin).await;
            settle().await;
            assert_eq!(token(&plugin).await.unwrap(), "token-2");
        });
        assert_eq!(keystone.logins(), 2);
        // The late result of the first renewal is discarded.
        one.block_on(settle());
        assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-2");
    }
}

#[test]
fn requests_that_wait_for_a_login_in_an_idle_runtime_get_a_token() {
    for forced in [false, true] {
        let (one, other) = (paused_runtime(), paused_runtime());
        let keystone = one.block_on(async { ScriptedKeystone::new() });
        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(1)));
        let plugin = keystone.plugin();
        one.block_on(async {
            assert_pending!(task::spawn(plugin.access()).poll());
        });
        let result = other.block_on(async {
            let waiting = async { if forced { plugin.renew().await } else { plugin.access().await } };
            tokio::time::timeout(seconds(60), waiting).await
        });
        assert!(result.expect("a renewal takes 40 s at most").is_ok());
    }
}

#[test]
fn without_a_runtime_the_cached_token_is_used_until_it_expires() {
    let one = paused_runtime();
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    let plugin = keystone.plugin();
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    one.block_on(async {
        keystone.time().step_wall(3592);
        assert_pending!(task::spawn(plugin.access()).poll());
        settle().await;
    });
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    keystone.time().step_wall(8);
    assert!(matches!(token_without_waiting(&plugin), Some(Err(Error::NoRuntime))));
}

#[test]
fn without_a_runtime_a_login_returns_an_error_instead_of_panicking() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keystone = runtime.block_on(async { ScriptedKeystone::new() });
    let plugin = keystone.plugin();
    assert!(matches!(token_without_waiting(&plugin), Some(Err(Error::NoRuntime))));
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
}
