use std::{
    fs::{self, File},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    name, owner,
    test_directory::{TestDirectory, write_private},
};
use crate::store::{
    EntryName, FileStore, TokenStore,
    file::{
        directory::Directory,
        sweep::{Kind, MAX_SPACE, Sweeps, sweep},
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Waits for the end of the sweep that the first record starts.
async fn end_of_sweep(store: &FileStore) {
    while Arc::strong_count(&store.inner) > 1 {
        tokio::task::yield_now().await;
    }
}

fn other_name() -> EntryName {
    EntryName::new(&"b".repeat(43), "token")
}

#[tokio::test]
async fn what_has_ended_is_removed_and_what_is_alive_stays() {
    let (directory, store) = TestDirectory::with_store();
    store.publish(&name(), None, b"alive", HOUR).await.unwrap();
    end_of_sweep(&store).await;
    store.publish(&other_name(), None, b"ended", Duration::ZERO).await.unwrap();
    store.lease(&name(), &owner("held"), HOUR).await.unwrap();
    store.lease(&other_name(), &owner("given back"), Duration::ZERO).await.unwrap();
    store.release(&other_name(), &owner("given back")).await.unwrap();
    let old = directory.join("new-0123456789abcdef");
    write_private(&old, b"");
    let modified = SystemTime::now() - Duration::from_secs(601);
    File::options().write(true).open(&old).unwrap().set_modified(modified).unwrap();
    write_private(&directory.join("new-0123456789abcdee"), b"");
    write_private(&directory.join("notes.txt"), b"of the user");

    let space = sweep(&Directory::open_or_create(directory.path()).unwrap(), true).unwrap();
    let alive = name().as_str().to_owned();
    let left =
        [alive.clone(), alive + ".lease", "lock".into(), "new-0123456789abcdee".into(), "notes.txt".into()];
    assert_eq!(directory.names(), left);
    assert_eq!(space, 3 * 4_096);
}

#[tokio::test]
async fn a_lease_that_has_ended_but_is_held_is_not_removed() {
    let (directory, store) = TestDirectory::with_store();
    store.lease(&name(), &owner("late"), Duration::ZERO).await.unwrap();
    sweep(&Directory::open_or_create(directory.path()).unwrap(), true).unwrap();
    assert!(directory.join(&format!("{}.lease", name().as_str())).exists());
}

#[test]
fn names_of_others_are_left_alone() {
    let identity = "A-_9".repeat(11);
    let identity = &identity[..43];
    assert_eq!(Kind::from_name(&format!("{identity}.token")), Some(Kind::Record));
    assert_eq!(Kind::from_name(&format!("{identity}.token.lease")), Some(Kind::Lease));
    assert_eq!(Kind::from_name(&format!("{identity}.lease")), Some(Kind::Record));
    assert_eq!(Kind::from_name("new-0123456789abcdef"), Some(Kind::Temporary));
    for name in
        ["key", "lock", "new-", "new-0123456789abcde", "new-0123456789abcdeg", "a.token", ".lease", ".", ".."]
    {
        assert_eq!(Kind::from_name(name), None, "{name}");
    }
    assert_eq!(Kind::from_name(&format!("{identity}a.token")), None);
    assert_eq!(Kind::from_name(identity), None);
    assert_eq!(Kind::from_name(&format!("{identity}.")), None);
    assert_eq!(Kind::from_name(&format!("{}.token", "+".repeat(43))), None);
}

#[test]
fn a_sweep_is_due_at_first_each_minute_and_after_many_bytes() {
    let sweeps = Sweeps::new();
    let start = Instant::now();
    assert!(sweeps.take_turn(start));
    assert!(!sweeps.take_turn(start + Duration::from_secs(59)));
    assert!(sweeps.take_turn(start + Duration::from_secs(60)));
    sweeps.count_published((64 << 20) - 4_097);
    sweeps.count_published(1);
    assert!(!sweeps.take_turn(start + Duration::from_secs(61)));
    sweeps.count_published(1);
    assert!(sweeps.take_turn(start + Duration::from_secs(61)));
    assert!(!sweeps.take_turn(start + Duration::from_secs(62)));
}

#[tokio::test]
async fn nothing_is_published_into_a_full_directory() {
    let (directory, store) = TestDirectory::with_store();
    assert!(store.publish(&name(), None, b"first", HOUR).await.unwrap());
    end_of_sweep(&store).await;
    store.inner.sweeps.set_space(MAX_SPACE);
    let error = store.publish(&other_name(), None, b"second", HOUR).await.unwrap_err();
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    store.inner.sweeps.set_space(MAX_SPACE - 1);
    assert!(store.publish(&other_name(), None, b"second", HOUR).await.unwrap());
}

#[tokio::test]
async fn publishing_sweeps_at_first() {
    let (directory, store) = TestDirectory::with_store();
    store.publish(&other_name(), None, b"ended", Duration::ZERO).await.unwrap();
    let path = directory.join(other_name().as_str());
    while fs::exists(&path).unwrap() {
        let _ = directory.open().publish(&name(), None, b"alive", HOUR).await.unwrap();
    }
}
