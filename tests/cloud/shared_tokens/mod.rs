//! Tokens that processes share through a store.

mod process;
mod proxy;

use std::time::Duration;

use http::Uri;
use tower_keystone::{
    IdentityPlugin, RenewingPlugin, SharedTokens, StoreKey,
    store::{EntryName, LeaseOwner, MemoryStore, StoreFuture, TokenStore, Version},
};

use self::{
    process::{ANSWER_TIMEOUT, Account, Processes},
    proxy::Proxy,
};
use crate::{
    place::{self, Place},
    support::{Person, Real, past, real},
};

/// How many processes start at once.
const FLEET: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_logs_in_once_with_files() {
    let Some(real) = real() else { return };
    a_fleet_logs_in_once(real, Place::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_logs_in_once_with_valkey() {
    let (Some(real), Some(valkey)) = (real(), Place::valkey()) else { return };
    a_fleet_logs_in_once(real, valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_logs_in_once_with_memcached() {
    let Some(real) = real() else { return };
    a_fleet_logs_in_once(real, Place::memcached()).await;
}

/// All processes start with an empty store: one login. Keystone revokes their token: one more.
async fn a_fleet_logs_in_once(real: &Real, place: Place) {
    let setup = Setup::new(real, place).await;
    let mut fleet = Processes::default();
    fleet.start(FLEET, setup.auth_url(), &setup.place.settings(), Account::Of(&setup.person));
    assert_eq!(fleet.responses(), ["200"; FLEET]);
    assert_eq!(setup.logins(), 1);

    let revoked = setup.token().await;
    real.admin().await.revoke(&revoked).await;
    fleet.request();
    assert_eq!(fleet.responses(), ["200"; FLEET]);
    assert_eq!(setup.logins(), 2);
    assert_ne!(setup.token().await, revoked);

    // A program that starts later takes the token.
    fleet.start(1, setup.auth_url(), &setup.place.settings(), Account::Of(&setup.person));
    fleet.request();
    assert_eq!(fleet.responses(), ["200"; FLEET + 1]);
    assert_eq!(setup.logins(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_renews_a_short_lived_token_for_all() {
    const PROCESSES: usize = 10;
    let Some(real) = real() else { return };
    let setup = Setup::at(real, &real.short_auth_url(), Place::file()).await;
    let mut fleet = Processes::default();
    fleet.start(PROCESSES, setup.auth_url(), &setup.place.settings(), Account::Of(&setup.person));
    let mut rounds = 0;
    while setup.logins() < 4 {
        // Placement rejects a request that takes longer than the lifetime of its token. It is sent once more.
        assert_eq!(fleet.responses(), ["200"; PROCESSES], "round {rounds}");
        fleet.request();
        rounds += 1;
    }
    assert_eq!(fleet.responses(), ["200"; PROCESSES]);
    // A token is renewed after 2.4 s at the earliest, and Keystone says in whole seconds when it has issued it.
    let logins = setup.proxy.logins();
    for pair in logins.windows(2) {
        let [earlier, later] = pair else { unreachable!() };
        assert!(later.requested_at - earlier.requested_at >= Duration::from_secs(1), "two logins at once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_one_failed_login_for_all() {
    const PROCESSES: usize = 20;
    let Some(real) = real() else { return };
    let setup = Setup::new(real, Place::file()).await;
    let mut fleet = Processes::default();
    let account = Account::WrongPassword(&setup.person);
    fleet.start(PROCESSES, setup.auth_url(), &setup.place.settings(), account);
    let mut responses = fleet.responses();
    // Later requests and later processes do not try either.
    fleet.request();
    fleet.start(1, setup.auth_url(), &setup.place.settings(), account);
    responses.extend(fleet.responses());
    assert!(responses.iter().all(|response| response.contains("401")), "{responses:#?}");
    let logins = setup.proxy.logins();
    // On a very busy machine, the delay is over before the last request.
    let first = logins[0].requested_at;
    let delay = Duration::from_secs(30);
    assert!(
        logins.iter().skip(1).all(|later| later.requested_at - first >= delay),
        "{} logins",
        logins.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_unscoped_token_and_the_one_of_their_project() {
    const PROCESSES: usize = 20;
    let Some(real) = real() else { return };
    let setup = Setup::new(real, Place::file()).await;
    let mut fleet = Processes::default();
    fleet.start(PROCESSES, setup.auth_url(), &setup.place.settings(), Account::Rescoped(&setup.person));
    assert_eq!(fleet.responses(), ["200"; PROCESSES]);
    let logins = setup.proxy.logins();
    let logins: Vec<_> = logins.iter().map(|login| (&*login.method, login.is_scoped)).collect();
    assert_eq!(logins, [("password", false), ("token", true)]);
}

#[tokio::test]
async fn a_stored_token_that_has_expired_is_not_used() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("admin").await;
    let proxy = Proxy::start(&real.short_auth_url()).await;
    let tokens = SharedTokens::new(Lasting(MemoryStore::new()), StoreKey::random());
    let plugin = || {
        let credentials = person.credentials(proxy.auth_url().clone());
        RenewingPlugin::new(credentials, real.transport()).store(tokens.clone())
    };
    let access = plugin().access().await.unwrap();
    let info = access.auth_ref().unwrap();
    past(info.expires().unwrap().unwrap()).await;
    let credentials = person.credentials(proxy.auth_url().clone());
    assert!(tokens.access_info(&credentials).await.unwrap().is_none());
    let next = plugin().access().await.unwrap();
    assert_ne!(next.auth_ref().unwrap().auth_token(), info.auth_token());
    assert_eq!(proxy.logins().len(), 2);
}

/// A user, a store, and a proxy in front of Keystone.
struct Setup {
    person: Person,
    place: Place,
    proxy: Proxy,
}

impl Setup {
    async fn new(real: &Real, place: Place) -> Self {
        Self::at(real, &real.auth_url(), place).await
    }

    async fn at(real: &Real, auth_url: &Uri, place: Place) -> Self {
        let person = real.admin().await.person("admin").await;
        Self { person, place, proxy: Proxy::start(auth_url).await }
    }

    fn auth_url(&self) -> &Uri {
        self.proxy.auth_url()
    }

    fn logins(&self) -> usize {
        self.proxy.logins().len()
    }

    /// Returns the token in the store.
    async fn token(&self) -> String {
        let tokens = place::open(&self.place.settings(), ANSWER_TIMEOUT);
        let credentials = self.person.credentials(self.auth_url().clone());
        let info = tokens.access_info(&credentials).await.unwrap().expect("a token is stored");
        info.auth_token().unwrap().to_owned()
    }
}

/// A store that keeps records for an hour longer.
#[derive(Debug)]
struct Lasting(MemoryStore);

impl TokenStore for Lasting {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.0.get(name)
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        self.0.publish(name, seen, record, time_to_live + Duration::from_secs(3600))
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.0.lease(name, owner, term)
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.0.extend(name, owner, term)
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.0.release(name, owner)
    }
}
