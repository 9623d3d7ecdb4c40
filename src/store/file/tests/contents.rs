//! Garbage in the files of the store.

use std::{fs, time::Duration};

use super::{
    file_name, name, owner,
    test_directory::{TestDirectory, write_private},
};
use crate::store::{TokenStore, file::entry::HEADER_LENGTH};

const HOUR: Duration = Duration::from_secs(3_600);

fn garbage() -> [Vec<u8>; 6] {
    [
        Vec::new(),
        vec![0; 4_096],
        vec![0xFF; 47],
        b"tk-file\x01".to_vec(),
        b"tklease\x01".to_vec(),
        vec![b'x'; 2_000_000],
    ]
}

#[tokio::test]
async fn garbage_in_a_record_is_no_record_and_is_replaced() {
    for bytes in garbage() {
        let (directory, store) = TestDirectory::with_store();
        write_private(&directory.join(&file_name()), &bytes);
        assert_eq!(store.get(&name()).await.unwrap(), None);
        assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
        assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"first");
    }
}

#[tokio::test]
async fn a_record_without_bytes_and_one_that_is_too_long_do_no_harm() {
    let (directory, store) = TestDirectory::with_store();
    assert!(store.publish(&name(), None, b"", HOUR).await.unwrap());
    assert_eq!(store.get(&name()).await.unwrap().unwrap(), b"");
    let path = directory.join(&file_name());
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(HEADER_LENGTH + 1_000_001, 0);
    write_private(&path, &bytes);
    assert_eq!(store.get(&name()).await.unwrap(), None);
}

#[tokio::test]
async fn garbage_in_a_lease_is_a_free_lease() {
    for bytes in garbage() {
        let (directory, store) = TestDirectory::with_store();
        write_private(&directory.join(&(file_name() + ".lease")), &bytes);
        assert!(store.lease(&name(), &owner("first"), HOUR).await.unwrap());
        assert!(!directory.open().lease(&name(), &owner("second"), HOUR).await.unwrap());
        assert!(store.extend(&name(), &owner("first"), HOUR).await.unwrap());
    }
}

#[tokio::test]
async fn garbage_in_the_lock_does_no_harm() {
    for bytes in garbage() {
        let (directory, store) = TestDirectory::with_store();
        write_private(&directory.join("lock"), &bytes);
        assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    }
}

#[test]
fn a_key_of_another_length_is_refused() {
    for bytes in garbage() {
        let (directory, store) = TestDirectory::with_store();
        write_private(&directory.join("key"), &bytes);
        let error = store.into_shared().unwrap_err().to_string();
        let key = directory.join("key");
        assert!(error.contains(&format!("`{}` is not a key of 32 bytes", key.display())), "{error}");
        assert!(error.contains(&format!("`rm {}`", key.display())), "{error}");
    }
}
