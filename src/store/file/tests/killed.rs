//! Processes that are killed or stopped in the middle of something.

use std::time::Duration;

use rustix::process::Signal;

use super::{
    child::ChildProcess,
    file_name, name, owner,
    test_directory::{TestDirectory, write_private},
};
use crate::store::{
    TokenStore, Version,
    file::{directory::Directory, key_file},
};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn the_lease_of_a_killed_process_is_free_at_once() {
    let (directory, store) = TestDirectory::with_store();
    let mut child = ChildProcess::start("hold a lease for an hour", directory.path());
    assert_eq!(child.next_line(), "has the lease");
    assert!(!store.lease(&name(), &owner("parent"), HOUR).await.unwrap());
    child.kill();
    assert!(store.lease(&name(), &owner("parent"), HOUR).await.unwrap());
}

#[tokio::test]
async fn the_lease_of_a_stopped_process_is_free_after_its_term_and_it_overwrites_nothing_later() {
    let (directory, store) = TestDirectory::with_store();
    let mut child = ChildProcess::start("hold a lease for a moment", directory.path());
    assert_eq!(child.next_line(), "has the lease");
    child.signal(Signal::STOP);
    while !store.lease(&name(), &owner("parent"), HOUR).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(store.publish(&name(), None, b"of the parent", HOUR).await.unwrap());
    child.signal(Signal::CONT);
    child.go_on();
    assert_eq!(child.next_line(), "false");
    assert_eq!(child.next_line(), "false");
    child.wait();
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"of the parent");
    assert!(store.extend(&name(), &owner("parent"), HOUR).await.unwrap());
}

#[tokio::test]
async fn a_stopped_process_keeps_its_lease_until_its_term_is_over() {
    let (directory, store) = TestDirectory::with_store();
    let mut child = ChildProcess::start("hold a lease for an hour", directory.path());
    assert_eq!(child.next_line(), "has the lease");
    child.signal(Signal::STOP);
    assert!(!store.lease(&name(), &owner("parent"), HOUR).await.unwrap());
    child.signal(Signal::CONT);
    child.go_on();
    assert_eq!(child.next_line(), "true");
    assert_eq!(child.next_line(), "true");
    child.wait();
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"of the child");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_stopped_in_the_lock_stops_writes_only_and_one_that_is_killed_nothing() {
    let (directory, store) = TestDirectory::with_store();
    store.publish(&name(), None, b"first", HOUR).await.unwrap();
    let seen = Version::from_record(b"first");
    let mut child = ChildProcess::start("hold the lock", directory.path());
    assert_eq!(child.next_line(), "has the lock");
    child.signal(Signal::STOP);
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"first");
    let error = store.publish(&name(), Some(&seen), b"second", HOUR).await.unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    child.kill();
    assert!(store.publish(&name(), Some(&seen), b"second", HOUR).await.unwrap());
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_writes_changes_nothing() {
    let (directory, store) = TestDirectory::with_store();
    let mut child = ChildProcess::start("write", directory.path());
    assert_eq!(child.next_line(), "has written a part");
    child.kill();
    assert_eq!(store.get(&name()).await.unwrap(), None);
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    let names = directory.names();
    assert_eq!(names[..2], [file_name(), "lock".to_owned()]);
    assert!(names[2].starts_with("new-"), "{names:?}");
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    let (directory, store) = TestDirectory::with_store();
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    let mut child = ChildProcess::start_without_space("publish", directory.path());
    for _ in 0..3 {
        let error = child.next_line();
        assert!(error.contains("cannot be written"), "{error}");
    }
    child.wait();
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"first");
    assert_eq!(directory.names(), [file_name(), "lock".to_owned()]);
}

#[test]
fn the_key_of_a_process_that_was_killed_before_it_removed_the_temporary_name_is_used() {
    let (directory, _store) = TestDirectory::with_store();
    write_private(&directory.join("new-0123456789abcdef"), &[7; 32]);
    std::fs::hard_link(directory.join("new-0123456789abcdef"), directory.join("key")).unwrap();
    let key = key_file::read_or_create(&Directory::open_or_create(directory.path()).unwrap()).unwrap();
    assert_eq!(key.as_bytes(), &[7; 32]);
    assert_eq!(directory.names(), ["key"]);
}
