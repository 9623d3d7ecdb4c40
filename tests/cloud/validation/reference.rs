//! keystonemiddleware, in a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use http::Uri;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::support::Real;

/// Runs a program of this directory with the Python that has keystonemiddleware and keystoneauth.
pub(super) fn python(real: &Real, program: &str) -> Command {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cloud/validation");
    let mut command = Command::new(real.text("python"));
    command.args(["-I", "-B"]).arg(directory.join(program)).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The process of `keystonemiddleware_app.py`, which documents its input. It ends when its standard input does.
pub(super) struct Reference {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Child,
}

impl Reference {
    pub(super) fn start(real: &Real) -> Self {
        let mut process = python(real, "keystonemiddleware_app.py").spawn().expect("Python starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { input, output, _process: process }
    }

    /// Serves the application behind a middleware with these options, and returns its URL.
    pub(super) fn serve(&mut self, options: &Value) -> Uri {
        let answer: Value = block_in_place(|| {
            let mut line = String::new();
            writeln!(self.input, "{options}").expect("it reads its input");
            self.output.read_line(&mut line).expect("its output is text");
            serde_json::from_str(&line).expect("it answers in JSON; its errors are above")
        });
        answer["url"].as_str().and_then(|url| url.parse().ok()).expect("a URL")
    }
}
