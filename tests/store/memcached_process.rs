//! Starts, kills, stops and continues a memcached.
//!
//! It is a real one if there is one, see `memcached.sh`, and otherwise `memcached_server.rs`. The environment variable
//! `TOWER_KEYSTONE_MEMCACHED` can be `real`, which downloads it if necessary, or `own`.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::memcached_server::{self, Place, Server};

/// A memcached, which is killed when this is dropped or when this process ends.
pub(crate) struct Memcached {
    options: Options,
    place: Place,
    directory: PathBuf,
    running: Option<Running>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// The username and password that a client has to send first.
    pub(crate) password: Option<(&'static str, &'static str)>,
    /// Listens at a Unix socket instead of a port.
    pub(crate) at_socket: bool,
    /// Uses the server of the tests, even if there is a real one.
    pub(crate) own: bool,
}

enum Running {
    Real(Process),
    Own(Server),
}

/// The command that starts a real memcached.
static REAL: LazyLock<Option<Vec<String>>> = LazyLock::new(|| {
    let found = match env::var("TOWER_KEYSTONE_MEMCACHED").as_deref() {
        Ok("real") => Some(find(&[]).expect("there is a memcached")),
        Ok("own") => None,
        Ok(other) => panic!("TOWER_KEYSTONE_MEMCACHED is {other}, not `real` or `own`"),
        Err(_) => find(&["--offline"]),
    };
    // Not captured by the test harness.
    let _ = match &found {
        Some(command) => writeln!(io::stderr(), "tested with memcached: {}", command.join(" ")),
        None => writeln!(io::stderr(), "tested with the memcached of the tests, not with a real one"),
    };
    found
});

fn find(arguments: &[&str]) -> Option<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/memcached.sh");
    let output = Command::new("bash").arg(script).args(arguments).stderr(Stdio::inherit()).output().ok()?;
    let lines = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| lines.lines().map(str::to_owned).collect())
}

impl Memcached {
    /// Starts a server on a free port, and waits until it accepts connections.
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("tower-keystone-memcached-{}-{number}", process::id()));
        fs::create_dir(&directory).unwrap();
        let place =
            if options.at_socket { memcached_server::unix(&directory.join("socket")) } else { Place::Tcp(0) };
        let mut memcached = Self { options, place, directory, running: None };
        memcached.start_again();
        memcached
    }

    /// Returns the address for a store.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Tcp(port) => format!("127.0.0.1:{port}"),
            Place::Unix(path) => path.to_str().unwrap().to_owned(),
        }
    }

    /// Kills the server. What it has is lost.
    pub(crate) fn kill(&mut self) {
        drop(self.running.take().expect("it runs"));
    }

    /// Starts a server at the same address, after it was killed.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none());
        let real = REAL.as_ref().filter(|_| !self.options.own);
        let deadline = Instant::now() + Duration::from_secs(60);
        // The port can be taken for a moment.
        while self.running.is_none() {
            assert!(Instant::now() < deadline, "memcached does not start at {}", self.address());
            self.running = match real {
                Some(command) => self.start_real(command).map(Running::Real),
                None => self.start_own().map(Running::Own),
            };
        }
    }

    fn start_own(&mut self) -> Option<Server> {
        let password = self.options.password.map(|(username, password)| format!("{username} {password}"));
        let server = Server::start(&self.place, password.as_deref()).ok()?;
        self.place = server.place().clone();
        Some(server)
    }

    fn start_real(&mut self, command: &[String]) -> Option<Process> {
        let port_file = self.directory.join("port");
        let mut memcached = Command::new(&command[0]);
        memcached
            .args(&command[1..])
            .args(["-U", "0", "-m", "64"])
            .env("MEMCACHED_PORT_FILENAME", &port_file);
        match &self.place {
            Place::Tcp(0) => memcached.args(["-l", "127.0.0.1", "-p", "-1"]),
            Place::Tcp(port) => memcached.args(["-l", "127.0.0.1", "-p", &port.to_string()]),
            Place::Unix(path) => memcached.args(["-a", "0600", "-s"]).arg(path),
        };
        if let Some((username, password)) = self.options.password {
            let file = self.directory.join("passwords");
            fs::write(&file, format!("{username}:{password}\n")).unwrap();
            memcached.arg("-Y").arg(file);
        }
        if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
            memcached.args(["-u", "root"]);
        }
        let mut process = Process::start(&mut memcached);
        while process.child.try_wait().unwrap().is_none() {
            if matches!(self.place, Place::Tcp(0)) {
                let ports = fs::read_to_string(&port_file).unwrap_or_default();
                let port = ports.lines().find_map(|line| line.strip_prefix("TCP INET: "));
                self.place = Place::Tcp(port.map_or(0, |port| port.parse().unwrap()));
            }
            if !matches!(self.place, Place::Tcp(0)) && memcached_server::listens(&self.place) {
                return Some(process);
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Stops the server: it keeps its connections and lets clients connect, but does not respond.
    pub(crate) fn stop(&self) {
        match self.running.as_ref().expect("it runs") {
            Running::Real(process) => process.signal("STOP"),
            Running::Own(server) => server.stop(),
        }
    }

    /// Continues a server that was stopped.
    pub(crate) fn go_on(&self) {
        match self.running.as_ref().expect("it runs") {
            Running::Real(process) => process.signal("CONT"),
            Running::Own(server) => server.go_on(),
        }
    }

    /// Lets this time pass for the server. Only a real one needs it in fact.
    pub(crate) async fn pass(&self, time: Duration) {
        match self.running.as_ref().expect("it runs") {
            // It counts seconds with a timer, which can be late.
            Running::Real(_) => tokio::time::sleep(time + Duration::from_secs(1)).await,
            Running::Own(server) => server.skip(time),
        }
    }

    /// Sends commands on a connection of their own, and returns the first `lines` lines of the response.
    pub(crate) fn send(&self, commands: &[u8], lines: usize) -> Vec<String> {
        memcached_server::send(&self.place, commands, lines)
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        drop(self.running.take());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A process that is killed when this is dropped, or when this process ends.
struct Process {
    child: Child,
    watcher: Child,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        // The pipe of its standard input ends with this process.
        let watcher = Command::new("sh")
            .args(["-c", "trap '' INT; read -r _; kill -9 \"$1\" 2>/dev/null", "sh", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, watcher }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watcher ends before the process is reaped, so that it cannot kill another one of the same id.
        let _ = self.child.kill();
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
        let _ = self.child.wait();
    }
}
