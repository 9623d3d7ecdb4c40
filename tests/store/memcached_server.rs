//! A memcached for tests where no real one is installed: `get`, `gets`, `set`, `add` and `cas` of the text protocol.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

const MAX_LINE: u64 = 2048;
const MAX_KEY: usize = 250;
const MAX_VALUE: usize = 1_048_496;
const MAX_RELATIVE: i64 = 2_592_000;

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    shared: Arc<Shared>,
    place: Place,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Clone)]
pub(crate) enum Place {
    Tcp(u16),
    Unix(PathBuf),
}

struct Shared {
    started: Instant,
    password: Option<String>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    items: HashMap<Vec<u8>, Item>,
    last_cas: u64,
    /// How far the clock was put forward.
    skipped: Duration,
    is_stopped: bool,
    is_killed: bool,
    connections: Vec<Wire>,
}

struct Item {
    flags: u32,
    value: Vec<u8>,
    cas: u64,
    /// In seconds since the start of the server.
    end: Option<u64>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    /// Starts a server. Port 0 is a free one. With a password, which is `USERNAME PASSWORD`, connections have to
    /// authenticate.
    pub(crate) fn start(place: &Place, password: Option<&str>) -> io::Result<Self> {
        let (listener, place) = match place {
            Place::Tcp(port) => {
                let listener = TcpListener::bind(("127.0.0.1", *port))?;
                let port = listener.local_addr()?.port();
                (Listener::Tcp(listener), Place::Tcp(port))
            }
            Place::Unix(path) => {
                let _ = fs::remove_file(path);
                (Listener::Unix(UnixListener::bind(path)?), place.clone())
            }
        };
        let shared = Arc::new(Shared {
            started: Instant::now(),
            password: password.map(str::to_owned),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || shared.accept(&listener)
        });
        Ok(Self { shared, place, acceptor: Some(acceptor) })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Stops to respond, but keeps all connections, and lets clients connect.
    pub(crate) fn stop(&self) {
        self.shared.state.lock().unwrap().is_stopped = true;
    }

    pub(crate) fn go_on(&self) {
        self.shared.state.lock().unwrap().is_stopped = false;
        self.shared.changed.notify_all();
    }

    /// Puts the clock forward.
    pub(crate) fn skip(&self, time: Duration) {
        self.shared.state.lock().unwrap().skipped += time;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.state.lock().unwrap();
            state.is_killed = true;
            std::mem::take(&mut state.connections)
        };
        self.shared.changed.notify_all();
        for connection in connections {
            connection.shut_down();
        }
        // Wakes the acceptor, which then closes the listener.
        match &self.place {
            Place::Tcp(port) => drop(TcpStream::connect(("127.0.0.1", *port))),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        self.acceptor.take().unwrap().join().unwrap();
    }
}

impl Listener {
    fn accept(&self) -> io::Result<Wire> {
        Ok(match self {
            Self::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                Wire::Tcp(stream)
            }
            Self::Unix(listener) => Wire::Unix(listener.accept()?.0),
        })
    }
}

impl Wire {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn shut_down(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub(super) fn connect(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Tcp(port) => Self::Tcp(TcpStream::connect(("127.0.0.1", *port))?),
            Place::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        })
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &Listener) {
        loop {
            let Ok(connection) = listener.accept() else { continue };
            let mut state = self.state.lock().unwrap();
            if state.is_killed {
                return;
            }
            state.connections.push(connection.try_clone().unwrap());
            drop(state);
            let shared = self.clone();
            thread::spawn(move || {
                // The client has gone, or the server is killed.
                let _ = shared.serve(connection);
            });
        }
    }

    fn serve(&self, connection: Wire) -> io::Result<()> {
        let mut output = connection.try_clone()?;
        let mut input = BufReader::new(connection);
        let mut is_authenticated = self.password.is_none();
        loop {
            let mut line = Vec::new();
            (&mut input).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
                line.pop();
            }
            let command = String::from_utf8_lossy(&line).into_owned();
            let fields: Vec<_> = command.split(' ').filter(|field| !field.is_empty()).collect();
            let response = self.respond(&fields, &mut input, &mut is_authenticated)?;
            self.wait_while_stopped()?;
            output.write_all(&response)?;
        }
    }

    fn wait_while_stopped(&self) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |state| state.is_stopped && !state.is_killed).unwrap();
        if state.is_killed { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn respond(
        &self,
        fields: &[&str],
        input: &mut impl BufRead,
        is_authenticated: &mut bool,
    ) -> io::Result<Vec<u8>> {
        match *fields {
            [verb @ ("get" | "gets"), ref keys @ ..] if !keys.is_empty() && *is_authenticated => {
                if keys.iter().any(|key| key.len() > MAX_KEY) {
                    return Ok(b"CLIENT_ERROR line format\r\n".to_vec());
                }
                self.wait_while_stopped()?;
                Ok(self.look_up(keys, verb == "gets"))
            }
            [verb @ ("set" | "add"), key, flags, end, length] => {
                self.store(verb, key, [flags, end, length, "0"], input, is_authenticated)
            }
            ["cas", key, flags, end, length, cas] => {
                self.store("cas", key, [flags, end, length, cas], input, is_authenticated)
            }
            _ if !*is_authenticated => Ok(b"CLIENT_ERROR unauthenticated\r\n".to_vec()),
            _ => Ok(b"ERROR\r\n".to_vec()),
        }
    }

    /// The seconds that the server counts.
    fn now(&self, state: &State) -> u64 {
        (self.started.elapsed() + state.skipped).as_secs()
    }

    fn look_up(&self, keys: &[&str], with_cas: bool) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let now = self.now(&state);
        let mut response = Vec::new();
        for key in keys {
            let item = state.items.get(key.as_bytes()).filter(|item| item.end.is_none_or(|end| now < end));
            if let Some(Item { flags, value, cas, .. }) = item {
                let cas = if with_cas { format!(" {cas}") } else { String::new() };
                write!(response, "VALUE {key} {flags} {}{cas}\r\n", value.len()).unwrap();
                response.extend_from_slice(value);
                response.extend_from_slice(b"\r\n");
            }
        }
        response.extend_from_slice(b"END\r\n");
        response
    }

    fn store(
        &self,
        verb: &str,
        key: &str,
        [flags, end, length, cas]: [&str; 4],
        input: &mut impl BufRead,
        is_authenticated: &mut bool,
    ) -> io::Result<Vec<u8>> {
        let numbers = (flags.parse(), end.parse::<i64>(), length.parse::<usize>(), cas.parse::<u64>());
        let (Ok(flags), Ok(end), Ok(length), Ok(cas)) = numbers else {
            return Ok(b"CLIENT_ERROR bad command line format\r\n".to_vec());
        };
        if key.len() > MAX_KEY {
            return Ok(b"CLIENT_ERROR bad command line format\r\n".to_vec());
        }
        let mut value = vec![0; length];
        input.read_exact(&mut value)?;
        let mut line_end = [0; 2];
        input.read_exact(&mut line_end)?;
        self.wait_while_stopped()?;
        if line_end != *b"\r\n" {
            return Ok(b"CLIENT_ERROR bad data chunk\r\n".to_vec());
        }
        if !*is_authenticated {
            *is_authenticated = verb == "set" && self.password.as_deref().map(str::as_bytes) == Some(&*value);
            let response: &[u8] = match (*is_authenticated, verb) {
                (true, _) => b"STORED\r\n",
                (false, "set") => b"CLIENT_ERROR authentication failure\r\n",
                _ => b"CLIENT_ERROR unauthenticated\r\n",
            };
            return Ok(response.to_vec());
        }
        let mut state = self.state.lock().unwrap();
        if length + key.len() > MAX_VALUE {
            state.items.remove(key.as_bytes());
            return Ok(b"SERVER_ERROR object too large for cache\r\n".to_vec());
        }
        let now = self.now(&state);
        let found = state.items.get(key.as_bytes()).filter(|item| item.end.is_none_or(|end| now < end));
        let refusal: Option<&[u8]> = match (verb, found) {
            ("add", Some(_)) => Some(b"NOT_STORED\r\n"),
            ("cas", None) => Some(b"NOT_FOUND\r\n"),
            ("cas", Some(found)) if found.cas != cas => Some(b"EXISTS\r\n"),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Ok(refusal.to_vec());
        }
        state.last_cas += 1;
        let item = Item { flags, value, cas: state.last_cas, end: end_at(now, end) };
        state.items.insert(key.as_bytes().to_vec(), item);
        Ok(b"STORED\r\n".to_vec())
    }
}

/// Returns when an item ends, by the clock of the server.
fn end_at(now: u64, seconds: i64) -> Option<u64> {
    match seconds {
        0 => None,
        ..0 => Some(0),
        1..=MAX_RELATIVE => Some(now + seconds.unsigned_abs()),
        date => {
            let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            Some(date.unsigned_abs().checked_sub(unix).map_or(0, |left| now + left))
        }
    }
}

/// Sends commands on a connection of their own, and returns the first `lines` lines of the response.
pub(crate) fn send(place: &Place, commands: &[u8], lines: usize) -> Vec<String> {
    let mut connection = Wire::connect(place).unwrap();
    connection.write_all(commands).unwrap();
    BufReader::new(connection).lines().take(lines).map(Result::unwrap).collect()
}

/// Returns whether a server listens.
pub(crate) fn listens(place: &Place) -> bool {
    Wire::connect(place).is_ok()
}

pub(crate) fn unix(path: &Path) -> Place {
    Place::Unix(path.to_owned())
}
