//! Requests that are sent, polled and waited for in different runtimes.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::advance,
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keystone::{
    AuthLayer, BoxError, Credentials, EndpointFilter, Error, GenericCredentials, IdentityPlugin,
    RenewalPolicy, RenewingPlugin, Scope, Transport, User, discovery::Discovery, fixture::Cloud,
};

use crate::support::*;

/// A runtime that goes on only as long as somebody blocks on it.
fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A runtime without time.
fn timeless() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn what_is_called_outside_of_the_runtime_that_polls_it_is_answered() {
    let runtime = one_thread();
    let keystone = runtime.block_on(async { Keystone::new() });
    keystone.usually(Answer::Token.slowly(seconds(2)));

    let plugin = keystone.plugin();
    let access = plugin.access();
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token_of(access)).unwrap(), "token-1");

    let plugin = keystone.plugin();
    let mut nova = Nova::new(&keystone, || Duration::ZERO).behind(&plugin);
    let response = nova.call(get());
    assert_eq!(runtime.block_on(response).unwrap().status(), 200);

    let forced = plugin.renew();
    assert_eq!(token_of_access(&runtime.block_on(forced).unwrap()), "token-3");
    assert_eq!(keystone.logins(), 3);
}

#[test]
fn a_flight_whose_runtime_ended_before_the_first_poll_is_started_again() {
    let (one, other) = (one_thread(), one_thread());
    let keystone = one.block_on(async { Keystone::new() });
    let plugin = keystone.plugin();
    let access = {
        let _entered = one.enter();
        plugin.access()
    };
    drop(one);
    assert_eq!(other.block_on(token_of(access)).unwrap(), "token-1");
}

#[test]
fn a_soft_token_is_renewed_by_a_request_that_is_called_outside_of_its_runtime() {
    let runtime = one_thread();
    let keystone = runtime.block_on(async { Keystone::new() });
    let plugin = keystone.plugin();
    let mut nova = Nova::new(&keystone, || Duration::ZERO).behind(&plugin);
    assert_eq!(runtime.block_on(nova.call(get())).unwrap().status(), 200);
    keystone.time().step_wall(3500);
    let response = nova.call(get());
    runtime.block_on(async {
        assert_eq!(response.await.unwrap().status(), 200);
        settle().await;
    });
    assert_eq!(keystone.logins(), 2);
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-2");
}

#[test]
fn credentials_and_discovery_may_be_called_outside_of_the_runtime_too() {
    let runtime = one_thread();
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let auth_url = cloud.keystone().auth_url().trim_end_matches("/v3").to_owned();
    let alice = User::new().username("alice").user_domain_name("Default");
    let scope = Scope::new().project_name("demo").project_domain_name("Default");
    let credentials = GenericCredentials::password(auth_url, alice, "wonderland").scope(scope);
    let transport = cloud.transport();
    let asked = credentials.get_auth_ref(transport.clone());
    assert!(runtime.block_on(asked).is_ok());

    let plugin = RenewingPlugin::new(credentials, transport.clone());
    let filter = EndpointFilter::new("identity").min_version(3, 0);
    let mut keystone =
        AuthLayer::new(plugin.clone()).discovery(transport.clone()).endpoint(filter.clone()).layer(cloud);
    let response = keystone.call(Request::get("/auth/projects").body(Full::<Bytes>::default()).unwrap());
    assert_eq!(runtime.block_on(response).unwrap().status(), 200);

    plugin.reset();
    let discovery = Discovery::new(transport);
    assert!(runtime.block_on(discovery.endpoint_data(&plugin, &filter)).is_ok());
}

#[test]
fn a_runtime_without_time_is_an_error_and_no_panic() {
    let (timeless, one) = (timeless(), one_thread());
    let keystone = one.block_on(async { Keystone::new() });
    keystone.usually(Answer::Token.slowly(seconds(2)));
    let plugin = keystone.plugin();
    let is_told = |error: Option<Error>| assert!(matches!(error, Some(Error::NoRuntime)), "{error:?}");
    is_told(timeless.block_on(plugin.access()).err());
    is_told(timeless.block_on(plugin.renew()).err());
    let by_the_clock_of_the_machine =
        RenewingPlugin::new(keystone.credentials(), Transport::new(keystone.clone()));
    is_told(timeless.block_on(by_the_clock_of_the_machine.access()).err());
    let discovery = Discovery::new(Transport::new(keystone.clone()));
    is_told(timeless.block_on(discovery.document("https://nova.test")).err());
    is_told(timeless.block_on(async { plugin.access().await }).err());
    let mut nova = Nova::new(&keystone, || Duration::ZERO).behind(&plugin);
    let error = timeless.block_on(nova.call(get())).unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoRuntime)), "{error}");
    let alice = User::new().username("alice").user_domain_name("Default");
    let generic = GenericCredentials::password("https://keystone.test", alice, "wonderland");
    is_told(timeless.block_on(generic.get_auth_ref(Transport::new(keystone.clone()))).err());
    assert_eq!(keystone.logins(), 0);

    // Nor can a flight that is under way elsewhere be waited for there.
    let mut waiting = task::spawn(plugin.access());
    one.block_on(async { assert_pending!(waiting.poll()) });
    is_told(timeless.block_on(waiting.into_inner()).err());
    // The token at hand is used there as anywhere.
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
    keystone.time().step_wall(3595);
    assert_eq!(timeless.block_on(token(&plugin)).unwrap(), "token-1");
}

#[test]
fn a_runtime_that_is_shut_down_is_an_error_and_no_panic() {
    let (gone, one) = (one_thread(), one_thread());
    let keystone = one.block_on(async { Keystone::new() });
    keystone.usually(Answer::Token.slowly(seconds(2)));
    let plugin = keystone.plugin();
    let handle = gone.handle().clone();
    drop(gone);
    assert!(matches!(handle.block_on(plugin.access()), Err(Error::Abandoned)));
    assert!(matches!(handle.block_on(plugin.renew()), Err(Error::Abandoned)));
    let mut waiting = task::spawn(plugin.access());
    one.block_on(async { assert_pending!(waiting.poll()) });
    assert!(matches!(handle.block_on(waiting.into_inner()), Err(Error::NoRuntime)));
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
}

#[test]
fn whoever_moves_to_another_runtime_is_waked_there() {
    for ended in [true, false] {
        let [of_flight, one, other] = [one_thread(), one_thread(), one_thread()];
        let keystone = of_flight.block_on(async { Keystone::new() });
        let plugin = keystone.plugin();
        // Nobody drives the runtime of the flight any more.
        of_flight.block_on(async { assert_pending!(task::spawn(plugin.access()).poll()) });
        let mut waiting = task::spawn(plugin.access());
        one.block_on(async { assert_pending!(waiting.poll()) });
        let one = (!ended).then_some(one);
        let brought = other.block_on(async { tokio::time::timeout(seconds(60), waiting.into_inner()).await });
        assert_eq!(token_of_access(&brought.expect("a flight takes 40 s at most").unwrap()), "token-1");
        drop(one);
    }
}

/// A client whose connections are tasks of their own, as those of hyper are: an answer takes some turns to be read.
fn in_tasks(keystone: &Keystone) -> Transport {
    let keystone = keystone.clone();
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let answer = keystone.clone().oneshot(request);
        let connection = tokio::spawn(async move {
            let answer = answer.await;
            for _ in 0..5 {
                yield_now().await;
            }
            answer
        });
        async move { connection.await.map_err(BoxError::from)? as Result<Response<Full<Bytes>>, BoxError> }
    }))
}

#[test]
fn a_program_that_only_blocks_now_and_then_renews_its_token() {
    for every in [5, 15, 30, 45, 90] {
        let runtime = one_thread();
        let keystone = runtime.block_on(async { Keystone::new() });
        keystone.usually(Answer::Token.slowly(seconds(1)));
        let plugin =
            RenewingPlugin::new(keystone.credentials(), in_tasks(&keystone)).clock(keystone.time()).seed(7);
        assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
        runtime.block_on(advance(seconds(HOUR - 200)));
        let mut tokens = Vec::new();
        for _ in 0..4 {
            // A request, which takes some turns.
            let request = async {
                let token = token(&plugin).await.unwrap();
                for _ in 0..8 {
                    yield_now().await;
                }
                token
            };
            tokens.push(runtime.block_on(request));
            runtime.block_on(advance(seconds(every)));
        }
        assert_eq!(tokens[0], "token-1", "every {every} s");
        assert_ne!(tokens[3], "token-1", "every {every} s");
        assert!(keystone.logins() <= 3, "every {every} s: {} logins", keystone.logins());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_logs_in_for_a_plugin_that_is_gone() {
    for answer in [Answer::NoConnection, Answer::RetryAfter("2"), Answer::Hang] {
        let keystone = Keystone::new();
        keystone.usually(answer);
        let plugin = keystone.plugin();
        let mut waiting = task::spawn(plugin.access());
        assert_pending!(waiting.poll());
        settle().await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        drop((waiting, plugin));
        pass(60).await;
        assert_eq!((keystone.logins(), tasks()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_logs_in_for_a_flight_that_a_reset_overtook() {
    let keystone = Keystone::new();
    keystone.usually(Answer::NoConnection);
    let plugin = keystone.plugin();
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    settle().await;
    keystone.usually(Answer::Token);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    pass(60).await;
    assert_eq!(keystone.logins(), 2);
    assert_eq!(token_of_access(&assert_ready!(waiting.poll()).unwrap()), "token-1");
}

#[tokio::test(start_paused = true)]
async fn one_pool_without_a_plugin_is_one_without_its_logins() {
    let keystone = Keystone::new();
    keystone.usually(Answer::NoConnection);
    let pool = tower_keystone::PluginPool::new(2);
    let mut waiting = task::spawn(pool.get_or_insert_with("alice", || keystone.plugin()).access());
    assert_pending!(waiting.poll());
    settle().await;
    drop(waiting);
    assert!(pool.remove(&"alice").is_some());
    pass(60).await;
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_is_overtaken_again_and_again_is_given_up_in_words_of_its_own() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(2)));
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = seconds(5);
    let plugin = keystone.plugin_with(policy);
    let waiting = tokio::spawn(plugin.access());
    for _ in 0..20 {
        pass(1).await;
        plugin.reset();
    }
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Abandoned) && error.is_transient(), "{error}");
    assert!(keystone.logins() <= 4, "{} logins", keystone.logins());
}
