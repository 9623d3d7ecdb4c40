use std::{fs, time::Duration};

use super::{file_name, name, owner, test_directory::TestDirectory};
use crate::store::{FileStore, MAX_RECORD, TokenStore, Version};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_record_is_replaced_only_if_it_has_the_version_that_was_seen() {
    let (_directory, store) = TestDirectory::with_store();
    assert_eq!(store.get(&name()).await.unwrap(), None);
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    assert!(!store.publish(&name(), None, b"second", HOUR).await.unwrap());
    assert!(!store.publish(&name(), Some(&Version::from_record(b"other")), b"second", HOUR).await.unwrap());
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"first");
    assert!(store.publish(&name(), Some(&Version::from_record(b"first")), b"second", HOUR).await.unwrap());
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"second");
}

#[tokio::test]
async fn a_record_that_has_ended_is_none() {
    let (_directory, store) = TestDirectory::with_store();
    assert!(store.publish(&name(), None, b"first", Duration::ZERO).await.unwrap());
    assert_eq!(store.get(&name()).await.unwrap(), None);
    assert!(!store.publish(&name(), Some(&Version::from_record(b"first")), b"second", HOUR).await.unwrap());
    assert!(store.publish(&name(), None, b"second", HOUR).await.unwrap());
}

#[tokio::test]
async fn the_longest_record_is_stored_and_a_longer_one_is_not() {
    let (_directory, store) = TestDirectory::with_store();
    let longest = vec![7; MAX_RECORD];
    assert!(store.publish(&name(), None, &longest, HOUR).await.unwrap());
    let seen = Version::from_record(&longest);
    let too_long = vec![8; MAX_RECORD + 1];
    assert!(!store.publish(&name(), Some(&seen), &too_long, HOUR).await.unwrap());
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), longest);
}

#[tokio::test]
async fn one_owner_at_a_time_has_the_lease_also_between_two_handles() {
    let (directory, store) = TestDirectory::with_store();
    for other in [store.clone(), directory.open()] {
        assert!(store.lease(&name(), &owner("first"), HOUR).await.unwrap());
        assert!(!other.lease(&name(), &owner("second"), HOUR).await.unwrap());
        assert!(!other.extend(&name(), &owner("second"), HOUR).await.unwrap());
        other.release(&name(), &owner("second")).await.unwrap();
        assert!(store.extend(&name(), &owner("first"), HOUR).await.unwrap());
        store.release(&name(), &owner("first")).await.unwrap();
        assert!(!store.extend(&name(), &owner("first"), HOUR).await.unwrap());
        assert!(other.lease(&name(), &owner("second"), HOUR).await.unwrap());
        other.release(&name(), &owner("second")).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_has_ended_goes_to_another_owner_and_is_not_extended() {
    let (directory, store) = TestDirectory::with_store();
    let other = directory.open();
    assert!(store.lease(&name(), &owner("first"), Duration::ZERO).await.unwrap());
    assert!(other.lease(&name(), &owner("second"), HOUR).await.unwrap());
    assert!(!store.extend(&name(), &owner("first"), HOUR).await.unwrap());
    store.release(&name(), &owner("first")).await.unwrap();
    assert!(!store.lease(&name(), &owner("first"), HOUR).await.unwrap());
    assert!(other.extend(&name(), &owner("second"), HOUR).await.unwrap());
}

#[tokio::test]
async fn a_lease_is_given_back_when_the_store_is_dropped() {
    let (directory, store) = TestDirectory::with_store();
    assert!(store.lease(&name(), &owner("first"), HOUR).await.unwrap());
    drop(store);
    assert!(directory.open().lease(&name(), &owner("second"), HOUR).await.unwrap());
}

#[tokio::test]
async fn a_directory_that_was_removed_is_made_again() {
    let (directory, store) = TestDirectory::with_store();
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    assert!(store.lease(&name(), &owner("first"), HOUR).await.unwrap());
    fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(store.get(&name()).await.unwrap(), None);
    assert!(!store.extend(&name(), &owner("first"), HOUR).await.unwrap());
    assert!(store.publish(&name(), None, b"second", HOUR).await.unwrap());
    assert!(store.lease(&name(), &owner("second"), HOUR).await.unwrap());
    assert_eq!(directory.names(), [file_name(), file_name() + ".lease", "lock".to_owned()]);
}

#[test]
fn what_was_published_is_there_when_the_runtime_has_ended() {
    let (directory, store) = TestDirectory::with_store();
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(run().block_on(async { store.publish(&name(), None, b"first", HOUR).await }).unwrap());
    let read = |store: FileStore| run().block_on(async move { store.get(&name()).await }).unwrap();
    assert_eq!(read(directory.open()).unwrap(), b"first");
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let (_directory, store) = TestDirectory::with_store();
    let name = name();
    let mut get = tokio_test::task::spawn(store.get(&name));
    tokio_test::assert_ready_err!(get.poll());
}
