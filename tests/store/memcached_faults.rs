//! The store in memcached when the server is killed, stopped or wrong, and when operations are abandoned.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tower_keystone::{
    BoxError,
    store::{LeaseOwner, MemcachedStore, TokenStore, Version},
};

use crate::{
    contract::name,
    memcached::{eventually, store},
    memcached_process::{Memcached, Options},
};

const HOUR: Duration = Duration::from_secs(3600);

/// What the tasks of a test have done.
#[derive(Default)]
struct Counts {
    succeeded: AtomicUsize,
    failed: AtomicUsize,
    changed: Notify,
    is_over: AtomicBool,
}

impl Counts {
    fn count(&self, has_succeeded: bool) {
        let count = if has_succeeded { &self.succeeded } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits for this number of further operations that succeed or fail.
    async fn more(&self, count: &AtomicUsize, number: usize) {
        let end = count.load(Ordering::Relaxed) + number;
        while count.load(Ordering::Relaxed) < end {
            self.changed.notified().await;
        }
    }
}

/// Publishes and reads until the test is over. Whatever is read is what this task has published last, or nothing if the
/// server was restarted.
async fn publish_and_read(store: MemcachedStore, counts: Arc<Counts>) {
    let name = name();
    let mut published: Vec<Vec<u8>> = Vec::new();
    for number in 0.. {
        if counts.is_over.load(Ordering::Relaxed) {
            return;
        }
        let record = format!("{number} {}", name.as_str()).repeat(1 + number % 50).into_bytes();
        let operation = async {
            let seen = store.get(&name).await?;
            if let Some(seen) = &seen {
                assert!(published.contains(seen), "{}", seen.escape_ascii());
            }
            // Kept also if the response gets lost.
            published.push(record.clone());
            let has_published = store
                .publish(&name, seen.as_deref().map(Version::from_record).as_ref(), &record, HOUR)
                .await?;
            Ok::<_, BoxError>(has_published)
        };
        let result = timeout(Duration::from_millis(50), operation).await;
        let has_succeeded = matches!(result, Ok(Ok(true)));
        if has_succeeded {
            published.drain(..published.len() - 1);
        } else {
            tokio::task::yield_now().await;
        }
        counts.count(has_succeeded);
    }
}

async fn while_the_server_is(disturb: impl AsyncFn(&mut Memcached, &Counts), options: Options) {
    let mut memcached = Memcached::with(options);
    let store = store(&memcached);
    let counts = Arc::new(Counts::default());
    let tasks: Vec<_> =
        (0..8).map(|_| tokio::spawn(publish_and_read(store.clone(), counts.clone()))).collect();
    for _ in 0..3 {
        counts.more(&counts.succeeded, 200).await;
        disturb(&mut memcached, &counts).await;
        counts.more(&counts.succeeded, 200).await;
    }
    counts.is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_may_be_killed_and_started_again() {
    for own in [false, true] {
        let disturb = async |memcached: &mut Memcached, counts: &Counts| {
            memcached.kill();
            counts.more(&counts.failed, 100).await;
            memcached.start_again();
        };
        while_the_server_is(disturb, Options { own, ..Options::default() }).await;
    }
}

#[tokio::test]
async fn a_server_may_be_stopped_and_continued() {
    for own in [false, true] {
        let disturb = async |memcached: &mut Memcached, counts: &Counts| {
            memcached.stop();
            counts.more(&counts.failed, 16).await;
            memcached.go_on();
        };
        while_the_server_is(disturb, Options { own, ..Options::default() }).await;
    }
}

/// Polls a future this number of times. Returns `None` if it is not ready by then, and drops it.
async fn poll_times<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == times {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if polled == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn an_abandoned_operation_leaves_no_answer_to_another() {
    let memcached = Memcached::with(Options { at_socket: true, ..Options::default() });
    let store = store(&memcached);
    let names: Vec<_> = (0..5).map(|_| name()).collect();
    let record_of = |number: usize| format!("record {number}").repeat(1 + 5_000 * number).into_bytes();
    for (number, name) in names.iter().enumerate() {
        assert!(store.publish(name, None, &record_of(number), HOUR).await.unwrap());
        assert!(store.lease(name, &LeaseOwner::random(), HOUR).await.unwrap());
    }
    let mut rng = fastrand::Rng::with_seed(16);
    let mut abandoned = 0;
    while abandoned < 2_000 {
        let number = rng.usize(..names.len());
        let (name, record) = (&names[number], record_of(number));
        let seen = Version::from_record(&record);
        let owner = LeaseOwner::random();
        let times = rng.usize(..8);
        let is_abandoned = match rng.u8(..6) {
            0 => poll_times(times, store.get(name)).await.map(Result::unwrap).is_none(),
            1 => poll_times(times, store.publish(name, Some(&seen), &record, HOUR)).await.is_none(),
            2 => poll_times(times, store.publish(name, None, &record, HOUR)).await.is_none(),
            3 => poll_times(times, store.lease(name, &owner, HOUR)).await.is_none(),
            4 => poll_times(times, store.extend(name, &owner, HOUR)).await.is_none(),
            _ => poll_times(times, store.release(name, &owner)).await.is_none(),
        };
        abandoned += usize::from(is_abandoned);
        let number = rng.usize(..names.len());
        let (name, record) = (&names[number], record_of(number));
        assert!(store.get(name).await.unwrap().unwrap() == record, "{number}");
        assert!(!store.publish(name, None, b"new", HOUR).await.unwrap());
        assert!(store.publish(name, Some(&Version::from_record(&record)), &record, HOUR).await.unwrap());
        assert!(!store.lease(name, &owner, HOUR).await.unwrap());
    }
}

/// A server whose responses a test writes.
struct Scripted {
    listener: TcpListener,
}

impl Scripted {
    async fn new() -> (Self, MemcachedStore) {
        let server = Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let store = server.store();
        (server, store)
    }

    /// Returns another store, which makes no delay because of the failures of the first one.
    fn store(&self) -> MemcachedStore {
        let address = self.listener.local_addr().unwrap().to_string();
        MemcachedStore::builder().server(address).build().unwrap()
    }

    async fn accept(&self) -> TcpStream {
        let stream = self.listener.accept().await.unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Reads one line from the next connection, writes the start of a response, and then the rest again and again.
    /// Returns how many bytes it could write before the client closed the connection.
    async fn respond(&self, start: &[u8], rest: &[u8]) -> usize {
        let mut connection = BufReader::new(self.accept().await);
        connection.read_line(&mut String::new()).await.unwrap();
        let mut written = 0;
        for part in [start].into_iter().chain(std::iter::repeat_n(rest, usize::from(!rest.is_empty()) << 20))
        {
            match connection.write_all(part).await {
                Ok(()) => written += part.len(),
                Err(_) => return written,
            }
        }
        // The client closes it.
        let _ = connection.read_to_end(&mut Vec::new()).await;
        written
    }
}

/// Bytes on their way: in the buffers of both sockets.
const IN_BUFFERS: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn garbage_and_endless_responses_are_errors() {
    let (server, _) = Scripted::new().await;
    let name = name();
    let key = format!("tower-keystone:{}", name.as_str());
    let value = format!("VALUE {key} 0 1000 1\r\n");
    let endless = vec![b'x'; 64 * 1024];
    for (start, rest) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &b""[..]),
        (b"END\n", b""),
        (b"END\r\nEND\r\n", b""),
        (b"STORED\r\n", b""),
        (b"\r\n", b""),
        (b"\0", &endless),
        (b"", &endless),
        (b"VALUE ", &endless),
        (b"VALUE other 0 1 1\r\nx\r\nEND\r\n", b""),
        (value.as_bytes(), &endless),
        (format!("VALUE {key} 0 1048576 1\r\n").as_bytes(), &endless),
        (format!("VALUE {key} 0 1048577 1\r\n").as_bytes(), b""),
        (format!("VALUE {key} 0 18446744073709551615 1\r\n").as_bytes(), b""),
        (format!("VALUE {key} 0 -1 1\r\n").as_bytes(), b""),
        (format!("VALUE {key} 0 1 0\r\nx\r\nEND\r\n").as_bytes(), b""),
        (format!("VALUE {key} 0 1 1\r\nx\r\nVALUE {key} 0 1 1\r\n").as_bytes(), b""),
        (b"SERVER_ERROR canary\r\n", b""),
        (b"CLIENT_ERROR canary\r\n", b""),
    ] {
        let shown = start.escape_ascii().to_string();
        let store = server.store();
        let (result, written) = tokio::join!(store.get(&name), server.respond(start, rest));
        let error = result.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{shown}");
        assert!(written < IN_BUFFERS, "{shown}: {written}");
        // The next connection is a new one.
        let response = format!("VALUE {key} 7 1 1\r\nx\r\nEND\r\n");
        let (found, ()) = tokio::join!(eventually(|| store.get(&name)), async {
            let mut connection = BufReader::new(server.accept().await);
            connection.read_line(&mut String::new()).await.unwrap();
            connection.write_all(response.as_bytes()).await.unwrap();
        });
        assert_eq!(found.as_deref(), Some(&b"x"[..]), "{shown}");
    }
}

#[tokio::test]
async fn writes_with_other_responses_are_errors() {
    let (server, _) = Scripted::new().await;
    let (name, owner) = (name(), LeaseOwner::random());
    for response in [&b"END\r\n"[..], b"OK\r\n", b"STORED\r\nSTORED\r\n", b"TOUCHED\r\n", b"\r\nSTORED\r\n"] {
        let store = server.store();
        let publish = store.publish(&name, None, b"record", HOUR);
        tokio::join!(publish, server.respond(response, b"")).0.unwrap_err();
        let store = server.store();
        let lease = store.lease(&name, &owner, HOUR);
        tokio::join!(lease, server.respond(response, b"")).0.unwrap_err();
    }
}

/// A response that nobody asked for would otherwise be that to the next operation.
#[tokio::test]
async fn a_connection_with_a_response_too_many_is_not_used_again() {
    let (server, store) = Scripted::new().await;
    let name = name();
    let (found, mut first) = tokio::join!(store.get(&name), async {
        let mut connection = BufReader::new(server.accept().await);
        connection.read_line(&mut String::new()).await.unwrap();
        connection.write_all(b"END\r\n").await.unwrap();
        connection
    });
    assert_eq!(found.unwrap(), None);
    let key = format!("tower-keystone:{}", name.as_str());
    first.write_all(format!("VALUE {key} 0 5 1\r\nstale\r\nEND\r\n").as_bytes()).await.unwrap();
    let second = async {
        let mut connection = BufReader::new(server.accept().await);
        connection.read_line(&mut String::new()).await.unwrap();
        connection.write_all(b"END\r\n").await.unwrap();
    };
    // What was sent must have come before.
    tokio::task::yield_now().await;
    let (found, ()) = tokio::join!(store.get(&name), second);
    assert_eq!(found.unwrap(), None);
    assert_eq!(first.read(&mut [0]).await.unwrap_or(0), 0, "it was closed");
}

/// A late write of the same value, for example by an abandoned operation, is no other version.
#[tokio::test]
async fn a_version_that_is_written_again_meanwhile_is_still_replaced() {
    let (server, store) = Scripted::new().await;
    let name = name();
    let key = format!("tower-keystone:{}", name.as_str());
    let serve = async move {
        let mut connection = BufReader::new(server.accept().await);
        for (cas, stored) in [(1, "EXISTS"), (2, "STORED")] {
            let mut line = String::new();
            connection.read_line(&mut line).await.unwrap();
            assert!(line.starts_with("gets "), "{line}");
            let found = format!("VALUE {key} 0 3 {cas}\r\nold\r\nEND\r\n");
            connection.write_all(found.as_bytes()).await.unwrap();
            line.clear();
            connection.read_line(&mut line).await.unwrap();
            assert!(line.starts_with("cas ") && line.ends_with(&format!(" {cas}\r\n")), "{line}");
            connection.read_line(&mut String::new()).await.unwrap();
            connection.write_all(format!("{stored}\r\n").as_bytes()).await.unwrap();
        }
    };
    let seen = Version::from_record(b"old");
    let serving = tokio::spawn(serve);
    assert!(store.publish(&name, Some(&seen), b"new", HOUR).await.unwrap());
    serving.await.unwrap();
}

#[tokio::test]
async fn operations_share_one_connection() {
    let (server, store) = Scripted::new().await;
    store.connect();
    let serve = async {
        let mut connection = BufReader::new(server.accept().await);
        for _ in 0..100 {
            connection.read_line(&mut String::new()).await.unwrap();
            assert!(connection.buffer().is_empty(), "one operation at a time");
            connection.write_all(b"END\r\n").await.unwrap();
        }
    };
    let ask = async {
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(&name()).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), None);
        }
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_store_connects_before_it_is_asked() {
    let (server, store) = Scripted::new().await;
    store.connect();
    server.accept().await;
}

#[test]
fn without_a_runtime_the_first_operation_connects() {
    MemcachedStore::builder().server("127.0.0.1:1").build().unwrap().connect();
}
