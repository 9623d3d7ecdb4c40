//! Tests of the file store that use its parts.

mod boot_clock;
mod child;
mod contents;
mod default_path;
mod ends;
mod killed;
mod network;
mod processes;
mod records;
mod refused;
mod sweep;
mod test_directory;
mod threads;

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use crate::store::{EntryName, LeaseOwner};

fn name() -> EntryName {
    EntryName::new(&"a".repeat(43), "token")
}

/// Returns the owner that this process calls so.
fn owner(name: &'static str) -> LeaseOwner {
    static OWNERS: LazyLock<Mutex<HashMap<&str, LeaseOwner>>> = LazyLock::new(Mutex::default);
    OWNERS.lock().unwrap().entry(name).or_insert_with(LeaseOwner::random).clone()
}

/// The name of the file of [`name`].
fn file_name() -> String {
    name().as_str().to_owned()
}
