//! The store in files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tower_keystone::store::{FileStore, LeaseOwner};

use crate::contract::{self, RealClock};

/// A directory that is removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("tower-keystone-{}", LeaseOwner::random().as_str())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CLOCK: RealClock = RealClock { unit: Duration::from_millis(20) };

#[tokio::test]
async fn two_handles_keep_the_contract() {
    let directory = Directory::new();
    let (one, other) =
        (FileStore::open(directory.path()).unwrap(), FileStore::open(directory.path()).unwrap());
    contract::check(&one, &other, &CLOCK).await;
}

#[tokio::test]
async fn two_clones_keep_the_contract() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    contract::check(&store, &store.clone(), &CLOCK).await;
}
