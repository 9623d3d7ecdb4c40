use std::{sync::Arc, time::Duration};

use super::{file_name, name, owner, test_directory::TestDirectory};
use crate::store::{
    FileStore, TokenStore, Version,
    file::{file_store::Inner, held_leases::HeldLeases, sweep::Sweeps},
};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn on_a_network_mount_records_are_compared_and_nothing_is_locked() {
    let (directory, _store) = TestDirectory::with_store();
    let inner = Inner {
        path: directory.path().into(),
        has_locks: false,
        leases: HeldLeases::default(),
        sweeps: Sweeps::new(),
    };
    let store = FileStore { inner: Arc::new(inner) };
    for owner in [owner("first"), owner("second")] {
        assert!(store.lease(&name(), &owner, HOUR).await.unwrap());
        assert!(store.extend(&name(), &owner, HOUR).await.unwrap());
        store.release(&name(), &owner).await.unwrap();
    }
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    assert!(!store.publish(&name(), None, b"second", HOUR).await.unwrap());
    assert!(store.publish(&name(), Some(&Version::from_record(b"first")), b"second", HOUR).await.unwrap());
    assert_eq!(directory.names(), [file_name()]);
}
