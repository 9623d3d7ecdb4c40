//! Files and directories that are not private, or not what they should be.

use std::{
    ffi::CString,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        net::UnixListener,
    },
    path::Path,
    time::Duration,
};

use super::{
    file_name, name, owner,
    test_directory::{TestDirectory, set_mode, write_private},
};
use crate::{
    Error,
    store::{FileStore, TokenStore, file::checks::check_file},
};

const HOUR: Duration = Duration::from_secs(3_600);

#[track_caller]
fn assert_refused(error: &dyn std::fmt::Display, path: &Path, problem: &str, repair: &str) {
    let text = error.to_string();
    assert!(text.contains(&format!("`{}` {problem}", path.display())), "{text}");
    assert!(text.ends_with(&format!("; repair it with `{repair} {}`", path.display())), "{text}");
}

fn open_refused(path: &Path) -> Error {
    let error = FileStore::open(path).unwrap_err();
    assert!(matches!(error, Error::InvalidStore { .. }));
    error
}

#[test]
fn a_new_directory_and_those_above_it_are_private() {
    let directory = TestDirectory::missing();
    FileStore::open(directory.beside("a/b/c")).unwrap();
    for path in ["a", "a/b", "a/b/c"] {
        let mode = fs::metadata(directory.beside(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{path}");
    }
}

#[tokio::test]
async fn all_files_are_private() {
    let (directory, store) = TestDirectory::with_store();
    store.publish(&name(), None, b"first", HOUR).await.unwrap();
    store.lease(&name(), &owner("first"), HOUR).await.unwrap();
    store.into_shared().unwrap();
    let names = directory.names();
    assert_eq!(names, [file_name(), file_name() + ".lease", "key".into(), "lock".into()]);
    for name in names {
        assert_eq!(fs::metadata(directory.join(&name)).unwrap().mode() & 0o7777, 0o600, "{name}");
    }
}

#[test]
fn a_directory_for_others_is_refused() {
    for mode in [0o755, 0o750, 0o701, 0o777, 0o1777] {
        let (directory, _store) = TestDirectory::with_store();
        set_mode(directory.path(), mode);
        let problem = format!("has the mode {mode:04o}, which lets others use it");
        assert_refused(&open_refused(directory.path()), directory.path(), &problem, "chmod 700");
    }
}

#[tokio::test]
async fn a_directory_that_others_can_use_later_is_refused_too() {
    let (directory, store) = TestDirectory::with_store();
    set_mode(directory.path(), 0o755);
    for error in [
        store.get(&name()).await.unwrap_err(),
        store.publish(&name(), None, b"first", HOUR).await.unwrap_err(),
        store.lease(&name(), &owner("first"), HOUR).await.unwrap_err(),
    ] {
        assert_refused(&error, directory.path(), "has the mode 0755, which lets others use it", "chmod 700");
    }
}

#[test]
fn a_symbolic_link_to_a_directory_is_refused_also_with_a_separator_at_its_end() {
    let (directory, _store) = TestDirectory::with_store();
    let link = directory.beside("link");
    symlink(directory.path(), &link).unwrap();
    for path in [link.clone(), directory.beside("link/"), directory.beside("link/.")] {
        assert_refused(&open_refused(&path), &link, "is a symbolic link, not a directory", "rm");
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = TestDirectory::missing();
    write_private(directory.path(), b"");
    assert_refused(&open_refused(directory.path()), directory.path(), "is a file, not a directory", "rm");
}

#[track_caller]
fn assert_foreign(error: &dyn std::fmt::Display, path: &Path, owner: u32) {
    let user = rustix::process::geteuid();
    let problem = format!("belongs to the user {owner}, not to {}, who runs this program", user.as_raw());
    if user.is_root() {
        let text = error.to_string();
        assert!(text.contains(&format!("`{}` {problem}; set `XDG_CACHE_HOME`", path.display())), "{text}");
    } else {
        assert_refused(error, path, &problem, &format!("sudo chown -R {}", user.as_raw()));
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let (directory, _store) = TestDirectory::with_store();
    let (path, owner) = if rustix::process::geteuid().is_root() {
        chown(directory.path(), Some(65_534), None).unwrap();
        (directory.path(), 65_534)
    } else {
        (Path::new("/"), 0)
    };
    assert_foreign(&open_refused(path), path, owner);
}

#[test]
fn a_file_of_another_user_is_refused() {
    let (directory, _store) = TestDirectory::with_store();
    let own = directory.join("lock");
    write_private(&own, b"");
    let (path, owner) = if rustix::process::geteuid().is_root() {
        chown(&own, Some(65_534), None).unwrap();
        (own.as_path(), 65_534)
    } else {
        (Path::new("/etc/passwd"), 0)
    };
    assert_foreign(&check_file(path, &fs::metadata(path).unwrap()).unwrap_err(), path, owner);
}

/// Puts a wrong file somewhere.
type Make = fn(&TestDirectory, &Path);

/// Ways in which a file is wrong, with the problem and the command that repairs it.
const WRONG: [(Make, &str, &str); 7] = [
    (readable, "has the mode 0644, which lets others use it", "rm"),
    (linked, "has 2 hard links, and another name may be where others can read it", "rm"),
    (symlinked, "is a symbolic link, not a file", "rm"),
    (dangling, "is a symbolic link, not a file", "rm"),
    (named_pipe, "is a named pipe, not a file", "rm"),
    (socket, "is a socket, not a file", "rm"),
    (directory, "is a directory, not a file", "rm -r"),
];

fn readable(_: &TestDirectory, path: &Path) {
    write_private(path, &[1; 32]);
    set_mode(path, 0o644);
}

fn linked(store: &TestDirectory, path: &Path) {
    write_private(path, &[1; 32]);
    fs::hard_link(path, store.beside("other name")).unwrap();
}

fn symlinked(store: &TestDirectory, path: &Path) {
    let target = store.beside("target");
    write_private(&target, &[1; 32]);
    symlink(target, path).unwrap();
}

fn dangling(store: &TestDirectory, path: &Path) {
    symlink(store.beside("nothing"), path).unwrap();
}

fn named_pipe(_: &TestDirectory, path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    make_named_pipe(&path);
}

#[cfg(not(target_vendor = "apple"))]
fn make_named_pipe(path: &std::ffi::CStr) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[cfg(target_vendor = "apple")]
fn make_named_pipe(path: &std::ffi::CStr) {
    let path = std::ffi::OsStr::from_bytes(path.to_bytes());
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap().success());
}

fn socket(store: &TestDirectory, path: &Path) {
    // The path of a socket is short, so it gets its place by a new name.
    let short = store.beside("s");
    drop(UnixListener::bind(&short).unwrap());
    set_mode(&short, 0o600);
    fs::rename(short, path).unwrap();
}

fn directory(_: &TestDirectory, path: &Path) {
    fs::create_dir(path).unwrap();
}

#[tokio::test]
async fn a_wrong_file_in_place_of_a_record_is_refused() {
    for (make, problem, repair) in WRONG {
        let (directory, store) = TestDirectory::with_store();
        let path = directory.join(&file_name());
        make(&directory, &path);
        assert_refused(&store.get(&name()).await.unwrap_err(), &path, problem, repair);
        assert_refused(
            &store.publish(&name(), None, b"first", HOUR).await.unwrap_err(),
            &path,
            problem,
            repair,
        );
        assert_eq!(directory.names(), [file_name(), "lock".into()]);
    }
}

#[tokio::test]
async fn a_wrong_file_in_place_of_a_lease_is_refused() {
    for (make, problem, repair) in WRONG {
        let (directory, store) = TestDirectory::with_store();
        let path = directory.join(&(file_name() + ".lease"));
        make(&directory, &path);
        assert_refused(
            &store.lease(&name(), &owner("first"), HOUR).await.unwrap_err(),
            &path,
            problem,
            repair,
        );
    }
}

#[tokio::test]
async fn a_wrong_file_in_place_of_the_lock_is_refused() {
    for (make, problem, repair) in WRONG {
        let (directory, store) = TestDirectory::with_store();
        let path = directory.join("lock");
        make(&directory, &path);
        assert_refused(
            &store.publish(&name(), None, b"first", HOUR).await.unwrap_err(),
            &path,
            problem,
            repair,
        );
        assert!(!directory.beside("nothing").exists());
    }
}

#[test]
fn a_wrong_file_in_place_of_the_key_is_refused() {
    for (make, problem, repair) in WRONG {
        let (directory, store) = TestDirectory::with_store();
        let path = directory.join("key");
        make(&directory, &path);
        assert_refused(&store.into_shared().unwrap_err(), &path, problem, repair);
    }
}

#[test]
fn the_command_is_one_for_a_shell() {
    let directory = TestDirectory::missing();
    let path = directory.beside("it's $HOME");
    write_private(&path, b"");
    let error = open_refused(&path).to_string();
    let quoted = path.display().to_string().replace('\'', r"'\''");
    assert!(error.ends_with(&format!("; repair it with `rm '{quoted}'`")), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_cannot_be_written_is_an_error_for_each_write_and_a_missing_record_is_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nobody can create a file there, not even root.
    let store = FileStore::open("/proc/self/fd").unwrap();
    runtime.block_on(async {
        assert_eq!(store.get(&name()).await.unwrap(), None);
        let error = store.publish(&name(), None, b"first", HOUR).await.unwrap_err();
        assert!(error.to_string().contains("`/proc/self/fd/lock` cannot be"), "{error}");
        assert!(store.lease(&name(), &owner("first"), HOUR).await.is_err());
    });
    assert!(store.into_shared().is_err());
}
