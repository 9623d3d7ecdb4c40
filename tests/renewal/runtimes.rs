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

/// Returns a runtime whose tasks run only while a thread is in `block_on`.
fn paused_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Returns a runtime without a timer.
fn runtime_without_timer() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn futures_created_outside_of_the_runtime_that_polls_them_succeed() {
    let runtime = paused_runtime();
    let keystone = runtime.block_on(async { ScriptedKeystone::new() });
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));

    let plugin = keystone.plugin();
    let access = plugin.access();
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token_from_future(access)).unwrap(), "token-1");

    let plugin = keystone.plugin();
    let mut nova = ScriptedService::new(&keystone, || Duration::ZERO).with_auth(&plugin);
    let response = nova.call(get());
    assert_eq!(runtime.block_on(response).unwrap().status(), 200);

    let forced = plugin.renew();
    assert_eq!(token_from_access(&runtime.block_on(forced).unwrap()), "token-3");
    assert_eq!(keystone.logins(), 3);
}

#[test]
fn a_login_whose_runtime_was_shut_down_before_the_first_poll_is_sent_in_another() {
    let (one, other) = (paused_runtime(), paused_runtime());
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    let plugin = keystone.plugin();
    let access = {
        let _entered = one.enter();
        plugin.access()
    };
    drop(one);
    assert_eq!(other.block_on(token_from_future(access)).unwrap(), "token-1");
}

#[test]
fn a_request_created_outside_of_its_runtime_renews_a_token_that_is_due() {
    let runtime = paused_runtime();
    let keystone = runtime.block_on(async { ScriptedKeystone::new() });
    let plugin = keystone.plugin();
    let mut nova = ScriptedService::new(&keystone, || Duration::ZERO).with_auth(&plugin);
    assert_eq!(runtime.block_on(nova.call(get())).unwrap().status(), 200);
    keystone.time().step_wall(3500);
    let response = nova.call(get());
    runtime.block_on(async {
        assert_eq!(response.await.unwrap().status(), 200);
        settle().await;
    });
    assert_eq!(keystone.logins(), 2);
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-2");
}

#[test]
fn credentials_and_discovery_can_be_called_outside_of_the_runtime() {
    let runtime = paused_runtime();
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let auth_url = cloud.keystone().auth_url().trim_end_matches("/v3").to_owned();
    let alice = User::new().username("alice").user_domain_name("Default");
    let scope = Scope::new().project_name("demo").project_domain_name("Default");
    let credentials = GenericCredentials::password(auth_url, alice, "wonderland").scope(scope);
    let transport = cloud.transport();
    let login = credentials.get_auth_ref(transport.clone());
    assert!(runtime.block_on(login).is_ok());

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
fn a_runtime_without_a_timer_is_an_error_instead_of_a_panic() {
    let (runtime_without_timer, one) = (runtime_without_timer(), paused_runtime());
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));
    let plugin = keystone.plugin();
    let assert_no_runtime =
        |error: Option<Error>| assert!(matches!(error, Some(Error::NoRuntime)), "{error:?}");
    assert_no_runtime(runtime_without_timer.block_on(plugin.access()).err());
    assert_no_runtime(runtime_without_timer.block_on(plugin.renew()).err());
    let with_system_clock = RenewingPlugin::new(keystone.credentials(), Transport::new(keystone.clone()));
    assert_no_runtime(runtime_without_timer.block_on(with_system_clock.access()).err());
    let discovery = Discovery::new(Transport::new(keystone.clone()));
    assert_no_runtime(runtime_without_timer.block_on(discovery.document("https://nova.test")).err());
    assert_no_runtime(runtime_without_timer.block_on(async { plugin.access().await }).err());
    let mut nova = ScriptedService::new(&keystone, || Duration::ZERO).with_auth(&plugin);
    let error = runtime_without_timer.block_on(nova.call(get())).unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoRuntime)), "{error}");
    let alice = User::new().username("alice").user_domain_name("Default");
    let generic = GenericCredentials::password("https://keystone.test", alice, "wonderland");
    assert_no_runtime(
        runtime_without_timer.block_on(generic.get_auth_ref(Transport::new(keystone.clone()))).err(),
    );
    assert_eq!(keystone.logins(), 0);

    // A request in this runtime cannot wait for a login of another runtime either.
    let mut waiting = task::spawn(plugin.access());
    one.block_on(async { assert_pending!(waiting.poll()) });
    assert_no_runtime(runtime_without_timer.block_on(waiting.into_inner()).err());
    // The cached token can be used in this runtime.
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
    keystone.time().step_wall(3595);
    assert_eq!(runtime_without_timer.block_on(token(&plugin)).unwrap(), "token-1");
}

#[test]
fn a_runtime_that_is_shut_down_is_an_error_instead_of_a_panic() {
    let (shut_down, one) = (paused_runtime(), paused_runtime());
    let keystone = one.block_on(async { ScriptedKeystone::new() });
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));
    let plugin = keystone.plugin();
    let handle = shut_down.handle().clone();
    drop(shut_down);
    assert!(matches!(handle.block_on(plugin.access()), Err(Error::Abandoned)));
    assert!(matches!(handle.block_on(plugin.renew()), Err(Error::Abandoned)));
    let mut waiting = task::spawn(plugin.access());
    one.block_on(async { assert_pending!(waiting.poll()) });
    assert!(matches!(handle.block_on(waiting.into_inner()), Err(Error::NoRuntime)));
    assert_eq!(one.block_on(token(&plugin)).unwrap(), "token-1");
}

#[test]
fn a_waiting_request_that_moves_to_another_runtime_is_woken_there() {
    for shut_down in [true, false] {
        let [of_renewal, one, other] = [paused_runtime(), paused_runtime(), paused_runtime()];
        let keystone = of_renewal.block_on(async { ScriptedKeystone::new() });
        let plugin = keystone.plugin();
        // From here on, the runtime of the renewal task is idle.
        of_renewal.block_on(async { assert_pending!(task::spawn(plugin.access()).poll()) });
        let mut waiting = task::spawn(plugin.access());
        one.block_on(async { assert_pending!(waiting.poll()) });
        let one = (!shut_down).then_some(one);
        let result = other.block_on(async { tokio::time::timeout(seconds(60), waiting.into_inner()).await });
        assert_eq!(token_from_access(&result.expect("a renewal takes 40 s at most").unwrap()), "token-1");
        drop(one);
    }
}

/// Returns a client that runs each connection in its own task, as hyper does. Reading a response takes several polls.
fn transport_with_connection_tasks(keystone: &ScriptedKeystone) -> Transport {
    let keystone = keystone.clone();
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let response = keystone.clone().oneshot(request);
        let connection = tokio::spawn(async move {
            let response = response.await;
            for _ in 0..5 {
                yield_now().await;
            }
            response
        });
        async move { connection.await.map_err(BoxError::from)? as Result<Response<Full<Bytes>>, BoxError> }
    }))
}

#[test]
fn a_program_that_calls_block_on_now_and_then_renews_its_token() {
    for every in [5, 15, 30, 45, 90] {
        let runtime = paused_runtime();
        let keystone = runtime.block_on(async { ScriptedKeystone::new() });
        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(1)));
        let plugin = RenewingPlugin::new(keystone.credentials(), transport_with_connection_tasks(&keystone))
            .clock(keystone.time())
            .seed(7);
        assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
        runtime.block_on(advance(seconds(HOUR - 200)));
        let mut tokens = Vec::new();
        for _ in 0..4 {
            // Sends a request that takes several polls.
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
async fn no_login_is_sent_for_a_dropped_plugin() {
    for response in [LoginResponse::NoConnection, LoginResponse::RetryAfter("2"), LoginResponse::Never] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(response);
        let plugin = keystone.plugin();
        let mut waiting = task::spawn(plugin.access());
        assert_pending!(waiting.poll());
        settle().await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        drop((waiting, plugin));
        sleep_secs(60).await;
        assert_eq!((keystone.logins(), tasks()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_started_before_a_reset_is_not_retried() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::NoConnection);
    let plugin = keystone.plugin();
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    settle().await;
    keystone.respond_with(LoginResponse::Token);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    sleep_secs(60).await;
    assert_eq!(keystone.logins(), 2);
    assert_eq!(token_from_access(&assert_ready!(waiting.poll()).unwrap()), "token-1");
}

#[tokio::test(start_paused = true)]
async fn no_login_is_sent_for_a_plugin_removed_from_a_pool() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::NoConnection);
    let pool = tower_keystone::PluginPool::new(2);
    let mut waiting = task::spawn(pool.get_or_insert_with("alice", || keystone.plugin()).access());
    assert_pending!(waiting.poll());
    settle().await;
    drop(waiting);
    assert!(pool.remove(&"alice").is_some());
    sleep_secs(60).await;
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_login_is_reset_again_and_again_fails_as_abandoned() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = seconds(5);
    let plugin = keystone.plugin_with(policy);
    let waiting = tokio::spawn(plugin.access());
    for _ in 0..20 {
        sleep_secs(1).await;
        plugin.reset();
    }
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Abandoned) && error.is_transient(), "{error}");
    assert!(keystone.logins() <= 4, "{} logins", keystone.logins());
}
