//! Replays the recorded cases of keystoneauth1 through the public API.
//!
//! The data (`data/*.jsonl`, one case per line) was recorded by running keystoneauth1 5.18.1, which is distributed
//! under the Apache License 2.0. `CONFORMANCE_DIR` selects another directory with files of the same format.
//!
//! Each case has one of these outcomes:
//! - It agrees.
//! - It differs by decision: a rule in `differences*.rs` covers each difference.
//! - It is not expressible: it uses an input that a Rust API cannot express. The input is printed.
//! - It fails: anything else, including a malformed line. The difference is printed, and the test fails.
//!
//! A rule must cover only what its decision describes. To check this, each covered result of the data in this directory
//! is changed slightly, and no rule may cover the changed result.

mod access;
mod arguments;
mod auth_requests;
mod catalog;
mod changed_case;
mod clock;
mod comparison;
mod differences;
mod differences_discovery;
mod differences_federation;
mod differences_requests;
mod differences_sessions;
mod discovery;
mod json;
mod known_texts;
mod lifetime;
mod malformed;
mod operations;
mod outcome;
mod plugins;
mod replay;
mod rule_precision;
mod servers;
mod session;
mod versions;

use std::process::ExitCode;

use serde_json::{Value, value::RawValue};

use replay::{Difference, Incomplete, Rule};

/// A case: one line of a file. The document is stored as text, to keep the order of its members.
#[derive(Clone, serde::Deserialize)]
struct Case {
    id: String,
    expect: Value,
    #[serde(default)]
    body: Option<Box<RawValue>>,
    #[serde(default)]
    plugin: Option<plugins::PluginSpec>,
    #[serde(default)]
    exchanges: Vec<servers::Exchange>,
    #[serde(flatten)]
    input: serde_json::Map<String, Value>,
}

impl Case {
    /// Returns the text of the document, or `null` if there is none.
    fn text(&self) -> &str {
        self.body.as_ref().map_or("null", |body| body.get())
    }

    fn body(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }

    /// Returns an input, or `null` if there is none.
    fn input(&self, name: &str) -> &Value {
        self.input.get(name).unwrap_or(&Value::Null)
    }

    /// Sets the expected result to that of the difference.
    fn with_expected(&self, mutant: &Difference) -> Self {
        let mut case = self.clone();
        let result = case.expect.pointer_mut(&format!("/calls/{}", mutant.call));
        match (result, mutant.subject.split_once(": ")) {
            (Some(result), None) => *result = mutant.expected.clone(),
            (Some(result), Some((_, member))) => {
                if let Some(member) = result.get_mut(member) {
                    *member = mutant.expected.clone();
                }
            }
            (None, _) => {}
        }
        case
    }

    fn calls(&self) -> &[Value] {
        self.input("calls").as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// The data files, how to replay them, and the rules for their differences.
const FILES: [outcome::DataFile; 6] = [
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

const OPERATIONS: &[&[Rule]] =
    &[differences_discovery::DISCOVERY, differences_requests::PLUGINS, differences_federation::FEDERATION];

fn main() -> ExitCode {
    outcome::run("conformance", &FILES, known_texts::has_texts_of_case)
}
