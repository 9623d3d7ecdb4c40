//! The store in memcached.

use std::{
    io::{self, BufRead, Write},
    process::{Command, Stdio},
    time::Duration,
};

use tower_keystone::{
    Error,
    store::{LeaseOwner, MemcachedStore, TokenStore, Version},
};

use crate::{
    contract::{self, Clock, ClockFuture, name},
    memcached_process::{Memcached, Options},
};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn store(memcached: &Memcached) -> MemcachedStore {
    MemcachedStore::builder().server(memcached.address()).build().unwrap()
}

/// memcached counts whole seconds.
struct Seconds<'a>(&'a Memcached);

impl Clock for Seconds<'_> {
    fn pass(&self, time: Duration) -> ClockFuture<'_> {
        Box::pin(self.0.pass(time))
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }
}

async fn keeps_the_contract(options: Options) {
    let memcached = Memcached::with(options);
    contract::check(&store(&memcached), &store(&memcached), &Seconds(&memcached)).await;
}

#[tokio::test]
async fn a_store_in_memcached_keeps_the_contract() {
    keeps_the_contract(Options::default()).await;
}

#[tokio::test]
async fn a_store_at_a_socket_keeps_the_contract() {
    keeps_the_contract(Options { at_socket: true, ..Options::default() }).await;
}

/// The server of the tests is like the real one in what the contract covers.
#[tokio::test]
async fn the_memcached_of_the_tests_keeps_the_contract() {
    keeps_the_contract(Options { own: true, ..Options::default() }).await;
}

#[tokio::test]
async fn an_authenticated_store_keeps_the_contract() {
    for own in [false, true] {
        let password = Some(("user", "canary:pass"));
        let memcached = Memcached::with(Options { password, own, ..Options::default() });
        let builder = || MemcachedStore::builder().server(memcached.address());
        let known = || builder().username_and_password("user", "canary:pass").build().unwrap();
        contract::records_are_replaced_by_comparison(&known(), &known()).await;
        contract::a_lease_has_one_owner(&known(), &known()).await;

        let wrong = builder().username_and_password("user", "canary:wrong").build().unwrap();
        for store in [builder().build().unwrap(), wrong] {
            let error = store.get(&name()).await.unwrap_err();
            let shown = format!("{error} {error:?} {store:?}");
            assert!(shown.contains(&memcached.address()), "{shown}");
            assert!(shown.contains("requires a username and password"), "{shown}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

#[tokio::test]
async fn times_beyond_thirty_days_are_not_read_as_dates() {
    let memcached = Memcached::start();
    let store = store(&memcached);
    for days in [30, 31, 365, 1_000_000] {
        let (name, term) = (name(), 24 * days * HOUR);
        assert!(store.publish(&name, None, b"record", term).await.unwrap());
        assert_eq!(store.get(&name).await.unwrap().as_deref(), Some(&b"record"[..]), "{days}");
        assert!(store.lease(&name, &LeaseOwner::random(), term).await.unwrap());
        assert!(!store.lease(&name, &LeaseOwner::random(), term).await.unwrap(), "{days}");
    }
}

#[tokio::test]
async fn nothing_is_kept_for_ever() {
    for own in [false, true] {
        let memcached = Memcached::with(Options { own, ..Options::default() });
        let (store, name) = (store(&memcached), name());
        assert!(store.publish(&name, None, b"record", Duration::ZERO).await.unwrap());
        assert!(store.lease(&name, &LeaseOwner::random(), Duration::ZERO).await.unwrap());
        memcached.pass(Duration::from_secs(1)).await;
        assert_eq!(store.get(&name).await.unwrap(), None);
        assert!(store.lease(&name, &LeaseOwner::random(), HOUR).await.unwrap());
    }
}

#[tokio::test]
async fn keys_begin_with_the_prefix() {
    let memcached = Memcached::start();
    let builder = || MemcachedStore::builder().server(memcached.address());
    let (one, other) = (builder().build().unwrap(), builder().prefix("p".repeat(128)).build().unwrap());
    let name = name();
    for store in [&one, &other] {
        assert!(store.publish(&name, None, b"record", HOUR).await.unwrap());
        assert!(store.lease(&name, &LeaseOwner::random(), HOUR).await.unwrap());
    }
    for prefix in ["tower-keystone:", &"p".repeat(128)] {
        let name = name.as_str();
        let record = memcached.send(format!("get {prefix}{name}\r\n").as_bytes(), 2);
        assert_eq!(record, [format!("VALUE {prefix}{name} 0 6"), "record".to_owned()]);
        let lease = memcached.send(format!("get {prefix}{name}.lease\r\n").as_bytes(), 1);
        assert_eq!(lease, [format!("VALUE {prefix}{name}.lease 0 22")]);
    }
}

#[test]
fn a_store_that_cannot_work_is_not_built() {
    let builder = || MemcachedStore::builder().server("cache");
    for (builder, reason) in [
        (MemcachedStore::builder(), "there is no memcached server"),
        (builder().server("cache:11211"), "cache:11211 is listed twice"),
        (builder().server("a b"), r#"memcached server "a b" has no valid host name"#),
        (builder().server("b\r\nflush_all"), r"b\r\nflush_all"),
        (builder().prefix("a b"), "prefix"),
        (builder().prefix("a\r\nflush_all\r\n"), "prefix"),
        (builder().prefix("\u{e9}"), "prefix"),
        (builder().prefix("p".repeat(129)), "prefix"),
        (builder().username_and_password("", "canary"), "username"),
        (builder().username_and_password("user name", "canary"), "username"),
        (builder().username_and_password("user", "canary pass"), "password"),
        (builder().username_and_password("user", "canary\r\nflush_all"), "password"),
    ] {
        let error = builder.build().unwrap_err();
        let shown = error.to_string();
        assert!(matches!(error, Error::InvalidStore { .. }), "{error:?}");
        assert!(shown.contains(reason) && shown.starts_with("cannot use the token store: "), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains('\n'), "{shown}");
    }
}

/// A restarted server gives out the same cas numbers again.
#[tokio::test]
async fn a_restarted_server_does_not_accept_old_versions() {
    for own in [false, true] {
        let mut memcached = Memcached::with(Options { own, ..Options::default() });
        let (name, owner) = (name(), LeaseOwner::random());
        let (one, other) = (store(&memcached), store(&memcached));
        assert!(one.publish(&name, None, b"old", HOUR).await.unwrap());
        assert!(one.lease(&name, &owner, HOUR).await.unwrap());
        let old = memcached.send(format!("gets tower-keystone:{}\r\n", name.as_str()).as_bytes(), 1);
        memcached.kill();
        memcached.start_again();
        for store in [&one, &other] {
            eventually(|| store.get(&name)).await;
        }
        assert!(other.publish(&name, None, b"new", HOUR).await.unwrap());
        let new = memcached.send(format!("gets tower-keystone:{}\r\n", name.as_str()).as_bytes(), 1);
        assert_eq!(old, new, "the length and the number are the same");
        assert!(!one.publish(&name, Some(&Version::from_record(b"old")), b"late", HOUR).await.unwrap());
        assert!(!one.extend(&name, &owner, HOUR).await.unwrap());
        assert_eq!(one.get(&name).await.unwrap().as_deref(), Some(&b"new"[..]));
    }
}

#[tokio::test]
async fn the_identities_of_a_lost_server_have_no_store() {
    let mut servers = [Memcached::start(), Memcached::start(), Memcached::start()];
    let addresses = servers.each_ref().map(Memcached::address);
    let build = |order: [usize; 3]| {
        let builder = MemcachedStore::builder();
        order.into_iter().fold(builder, |builder, index| builder.server(&addresses[index])).build().unwrap()
    };
    let (one, other) = (build([0, 1, 2]), build([2, 0, 1]));
    let names: Vec<_> = (0..60).map(|_| name()).collect();
    for name in &names {
        assert!(one.publish(name, None, b"record", HOUR).await.unwrap());
        assert!(one.lease(name, &LeaseOwner::random(), HOUR).await.unwrap());
        assert_eq!(other.get(name).await.unwrap().as_deref(), Some(&b"record"[..]));
    }
    let has =
        |server: &Memcached, key: String| server.send(format!("get {key}\r\n").as_bytes(), 1)[0] != "END";
    let (lost, kept): (Vec<_>, Vec<_>) = names.iter().partition(|name| {
        let key = format!("tower-keystone:{}", name.as_str());
        let places = servers.each_ref().map(|server| has(server, key.clone()));
        let leases = servers.each_ref().map(|server| has(server, format!("{key}.lease")));
        assert!(places == leases && places.iter().filter(|place| **place).count() == 1);
        places[0]
    });
    assert!(!lost.is_empty() && !kept.is_empty());

    servers[0].kill();
    for store in [&one, &other] {
        for name in &lost {
            let error = store.get(name).await.unwrap_err();
            assert!(error.to_string().contains(&addresses[0]), "{error}");
            store.lease(name, &LeaseOwner::random(), HOUR).await.unwrap_err();
        }
        for name in &kept {
            assert_eq!(store.get(name).await.unwrap().as_deref(), Some(&b"record"[..]));
            assert!(!store.lease(name, &LeaseOwner::random(), HOUR).await.unwrap());
        }
    }
    servers[0].start_again();
    for name in &lost {
        assert_eq!(eventually(|| one.get(name)).await, None);
        assert!(one.publish(name, None, b"again", HOUR).await.unwrap());
    }
}

/// Repeats an operation until it succeeds.
pub(crate) async fn eventually<T, F>(mut operation: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, tower_keystone::BoxError>>,
{
    loop {
        match operation().await {
            Ok(result) => return result,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// A server would otherwise be left over when a test is aborted.
#[test]
fn a_server_ends_with_its_process() {
    const VARIABLE: &str = "TOWER_KEYSTONE_START_MEMCACHED";
    if std::env::var_os(VARIABLE).is_some() {
        let memcached = Memcached::start();
        // A line of its own, after what the test harness has written.
        write!(io::stdout(), "\naddress={}\n", memcached.address()).unwrap();
        io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memcached::a_server_ends_with_its_process"])
        .env(VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = io::BufReader::new(other.stdout.take().unwrap()).lines();
    let address = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("address=").map(str::to_owned));
    let address = address.unwrap();
    drop(std::net::TcpStream::connect(&address).unwrap());
    other.kill().unwrap();
    other.wait().unwrap();
    while std::net::TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
}
