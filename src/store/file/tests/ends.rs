//! Callers and runtimes that go in the middle of an operation.

use std::{sync::mpsc, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{name, owner, test_directory::TestDirectory};
use crate::store::TokenStore;

const HOUR: Duration = Duration::from_secs(3_600);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_lease_whose_caller_has_gone_is_given_back() {
    let (directory, store) = TestDirectory::with_store();
    let (name, first, second) = (name(), owner("first"), owner("second"));
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (go_on, waiting) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || waiting.recv());
    {
        let _entered = runtime.enter();
        let mut lease = tokio_test::task::spawn(store.lease(&name, &first, HOUR));
        tokio_test::assert_pending!(lease.poll());
    }
    go_on.send(()).unwrap();
    // The only thread for files has done the work of the caller before this.
    assert!(runtime.block_on(directory.open().lease(&name, &second, HOUR)).unwrap());
}

#[test]
fn a_runtime_that_ends_leaves_a_whole_record_or_none() {
    let (directory, store) = TestDirectory::with_store();
    let name = name();
    let record = vec![7; 500_000];
    let ending = runtime();
    {
        let _entered = ending.enter();
        let _ = tokio_test::task::spawn(store.publish(&name, None, &record, HOUR)).poll();
    }
    drop(ending);
    let stored = runtime().block_on(directory.open().get(&name)).unwrap();
    assert!(stored.is_none_or(|stored| stored == record));
}

#[test]
fn a_lease_can_be_given_back_without_a_runtime() {
    let (directory, store) = TestDirectory::with_store();
    let (name, first, second) = (name(), owner("first"), owner("second"));
    assert!(runtime().block_on(store.lease(&name, &first, HOUR)).unwrap());
    drop(store.release(&name, &first));
    assert!(runtime().block_on(directory.open().lease(&name, &second, HOUR)).unwrap());
}
