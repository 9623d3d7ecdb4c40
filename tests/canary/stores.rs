//! Tokens that are stored. No name, file, log, error or `Debug` output contains a secret, and no record contains one that
//! is not sealed.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tower_keystone::{
    Scope,
    endpoint::Origin,
    store::{
        EntryName, FileStore, LeaseOwner, MemcachedStore, MemoryStore, RedisStore, SharedTokens, StoreFuture,
        StoreKey, TokenStore, Version,
    },
};

use super::*;

/// The key of the stores. It is searched for like the canary.
const KEY: [u8; 32] = *b"key-4f0b-92e3-of-the-token-store";

/// What a store was given.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Vec<Vec<u8>>>>);

impl Given {
    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap().push(bytes.to_vec());
    }

    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A store in memory that remembers what it was given, and fails in one operation.
#[derive(Clone)]
struct Recording {
    inner: MemoryStore,
    names: Given,
    records: Given,
    /// The operation that fails, if any.
    failing: Option<&'static str>,
}

impl Recording {
    fn new(failing: Option<&'static str>) -> Self {
        Self { inner: MemoryStore::new(), names: Given::default(), records: Given::default(), failing }
    }

    fn call<'a, T: Send + 'a>(
        &self,
        operation: &'static str,
        name: &EntryName,
        answer: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        self.names.add(name.as_str().as_bytes());
        if self.failing == Some(operation) {
            let shown = format!("the store is away: {operation} {name:?}");
            return Box::pin(async { Err(shown.into()) });
        }
        answer
    }
}

impl TokenStore for Recording {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.call("get", name, self.inner.get(name))
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        self.records.add(record);
        debug(&seen);
        self.call("publish", name, self.inner.publish(name, seen, record, time_to_live))
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.names.add(owner.as_str().as_bytes());
        debug(owner);
        self.call("lease", name, self.inner.lease(name, owner, term))
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.call("extend", name, self.inner.extend(name, owner, term))
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.call("release", name, self.inner.release(name, owner))
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

/// A Keystone that issues tokens, or rejects and echoes a login while its status is not 201.
#[derive(Clone)]
struct Keystone(Arc<Mutex<u16>>);

impl Keystone {
    fn transport(&self) -> Transport {
        let keystone = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let status = *keystone.0.lock().unwrap();
            async move {
                if status != 201 {
                    return server(status, Echo::Message).oneshot(request).await;
                }
                let nova = CatalogService::new("compute").standard_endpoints("RegionOne", NOVA);
                let document = match request.uri().path().starts_with("/v2.0") {
                    true => {
                        V2Token::new(&token("issued"), "u", "alice").service(&nova).document().to_string()
                    }
                    false => {
                        V3Token::new("u", "alice").project("p", "demo").service(&nova).document().to_string()
                    }
                };
                let response = Response::builder().status(201).header("x-subject-token", token("issued"));
                let body = BodyExt::map_err(Full::new(Bytes::from(document)), BoxError::from).boxed_unsync();
                Ok(response.body(body)?)
            }
        }))
    }

    fn set(&self, status: u16) {
        *self.0.lock().unwrap() = status;
    }
}

/// Returns texts that must not be found: the cache id, and the key of the store.
fn more_secrets(cache_id: Option<String>) -> Vec<String> {
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut texts = vec![String::from_utf8(KEY.into()).unwrap(), hex, format!("{KEY:?}")];
    texts.extend([BASE64_STANDARD_NO_PAD.encode(KEY), BASE64_URL_SAFE_NO_PAD.encode(KEY)]);
    texts.extend(cache_id);
    texts
}

#[track_caller]
fn assert_hidden(what: &str, bytes: &[u8], secrets: &[String]) {
    let text = String::from_utf8_lossy(bytes);
    assert_clean(&text);
    for secret in secrets {
        assert!(!text.contains(secret), "{what} contains {secret}");
    }
}

/// Shows an error of this crate, or of a store, with its sources.
fn show(error: &(dyn StdError + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        debug(&error);
        display(&error);
        next = error.source();
    }
}

/// Lets several plugins log in, share, refuse, renew and fail, with a store that fails in this operation.
async fn share<C: Credentials + Debug>(make: &impl Fn() -> C, shared: &SharedTokens) {
    let keystone = Keystone(Arc::new(Mutex::new(201)));
    let plugin = || RenewingPlugin::new(make(), keystone.transport()).store(shared.clone());
    let (one, other) = (plugin(), plugin().stored_as(token("name")));
    debug(&(&one, &other, shared));
    for plugin in [&one, &other, &plugin()] {
        let access = plugin.access().await.unwrap();
        assert_eq!(access.auth_ref().unwrap().auth_token(), Some(&*token("issued")));
        debug(&access);
        plugin.invalidate(&access, &Origin::from_uri(&Uri::from_static(NOVA)).unwrap());
        debug(&plugin.access().await);
        debug(&plugin.renew().await);
    }
    for status in [401, 503] {
        keystone.set(status);
        for plugin in [&one, &plugin()] {
            plugin.reset();
            error(&plugin.renew().await.unwrap_err());
            debug(&plugin.access().await);
        }
    }
    match shared.access_info(&make()).await {
        Ok(found) => debug(&found),
        Err(crate_error) => drop(error(&crate_error)),
    }
    shared.close().await;
}

fn user() -> User {
    User::new().username("alice").user_domain_name("Default")
}

async fn share_in_memory<C: Credentials + Debug>(make: impl Fn() -> C) {
    let secrets = more_secrets(make().cache_id());
    debug(&make().public_id());
    for failing in [None, Some("get"), Some("publish"), Some("lease"), Some("release")] {
        let sealed = Recording::new(failing);
        let shared = SharedTokens::new(sealed.clone(), StoreKey::new(KEY));
        share(&make, &shared.also_read_with(StoreKey::new([1; 32]))).await;
        // The key of records that are not sealed is known to everybody. They contain no token as it is.
        let open = Recording::new(failing);
        share(&make, &SharedTokens::without_sealing(open.clone())).await;
        for store in [sealed, open] {
            let (names, records) = (store.names.take(), store.records.take());
            assert!(!names.is_empty() && (failing.is_some() || !records.is_empty()), "{failing:?}");
            for name in names {
                assert_hidden("a name", &name, &secrets);
            }
            for record in records {
                assert_hidden("a record", &record, &secrets);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stores_do_not_show_secrets() {
    capture_output();
    let auth_url = || Uri::from_static(KEYSTONE);
    share_in_memory(|| V3Credentials::new(auth_url(), AuthMethod::password(user(), password()))).await;
    share_in_memory(|| V3Credentials::new(auth_url(), AuthMethod::application_credential("id", password())))
        .await;
    share_in_memory(|| {
        V3Credentials::new(auth_url(), AuthMethod::token(token("own"))).scope(Scope::new().project_id("p"))
    })
    .await;
    share_in_memory(|| V3Credentials::new(auth_url(), AuthMethod::totp(user(), token("totp")))).await;
    share_in_memory(|| GenericCredentials::password(auth_url(), user(), password())).await;
    let v2 = Uri::from_static("https://keystone.example.com/v2.0");
    share_in_memory(|| V2Credentials::password(v2.clone(), user(), password())).await;
    // A URL with a password is refused.
    let with_password: Uri = format!("https://admin:{CANARY}@keystone.example.com/v3").parse().unwrap();
    let odd = V3Credentials::new(with_password, AuthMethod::password(user(), password()));
    debug(&odd.public_id());
    let plugin = RenewingPlugin::new(odd, Keystone(Arc::new(Mutex::new(201))).transport());
    error(&plugin.store(SharedTokens::in_memory()).access().await.unwrap_err());
    let output = output();
    assert!(output.contains("cannot use the token store"));
    assert_hidden("the output", output.as_bytes(), &more_secrets(None));
}

#[tokio::test(start_paused = true)]
async fn records_that_are_not_used_are_logged_without_secrets() {
    capture_output();
    let store = Recording::new(None);
    let make = || {
        V3Credentials::new(
            Uri::from_static(KEYSTONE),
            AuthMethod::password(User::new().user_id("bob"), password()),
        )
    };
    let keystone = Keystone(Arc::new(Mutex::new(201)));
    let plugin = |tokens| RenewingPlugin::new(make(), keystone.transport()).store(tokens);
    let shared = || SharedTokens::new(store.clone(), StoreKey::new(KEY));
    plugin(shared()).access().await.unwrap();
    let names = store.names.take();
    let name = names.iter().find_map(|name| EntryName::parse(std::str::from_utf8(name).ok()?)).unwrap();
    let record = store.inner.get(&name).await.unwrap().unwrap();
    let changed = |at: usize, byte| {
        let mut changed = record.clone();
        changed[at] ^= byte;
        changed
    };
    let (cut, stranger) = (record[..20].to_vec(), token("issued").into_bytes());
    for changed in [changed(60, 1), changed(3, 1), changed(2, 8), cut, stranger] {
        let current = store.inner.get(&name).await.unwrap().unwrap();
        let hour = Duration::from_secs(3600);
        assert!(
            store.inner.publish(&name, Some(&Version::from_record(&current)), &changed, hour).await.unwrap()
        );
        plugin(shared()).access().await.unwrap();
    }
    let output = output();
    for reason in ["it was changed", "it was made with another key", "another version", "it is not a record"]
    {
        assert!(output.contains(reason), "{reason}");
    }
    assert_hidden("the output", output.as_bytes(), &more_secrets(make().cache_id()));
}

#[cfg(unix)]
#[tokio::test]
async fn files_do_not_show_secrets() {
    capture_output();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("canary-{}", std::process::id()));
    let make = || V3Credentials::new(Uri::from_static(KEYSTONE), AuthMethod::password(user(), password()));
    let keystone = Keystone(Arc::new(Mutex::new(201)));
    let store = FileStore::open(&directory).unwrap();
    debug(&store);
    let shared = store.into_shared().unwrap().answer_timeout(Duration::from_secs(60));
    debug(&shared);
    let plugin = RenewingPlugin::new(make(), keystone.transport()).store(shared.clone());
    let access = plugin.access().await.unwrap();
    plugin.invalidate(&access, &Origin::from_uri(&Uri::from_static(NOVA)).unwrap());
    plugin.access().await.unwrap();
    keystone.set(401);
    error(&plugin.renew().await.unwrap_err());
    shared.close().await;
    let mut files = 0;
    for file in std::fs::read_dir(&directory).unwrap() {
        let file = file.unwrap();
        let secrets = more_secrets(make().cache_id());
        assert_hidden("a file name", file.file_name().as_encoded_bytes(), &secrets);
        if file.file_type().unwrap().is_file() {
            assert_hidden("a file", &std::fs::read(file.path()).unwrap(), &secrets);
            files += 1;
        }
    }
    assert!(files >= 3, "{files}");
    std::fs::remove_dir_all(&directory).unwrap();
    show(&FileStore::open("/dev/null/canary").unwrap_err());
    assert_hidden("the output", output().as_bytes(), &more_secrets(None));
}

/// A server that echoes all that it receives, in this form.
async fn echo_server(form: fn(&str) -> String) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut received = [0; 4096];
                while let Ok(length @ 1..) = connection.read(&mut received).await {
                    let text = String::from_utf8_lossy(&received[..length]).replace(['\r', '\n'], " ");
                    if connection.write_all(form(&text).as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Asks a store that cannot be used, and shows the errors.
async fn ask(store: impl TokenStore + Clone) {
    debug(&store);
    let name = EntryName::parse(&format!("{}.token", "A".repeat(43))).unwrap();
    show(&*store.get(&name).await.unwrap_err());
    let record = token("record");
    show(&*store.publish(&name, None, record.as_bytes(), Duration::from_secs(60)).await.unwrap_err());
    show(&*store.lease(&name, &LeaseOwner::random(), Duration::from_secs(60)).await.unwrap_err());
    let shared = SharedTokens::new(store, StoreKey::new(KEY));
    debug(&shared);
    let make = || V3Credentials::new(Uri::from_static(KEYSTONE), AuthMethod::password(user(), password()));
    let keystone = Keystone(Arc::new(Mutex::new(201)));
    let plugin = RenewingPlugin::new(make(), keystone.transport()).store(shared.clone());
    assert!(plugin.access().await.is_ok());
    if let Err(crate_error) = shared.access_info(&make()).await {
        error(&crate_error);
    }
}

#[tokio::test]
async fn the_passwords_of_servers_are_not_shown() {
    capture_output();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let secret = token("server");
    // A connection to a server that misbehaves is tried again for a while, so all are asked at the same time.
    let mut asked = JoinSet::new();
    let mut redis = vec![closed];
    for form in [
        |text: &str| format!("-ERR {text}\r\n"),
        |text: &str| format!("-WRONGPASS {text}\r\n"),
        |text: &str| format!("-MOVED 1 {text}\r\n"),
        |text: &str| format!("+{text}\r\n"),
        |text: &str| format!("{text}\r\n"),
    ] {
        redis.push(echo_server(form).await);
    }
    for address in redis {
        for url in [
            format!("redis://:{secret}@{address}/"),
            format!("redis://alice:{secret}@{address}/0"),
            format!("redis://{address}/?password={secret}"),
        ] {
            let Ok(store) = RedisStore::new(&*url).inspect_err(|crate_error| show(crate_error)) else {
                continue;
            };
            asked.spawn(ask(store));
        }
        let store =
            RedisStore::new(format!("redis://{address}/")).unwrap().username("alice").password(&*secret);
        asked.spawn(ask(store));
    }
    for url in [
        format!("redis://:{secret}@"),
        format!("redis://:{secret}@host:port/"),
        format!("http://:{secret}@host/"),
        format!("redis://:{secret}@host/{secret}"),
        secret.clone(),
    ] {
        if let Err(crate_error) = RedisStore::new(&*url) {
            show(&crate_error);
        }
        if let Err(crate_error) = RedisStore::cluster([&*url]) {
            show(&crate_error);
        }
        if let Err(crate_error) = RedisStore::sentinel([&*url], "main") {
            show(&crate_error);
        }
    }
    let mut memcached = vec![closed];
    for form in [
        |text: &str| format!("CLIENT_ERROR {text}\r\n"),
        |text: &str| format!("SERVER_ERROR {text}\r\n"),
        |text: &str| format!("VALUE {text}\r\n"),
        |text: &str| format!("{text}\r\n"),
    ] {
        memcached.push(echo_server(form).await);
    }
    for address in memcached {
        let builder = || MemcachedStore::builder().server(address.to_string());
        debug(&builder());
        asked.spawn(ask(builder().build().unwrap()));
        let builder = builder().username_and_password("alice", &*secret);
        debug(&builder);
        asked.spawn(ask(builder.build().unwrap()));
    }
    assert_eq!(asked.len(), 34);
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
    assert_hidden("the output", output().as_bytes(), &more_secrets(None));
}
