//! Servers and connections that fail.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    runtime,
    time::timeout,
};
use tower_keystone::store::{LeaseOwner, RedisStore, TokenStore};

use crate::{
    contract,
    valkey::Valkey,
    valkey_store::{LONG, patient, publish, store},
};

/// Fails the test if the future hangs.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it does not hang")
}

#[tokio::test]
async fn a_store_is_built_while_its_server_is_away() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    server.kill();
    let (store, name) = (store(&server), contract::name());
    // Tries in the background, and fails. This is no news for a command that comes later.
    store.connect();
    tokio::task::yield_now().await;
    let error = in_time(store.get(&name)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot connect to 127.0.0.1:{}", server.port())), "{error}");
    store.connect();
    server.start_again();
    while in_time(store.get(&name)).await.is_err() {}
    assert!(publish(&store, &name, b"record").await);
}

#[tokio::test]
async fn the_first_command_after_a_failed_attempt_in_the_background_works() {
    let Some(server) = Valkey::start() else { return };
    server.kill();
    let store = store(&server);
    store.connect();
    // Its socket refuses connections at once, so a few steps are enough for the attempt.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    server.start_again();
    assert_eq!(in_time(store.get(&contract::name())).await.unwrap(), None);
}

#[tokio::test]
async fn a_killed_server_is_an_error_until_it_is_back() {
    for server in [Valkey::start(), Valkey::start_on_port(&[])] {
        let Some(server) = server else { return };
        let (store, name) = (store(&server), contract::name());
        assert!(publish(&store, &name, b"before").await);
        server.kill();
        for _ in 0..3 {
            in_time(store.get(&name)).await.unwrap_err();
        }
        server.start_again();
        assert_eq!(in_time(store.get(&name)).await.unwrap(), None, "it keeps nothing");
        assert!(publish(&store, &name, b"after").await);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_error() {
    let Some(server) = Valkey::start() else { return };
    let (store, owner) = (store(&server), LeaseOwner::random());
    for _ in 0..20 {
        assert!(publish(&store, &contract::name(), b"record").await);
        server.kill();
        server.start_again();
        // Whichever command comes first.
        let name = contract::name();
        assert!(in_time(store.lease(&name, &owner, LONG)).await.unwrap());
        server.ask(&["CLIENT", "KILL", "SKIPME", "yes"]);
        assert!(in_time(store.extend(&name, &owner, LONG)).await.unwrap());
        server.ask(&["CLIENT", "KILL", "SKIPME", "yes"]);
        in_time(store.release(&name, &owner)).await.unwrap();
        server.ask(&["CLIENT", "KILL", "SKIPME", "yes"]);
        assert_eq!(in_time(store.get(&name)).await.unwrap(), None);
        server.ask(&["CLIENT", "KILL", "SKIPME", "yes"]);
    }
}

#[tokio::test]
async fn a_stopped_server_is_an_error_until_it_goes_on() {
    for server in [Valkey::start(), Valkey::start_on_port(&[])] {
        let Some(server) = server else { return };
        let name = contract::name();
        let hasty = RedisStore::new(server.url()).unwrap().answer_timeout(Duration::from_millis(50));
        while hasty.get(&name).await.is_err() {}
        server.suspend();
        for _ in 0..3 {
            let error = in_time(hasty.get(&name)).await.unwrap_err();
            assert!(error.to_string().contains("in time"), "{error}");
        }
        server.resume();
        while in_time(hasty.get(&name)).await.is_err() {}
    }
}

/// Polls a future once and drops it.
fn drop_half_way(future: impl Future) {
    let mut future = pin!(future);
    let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

#[tokio::test]
async fn a_connection_that_owes_answers_to_dropped_commands_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let store = RedisStore::new(url).unwrap().connect_timeout(LONG).answer_timeout(Duration::from_millis(50));
    let name = contract::name();
    let mut connections = Vec::new();
    while connections.len() < 3 {
        // Each caller gives up long before the store does.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = timeout(Duration::from_millis(1), store.get(&name)) => continue,
        };
        let (mut connection, _) = accepted.unwrap();
        // Two commands of the client introduce it. No other one is answered.
        connection.write_all(b"+OK\r\n+OK\r\n").await.unwrap();
        connections.push(connection);
    }
}

#[tokio::test]
async fn a_connection_that_owes_an_answer_is_closed_although_no_other_command_follows() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let store = RedisStore::new(url).unwrap().connect_timeout(LONG).answer_timeout(Duration::from_millis(50));
    let name = contract::name();
    let (mut connection, mut buffer, mut received) = (None, [0; 1024], Vec::new());
    // The caller goes when the server has begun to answer.
    let serve = async {
        let connection = connection.insert(listener.accept().await.unwrap().0);
        connection.write_all(b"+OK\r\n+OK\r\n").await.unwrap();
        while !received.windows(8).any(|word| word == b"GETRANGE") {
            let length = connection.read(&mut buffer).await.unwrap();
            received.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::select! {
        () = serve => {}
        answer = store.get(&name) => panic!("{answer:?}"),
    }
    let mut connection = connection.unwrap();
    connection.write_all(b"$1000000000000\r\n").await.unwrap();
    let send_without_end = async { while connection.write_all(&[0; 1024]).await.is_ok() {} };
    in_time(send_without_end).await;
}

#[tokio::test]
async fn the_text_of_a_server_is_shortened_and_escaped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let store = RedisStore::new(url).unwrap().connect_timeout(LONG).answer_timeout(LONG);
    let name = contract::name();
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let text = format!("+OK\r\n+OK\r\n-ERR one\ntwo \x1b[31mred {}\r\n", "long ".repeat(100_000));
        connection.write_all(text.as_bytes()).await.unwrap();
        let _ = connection.read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        () = serve => panic!("the store has closed the connection"),
        answer = store.get(&name) => {
            let error = answer.unwrap_err().to_string();
            assert!(error.starts_with("ERR one") && error.len() < 2_000, "{} bytes", error.len());
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
}

#[tokio::test]
async fn no_answer_goes_to_another_command_when_commands_are_dropped() {
    let Some(server) = Valkey::start() else { return };
    let store = store(&server);
    let names: Vec<_> = (0..16).map(|_| contract::name()).collect();
    for (number, name) in names.iter().enumerate() {
        assert!(publish(&store, name, format!("record {number}").as_bytes()).await);
    }
    for round in 0..2000 {
        let dropped = &names[round % 16];
        drop_half_way(store.get(dropped));
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        }
        let number = round * 7 % 16;
        let record = in_time(store.get(&names[number])).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(record).unwrap(), format!("record {number}"));
    }
}

/// A connection to a server that is cut before an answer arrives, when `cut` is set.
async fn cutting_proxy(port: u16, cut: Arc<AtomicBool>, cuts: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (cut, cuts) = (Arc::clone(&cut), Arc::clone(&cuts));
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await?;
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let forward = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 65_536];
                loop {
                    let length = from_server.read(&mut buffer).await?;
                    if length == 0 || cut.swap(false, Ordering::SeqCst) {
                        cuts.fetch_add(1, Ordering::SeqCst);
                        forward.abort();
                        return io::Result::Ok(());
                    }
                    to_client.write_all(&buffer[..length]).await?;
                }
            });
        }
    });
    own_port
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_has_its_result_when_it_is_sent_again() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    server.ask(&["ACL", "SETUSER", "plain", "on", "nopass", "~*", "+exists", "+getrange", "+set"]);
    let (cut, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let port = cutting_proxy(server.port(), Arc::clone(&cut), Arc::clone(&cuts)).await;
    let store = patient(RedisStore::new(format!("redis://127.0.0.1:{port}")).unwrap());
    for store in [store.clone(), store.username("plain").password("any")] {
        let (name, owner, other) = (contract::name(), LeaseOwner::random(), LeaseOwner::random());
        // Makes the connection, and learns whether there are scripts.
        assert!(publish(&store, &contract::name(), b"first").await);
        cuts.store(0, Ordering::SeqCst);

        cut.store(true, Ordering::SeqCst);
        assert!(in_time(store.publish(&name, None, b"record", LONG)).await.unwrap());
        cut.store(true, Ordering::SeqCst);
        assert!(!in_time(store.publish(&name, None, b"other", LONG)).await.unwrap());
        cut.store(true, Ordering::SeqCst);
        assert!(in_time(store.lease(&name, &owner, LONG)).await.unwrap());
        cut.store(true, Ordering::SeqCst);
        assert!(!in_time(store.lease(&name, &other, LONG)).await.unwrap());
        cut.store(true, Ordering::SeqCst);
        assert!(in_time(store.extend(&name, &owner, LONG)).await.unwrap());
        cut.store(true, Ordering::SeqCst);
        in_time(store.release(&name, &owner)).await.unwrap();
        assert!(in_time(store.lease(&name, &other, LONG)).await.unwrap());
        assert_eq!(in_time(store.get(&name)).await.unwrap().unwrap(), b"record");
        assert_eq!(cuts.load(Ordering::SeqCst), 6);
    }
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_an_error_and_is_asked_over_another_connection() {
    let Some(server) = Valkey::start_on_port(&["--replica-serve-stale-data", "yes"]) else { return };
    let store = store(&server);
    assert!(publish(&store, &contract::name(), b"one").await);
    assert_eq!(server.ask(&["REPLICAOF", "127.0.0.1", "1"]), "+OK");
    let error = in_time(store.publish(&contract::name(), None, b"two", LONG)).await.unwrap_err();
    assert!(error.to_string().contains("READONLY"), "{error}");
    assert_eq!(server.ask(&["REPLICAOF", "NO", "ONE"]), "+OK");
    assert!(in_time(publish(&store, &contract::name(), b"three")).await);
}

#[test]
fn a_store_is_used_by_one_runtime_after_another() {
    let Some(server) = Valkey::start() else { return };
    let (store, name) = (store(&server), contract::name());
    // Without a runtime, it neither connects nor panics.
    store.connect();
    drop_half_way(store.get(&name));
    for _ in 0..5 {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        store.connect();
        {
            let _guard = runtime.enter();
            store.connect();
        }
        runtime.block_on(async {
            assert_eq!(in_time(store.get(&name)).await.unwrap(), None);
            drop_half_way(store.get(&name));
        });
    }
}
