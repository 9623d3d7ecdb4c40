//! Processes of the tests: this test binary, started again.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{file_name, name, owner};
use crate::store::{
    FileStore, TokenStore,
    file::{directory::Directory, key_file, mutex::Locked, temporary::Temporary},
};

const ROLE: &str = "TOWER_KEYSTONE_FILE_STORE_ROLE";
const PATH: &str = "TOWER_KEYSTONE_FILE_STORE_PATH";

/// What its lines begin with, so that those of the test harness are told apart.
const MARK: &str = "child: ";

/// A process with a role. It is killed when it is dropped.
pub(super) struct ChildProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl ChildProcess {
    pub(super) fn start(role: &str, path: &Path) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()), role, path)
    }

    /// Starts a process that cannot write a byte to any file.
    pub(super) fn start_without_space(role: &str, path: &Path) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
            .arg(env::current_exe().unwrap());
        Self::spawn(command, role, path)
    }

    fn spawn(mut command: Command, role: &str, path: &Path) -> Self {
        command.args([
            "--exact",
            "store::file::tests::child::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(ROLE, role).env(PATH, path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Waits for what the process says next.
    pub(super) fn next_line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the process has ended");
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Lets the process go on.
    pub(super) fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(super) fn wait(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(text: impl std::fmt::Display) {
    // Not by `println`: a line has to be one write, as other threads write too.
    std::io::stdout().write_all(format!("\n{MARK}{text}\n").as_bytes()).unwrap();
}

fn wait_for_parent() {
    let _ = std::io::stdin().read(&mut [0]).unwrap();
}

#[test]
#[ignore = "other tests start it in a process of its own"]
fn child() {
    let (Ok(role), Some(path)) = (env::var(ROLE), env::var_os(PATH)) else { return };
    let path = PathBuf::from(path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(play(&role, &path));
}

async fn play(role: &str, path: &Path) {
    match role {
        "hold a lease for an hour" => hold_lease(path, Duration::from_secs(3_600)).await,
        "hold a lease for a moment" => hold_lease(path, Duration::from_millis(100)).await,
        "hold the lock" => hold_lock(path),
        "write" => write(path),
        "publish" => publish(path).await,
        "log in once" => log_in_once(path).await,
        _ => panic!("no role is called {role}"),
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Takes the lease, and publishes when it is told to.
async fn hold_lease(path: &Path, term: Duration) {
    let store = FileStore::open(path).unwrap();
    assert!(store.lease(&name(), &owner("child"), term).await.unwrap());
    say("has the lease");
    wait_for_parent();
    say(store.extend(&name(), &owner("child"), term).await.unwrap());
    say(store.publish(&name(), None, b"of the child", HOUR).await.unwrap());
}

fn hold_lock(path: &Path) {
    let locked = Locked::try_new(&Directory::open_or_create(path).unwrap()).unwrap();
    assert!(locked.is_some());
    say("has the lock");
    wait_for_parent();
}

/// Begins to replace a record, under the lock.
fn write(path: &Path) {
    let directory = Directory::open_or_create(path).unwrap();
    let _locked = Locked::try_new(&directory).unwrap().unwrap();
    let new = Temporary::create(&directory).unwrap();
    new.write(b"a part").unwrap();
    say("has written a part");
    wait_for_parent();
    new.rename(&file_name()).unwrap();
}

async fn publish(path: &Path) {
    let store = FileStore::open(path).unwrap();
    say(store
        .publish(&name(), Some(&crate::store::Version::from_record(b"first")), b"second", HOUR)
        .await
        .unwrap_err());
    say(store.lease(&name(), &owner("child"), HOUR).await.unwrap_err());
    say(store.into_shared().unwrap_err());
}

/// Reads a record, or makes it under the lease.
async fn log_in_once(path: &Path) {
    say("is ready");
    wait_for_parent();
    let store = FileStore::open(path).unwrap();
    let key = key_file::read_or_create(&Directory::open_or_create(path).unwrap()).unwrap();
    say(format_args!("{:?}", key.as_bytes()));
    let busy = path.with_file_name("busy");
    let mut logins = 0;
    while store.get(&name()).await.unwrap().is_none() {
        if !store.lease(&name(), &owner("child"), HOUR).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..10))).await;
            continue;
        }
        let only = std::fs::File::create_new(&busy);
        drop(only.expect("another process has the lease too"));
        if store.get(&name()).await.unwrap().is_none() {
            logins += 1;
            assert!(store.publish(&name(), None, b"token", HOUR).await.unwrap());
        }
        std::fs::remove_file(&busy).unwrap();
        store.release(&name(), &owner("child")).await.unwrap();
    }
    say(logins);
}
