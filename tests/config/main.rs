//! Replays the recorded cases of openstacksdk's configuration through the public API.
//!
//! The data (`data/configuration.jsonl`, one case per line) was recorded by running openstacksdk 4.22.0 and keystoneauth1
//! 5.18.1, which are distributed under the Apache License 2.0. A case has files, environment variables and arguments.
//! Compared are the result or the error, the warnings, and the requests of the first login. `CONFORMANCE_DIR` selects
//! another directory with a file of the same format.
//!
//! The data also lists what the identity plugin was created with. The public API does not return this, because it
//! contains secrets. The requests of the login show it.
//!
//! A case has one of the outcomes of the conformance test, and the rules in `differences.rs` are checked as there.

#[path = "../conformance/changed_case.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod changed_case;
#[path = "../conformance/comparison.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod comparison;
#[path = "../conformance/json.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod json;
#[path = "../renewal/log.rs"]
mod log;
#[path = "../conformance/outcome.rs"]
mod outcome;
#[path = "../conformance/replay.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod replay;
#[path = "../conformance/rule_precision.rs"]
mod rule_precision;
#[path = "../conformance/servers.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod servers;

mod authentication;
mod configuration;
mod differences;
mod differences_errors;
mod error;
mod expected;
mod input;
mod service;
mod warnings;
mod written;

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::{Map, Value};

use replay::{Difference, Incomplete};

/// A case: one line of the file.
#[derive(Clone, serde::Deserialize)]
struct Case {
    id: String,
    #[serde(default)]
    files: BTreeMap<String, input::File>,
    env: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    options: input::Options,
    #[serde(default)]
    args: Map<String, Value>,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    services: Option<Vec<String>>,
    #[serde(default)]
    exchanges: Vec<servers::Exchange>,
    expect: Value,
}

impl Case {
    fn working_directory(&self) -> &str {
        self.cwd.as_deref().unwrap_or("/cwd")
    }

    /// Sets the recorded result to that of the difference.
    fn with_expected(&self, mutant: &Difference) -> Self {
        let mut case = self.clone();
        let members: Vec<_> = mutant.subject.split(['.', ':']).map(str::trim).collect();
        match members.as_slice() {
            ["load"] => case.expect = mutant.expected.clone(),
            // The requests are a member of the authentication, too.
            ["authentication"] => {
                let requests = case.expect["authentication"]["requests"].take();
                case.expect["authentication"] = mutant.expected.clone();
                case.expect["authentication"]["requests"] = requests;
            }
            members => {
                let pointer = members.iter().map(|member| format!("/{member}")).collect::<String>();
                if let Some(member) = case.expect.pointer_mut(&pointer) {
                    *member = mutant.expected.clone();
                }
            }
        }
        case
    }
}

fn main() -> ExitCode {
    let rules: &[&[replay::Rule]] = &[differences_errors::ERRORS, differences::LOADED_CLOUDS];
    outcome::run("config", &[("configuration", configuration::replay, rules)], |_, _| true)
}
