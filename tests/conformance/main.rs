//! Replays the recorded cases of keystoneauth1 through the public API.
//!
//! The data (`data/*.jsonl`, one case a line) was computed by running keystoneauth1 5.18.1, which is
//! distributed under the Apache License 2.0. `CONFORMANCE_DIR` names another directory of the same format.
//!
//! A case agrees, or every difference in it falls under a rule of `decided*.rs`, or it needs what is not
//! built yet, or it asks what a Rust API cannot express; the last two are named. Anything else fails the
//! test and is printed, and so does a line that is not of the format. A rule excuses what its reason covers and no
//! more: with the data here, every excused answer is changed a little, and no rule may excuse that.

mod access;
mod arguments;
mod auth_requests;
mod catalog;
mod comparison;
mod differences;
mod differences_discovery;
mod differences_requests;
mod differences_sessions;
mod discovery;
mod known_texts;
mod lifetime;
mod malformed;
mod operations;
mod outcome;
mod plugins;
mod rule_precision;
mod servers;
mod session;
mod versions;

use std::{fmt, fs, path::Path, process::ExitCode};

use serde_json::{Value, value::RawValue};

use differences::Rule;
use outcome::Outcome;

/// One line of a file. The document keeps the order of its members, so it is kept as text.
#[derive(Clone, serde::Deserialize)]
struct Case {
    id: String,
    expect: Value,
    #[serde(default)]
    body: Option<Box<RawValue>>,
    #[serde(default)]
    plugin: Option<plugins::Described>,
    #[serde(default)]
    exchanges: Vec<servers::Exchange>,
    #[serde(flatten)]
    input: serde_json::Map<String, Value>,
}

impl Case {
    /// The document as it is written; `null` where there is none.
    fn text(&self) -> &str {
        self.body.as_ref().map_or("null", |body| body.get())
    }

    fn body(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }

    /// An input; `null` where there is none.
    fn input(&self, name: &str) -> &Value {
        self.input.get(name).unwrap_or(&Value::Null)
    }

    fn calls(&self) -> &[Value] {
        self.input("calls").as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// One answer that is not the reference's.
struct Difference {
    /// The call that it is about, counted from 0, where the case has calls.
    call: usize,
    /// What was asked: the name of a property or of a look-up.
    question: String,
    expected: Value,
    /// `{"error": CLASS, "text": TEXT}` for an error.
    got: Value,
}

/// Why a case is not answered to its end.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unanswered {
    /// It needs this, which is not built yet.
    NotBuilt(String),
    /// The API has no words for this: a value of another kind, or a switch of the reference alone.
    NotExpressible(String),
    /// It is not of the format.
    Malformed(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt(what) => write!(f, "not built: {what}"),
            Self::NotExpressible(what) => write!(f, "not expressible: {what}"),
            Self::Malformed(what) => write!(f, "not of the format: {what}"),
        }
    }
}

impl std::error::Error for Unanswered {}

/// Answers a case as far as it can be, and notes where the answers differ.
type Replay = fn(&Case, &mut Vec<Difference>) -> Result<(), Unanswered>;

/// The files of the format, how to replay them, and what is decided otherwise in them.
const FILES: [(&str, Replay, &[&[Rule]]); 6] = [
    ("access", access::replay, &[differences::ACCESS]),
    ("catalog", catalog::replay, &[differences::CATALOG]),
    ("versions", versions::replay, &[differences_discovery::VERSIONS]),
    ("discovery", discovery::replay, OPERATIONS),
    ("auth_requests", auth_requests::replay, OPERATIONS),
    (
        "session",
        session::replay,
        &[differences_sessions::SESSIONS, differences_requests::PLUGINS, differences_discovery::DISCOVERY],
    ),
];

const OPERATIONS: &[&[Rule]] = &[differences_discovery::DISCOVERY, differences_requests::PLUGINS];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/data");
    let other = std::env::var_os("CONFORMANCE_DIR");
    let exact = other.is_none();
    let directory = other.map_or(own, Into::into);
    let mut all = Outcome::default();
    for (name, replay, rules) in FILES {
        let path = directory.join(format!("{name}.jsonl"));
        if !path.exists() {
            continue;
        }
        let rules: Vec<_> = rules.iter().copied().flatten().collect();
        let outcome = match fs::read_to_string(&path) {
            Ok(text) => Outcome::of(&text, replay, &rules, exact),
            Err(error) => {
                println!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        };
        println!("{name}: {outcome}");
        outcome.print_reasons(&rules);
        all.add(&outcome);
    }
    println!("\nall: {all}");
    if all.failed == 0 && all.total > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
