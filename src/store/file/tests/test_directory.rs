use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::store::FileStore;

/// A private directory, which is removed when it is dropped.
pub(super) struct TestDirectory {
    parent: PathBuf,
    path: PathBuf,
}

impl TestDirectory {
    /// Names a directory that does not exist, in one that does.
    pub(super) fn missing() -> Self {
        let parent = std::env::temp_dir().join(format!("tower-keystone-{:016x}", fastrand::u64(..)));
        fs::DirBuilder::new().mode(0o700).create(&parent).unwrap();
        let path = parent.join("store");
        Self { parent, path }
    }

    pub(super) fn with_store() -> (Self, FileStore) {
        let directory = Self::missing();
        let store = directory.open();
        (directory, store)
    }

    pub(super) fn open(&self) -> FileStore {
        FileStore::open(&self.path).unwrap()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A path beside the store.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.parent.join(name)
    }

    /// The names of all files, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.parent);
    }
}

pub(super) fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    set_mode(path, 0o600);
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
