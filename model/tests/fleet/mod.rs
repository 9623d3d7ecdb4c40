//! Plugins that share their token by a store, as if each of them were in a process of its own.

use std::sync::OnceLock;

use tower_keystone::{
    SharedTokens, StoreKey, TokenStore,
    store::{EntryName, LeaseOwner, MemoryStore, StoreFuture, Version},
};

use super::*;

/// Creates a plugin of another process.
fn process(cloud: &Cloud, store: impl TokenStore, name: &str) -> Cloud {
    let tokens = SharedTokens::new(store, StoreKey::new([7; 32]));
    let keystone = cloud.keystone.clone();
    keystone.0.has_dates.store(true, SeqCst);
    let plugin = RenewingPlugin::new(keystone.clone(), Transport::new(UnusedClient))
        .clock(keystone.clone())
        .seed(7)
        .store(tokens)
        .stored_as(name);
    Cloud { keystone, plugin, dropped: Arc::default() }
}

/// Creates the plugins of processes with the same identity.
fn fleet<const N: usize>(cloud: &Cloud) -> [Cloud; N] {
    let store = MemoryStore::new();
    [(); N].map(|()| process(cloud, store.clone(), "alice"))
}

#[test]
fn processes_that_start_at_once_share_one_login() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let fleet: [Cloud; 3] = fleet(&cloud);
        for access in all(fleet.iter().flat_map(|process| process.callers(2)).collect()).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_process_whose_plugin_is_dropped_gives_its_lease_back() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let [dropped, other] = fleet(&cloud);
        let caller = spawn(dropped.clone().into_access());
        yield_now().await;
        caller.abort();
        drop(dropped);
        other.access().await.unwrap();
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn a_process_whose_renewal_is_cancelled_gives_its_lease_back() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let [reset, other] = fleet(&cloud);
        let callers = reset.callers(2);
        yield_now().await;
        reset.reset();
        let others = other.callers(1);
        for access in all(callers.into_iter().chain(others).collect()).await {
            access.unwrap();
        }
        reset.access().await.unwrap();
        assert!(cloud.keystone.logins() <= 3);
    });
}

#[test]
fn a_process_that_cannot_renew_its_token_leaves_it_to_the_others() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let [first, second] = fleet(&cloud);
        let (first, _) = first.with_token(DUE).await;
        cloud.keystone.set_next([LoginResult::Rejected]);
        assert_eq!(number(&first.access().await.unwrap()), 1);
        // The renewal in the background, and what it does in the store.
        for _ in 0..200 {
            yield_now().await;
        }
        assert_eq!(number(&second.access().await.unwrap()), 1);
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn a_failure_is_shared_by_all_processes() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let fleet: [Cloud; 3] = fleet(&cloud);
        cloud.keystone.set_next([LoginResult::Rejected; 3]);
        for access in all(fleet.iter().flat_map(|process| process.callers(1)).collect()).await {
            access.unwrap_err();
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_rejected_token_is_replaced_once() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let fleet: [Cloud; 2] = fleet(&cloud);
        let mut used = Vec::new();
        for process in &fleet {
            used.push(process.access().await.unwrap());
        }
        let reject_and_retry = |process: Cloud, used: Arc<ServiceAccess>| async move {
            process.invalidate(&used);
            number(&process.access().await.unwrap())
        };
        let tasks = fleet.into_iter().zip(used).map(|(process, used)| spawn(reject_and_retry(process, used)));
        assert_eq!(all(tasks.collect()).await, [2, 2]);
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn a_token_that_was_sealed_for_another_identity_is_not_used() {
    check_schedules(SCHEDULES / 20, |cloud| async move {
        let store = CopyingStore::default();
        let [alice, bob] = ["alice", "bob"].map(|name| process(&cloud, store.clone(), name));
        assert_eq!(number(&alice.access().await.unwrap()), 1);
        assert_eq!(number(&bob.access().await.unwrap()), 2);
    });
}

/// A store in which a stranger copies the first token to all entries of tokens.
#[derive(Clone, Debug, Default)]
struct CopyingStore {
    store: MemoryStore,
    first: Arc<OnceLock<EntryName>>,
}

impl TokenStore for CopyingStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        let is_token = name.as_str().ends_with(".token");
        self.store.get(self.first.get().filter(|_| is_token).unwrap_or(name))
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        if name.as_str().ends_with(".token") {
            self.first.get_or_init(|| name.clone());
        }
        self.store.publish(name, seen, record, time_to_live)
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.store.lease(name, owner, term)
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.store.extend(name, owner, term)
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.store.release(name, owner)
    }
}
