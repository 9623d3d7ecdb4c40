//! The processes of the fleet, as the test sees them.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::child::VARIABLE;

/// How a process begins the line about a request that failed.
const LOST: &str = "lost ";

/// A line that a process has written, with the number of the process. `None` is its end.
type Line = (usize, Option<String>);

/// Processes that make requests.
pub(crate) struct Fleet {
    processes: Vec<Process>,
    lines: Receiver<Line>,
    sender: Sender<Line>,
    settings: Value,
}

struct Process {
    child: Child,
    commands: ChildStdin,
    is_alive: bool,
}

/// What a process has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) succeeded: usize,
    pub(crate) longest_ms: u64,
    /// Since the process was started.
    pub(crate) logins: usize,
}

impl Fleet {
    /// Creates a fleet without processes. They log in at this URL, and open the store with these settings.
    pub(crate) fn new(auth_url: &str, store: &Value, answer_timeout: Duration) -> Self {
        let (sender, lines) = channel();
        let answer_timeout = answer_timeout.as_millis();
        let settings = json!({
            "auth_url": auth_url, "password": "wonderland", "store": store, "answer_timeout": answer_timeout,
        });
        Self { processes: Vec::new(), lines, sender, settings }
    }

    /// Sets the password of the processes that are started from now on.
    pub(crate) fn set_password(&mut self, password: &str) {
        self.settings["password"] = password.into();
    }

    /// Starts processes, and waits until all of them can make requests. Returns their numbers.
    pub(crate) fn start(&mut self, count: usize) -> Vec<usize> {
        let first = self.processes.len();
        for number in first..first + count {
            let mut child = Command::new(env::current_exe().unwrap())
                .env(VARIABLE, self.settings.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (commands, lines) =
                (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
            let sender = self.sender.clone();
            thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    let _ = sender.send((number, Some(line)));
                }
                let _ = sender.send((number, None));
            });
            self.processes.push(Process { child, commands, is_alive: true });
        }
        let numbers: Vec<_> = (first..first + count).collect();
        self.wait(&numbers, |line| (line == "ready").then_some(()));
        numbers
    }

    /// Returns the numbers of the processes that are alive.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|&number| self.processes[number].is_alive).collect()
    }

    /// Tells processes to make requests.
    pub(crate) fn send_get(&mut self, numbers: &[usize], count: usize) {
        for &number in numbers {
            writeln!(self.processes[number].commands, "get {count}").unwrap();
        }
    }

    /// Waits until these processes have made their requests.
    pub(crate) fn wait_done(&mut self, numbers: &[usize]) -> Vec<Done> {
        self.wait(numbers, |line| {
            let mut numbers = line.strip_prefix("done ")?.split(' ').map(|number| number.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            Some(Done { succeeded: next() as usize, longest_ms: next(), logins: next() as usize })
        })
    }

    /// Waits until a request of each of these processes has failed.
    pub(crate) fn wait_lost(&mut self, numbers: &[usize]) {
        self.wait(numbers, |line| line.starts_with(LOST).then_some(()));
    }

    /// Returns the number of a process that has begun to log in, after waiting for one.
    pub(crate) fn wait_login(&mut self) -> usize {
        loop {
            let (number, line) = self.lines.recv().unwrap();
            match line.as_deref() {
                Some("login") => return number,
                Some(line) => panic!("process {number} before a login began: {line}"),
                None => assert!(!self.processes[number].is_alive, "process {number} has ended"),
            }
        }
    }

    /// Ends a process at once, as `kill -9` does.
    pub(crate) fn kill(&mut self, number: usize) {
        let process = &mut self.processes[number];
        process.is_alive = false;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// Sends a signal such as `STOP` to a process.
    pub(crate) fn signal(&self, number: usize, signal: &str) {
        let id = self.processes[number].child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for a line of each of these processes.
    fn wait<T>(&mut self, numbers: &[usize], read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut results: Vec<Option<T>> = numbers.iter().map(|_| None).collect();
        while results.iter().any(Option::is_none) {
            let (number, line) = self.lines.recv().unwrap();
            let Some(line) = line else {
                assert!(!self.processes[number].is_alive, "process {number} has ended");
                continue;
            };
            let index = numbers.iter().position(|&waiting| waiting == number);
            match (index, read(&line)) {
                (Some(index), Some(result)) => results[index] = Some(result),
                _ => assert!(!line.starts_with(LOST), "process {number}: {line}"),
            }
        }
        results.into_iter().map(Option::unwrap).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
