use std::{thread, time::Duration};

use super::{name, test_directory::TestDirectory};
use crate::store::{FileStore, TokenStore, Version};

const HOUR: Duration = Duration::from_secs(3_600);

const THREADS: u32 = 4;
const EACH: u32 = 50;

/// Replaces the number in the record by the next one, until it has done so often enough.
fn count(store: FileStore) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut counted = 0;
        while counted < EACH {
            let record = store.get(&name()).await.unwrap();
            let number =
                record.as_ref().map_or(0, |record| u32::from_be_bytes(record.as_slice().try_into().unwrap()));
            let seen = record.map(|record| Version::from_record(&record));
            let next = (number + 1).to_be_bytes();
            counted += u32::from(store.publish(&name(), seen.as_ref(), &next, HOUR).await.unwrap());
        }
    });
}

#[test]
fn threads_of_one_process_lose_no_record_of_each_other() {
    let (directory, store) = TestDirectory::with_store();
    // Two share a handle, and two have one each.
    let stores = [store.clone(), store.clone(), directory.open(), directory.open()];
    let threads = stores.map(|store| thread::spawn(|| count(store)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let record = runtime.block_on(store.get(&name())).unwrap().unwrap();
    assert_eq!(record, (THREADS * EACH).to_be_bytes());
}

#[test]
fn a_record_that_is_replaced_is_never_absent() {
    let (directory, store) = TestDirectory::with_store();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let number = |number: u32| number.to_be_bytes();
    assert!(runtime().block_on(store.publish(&name(), None, &number(0), HOUR)).unwrap());
    let writer = thread::spawn(move || {
        runtime().block_on(async {
            for next in 1..3_000 {
                let seen = Version::from_record(&number(next - 1));
                assert!(store.publish(&name(), Some(&seen), &number(next), HOUR).await.unwrap());
            }
        });
    });
    let reader = directory.open();
    runtime().block_on(async {
        while !writer.is_finished() {
            assert!(reader.get(&name()).await.unwrap().is_some());
        }
    });
    writer.join().unwrap();
}
