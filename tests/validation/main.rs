//! Replays the recorded cases of keystonemiddleware through the public API of `ValidateTokenLayer`.
//!
//! The data (`data/validation.jsonl`, one case per line) was recorded by running keystonemiddleware 13.0.1 with
//! keystoneauth1 5.18.1, which are distributed under the Apache License 2.0. A case has the middleware's options, the
//! responses of Keystone, and the requests of clients. Compared are the response to the client, what the application
//! behind the layer sees, the requests to Keystone and other services, and the delays between them. `CONFORMANCE_DIR`
//! selects another directory with a file of the same format.
//!
//! keystonemiddleware runs behind WSGI, which joins the values of a repeated header by a comma, and which does not
//! distinguish `-` and `_` in the name of a header. The replay sends the headers as the client does.
//!
//! A case has one of the outcomes of the conformance test, and the rules in `differences*.rs` are checked as there. The
//! `flaws` of a case name the respects in which another implementation may differ.

#[path = "../conformance/changed_case.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod changed_case;
#[path = "../conformance/comparison.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod comparison;
#[path = "../conformance/json.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod json;
#[path = "../conformance/outcome.rs"]
mod outcome;
#[path = "../conformance/plugins.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod plugins;
#[path = "../conformance/replay.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod replay;
#[path = "../conformance/rule_precision.rs"]
mod rule_precision;
#[path = "../conformance/servers.rs"]
#[allow(dead_code, reason = "the conformance test uses more of it")]
mod servers;

mod access_rules;
mod application;
mod changes;
mod clock;
mod differences;
mod differences_requests;
mod expected;
mod identity;
mod input;
mod own_token;
mod responses;
mod validation;

use std::process::ExitCode;

use serde_json::Value;

use replay::{Difference, Incomplete};

/// A case: one line of the file.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[serde(rename = "family")]
    _family: String,
    #[serde(default)]
    middleware: input::Middleware,
    plugin: plugins::PluginSpec,
    options: input::Options,
    exchanges: Vec<servers::Exchange>,
    steps: Vec<input::Step>,
    /// Names of the respects in which another implementation may differ.
    #[serde(default)]
    flaws: Vec<String>,
    /// What is expected of each step, in the form that [`expected`] describes.
    #[serde(deserialize_with = "expected::deserialize")]
    expect: Vec<Value>,
}

impl Case {
    /// Sets the recorded result to that of the difference.
    fn with_expected(&self, mutant: &Difference) -> Self {
        let mut case = self.clone();
        if let Some(expected) = case.expect.get_mut(mutant.call) {
            let members = mutant.subject.split(": ").map(|member| format!("/{member}")).collect::<String>();
            if let Some(member) = expected.pointer_mut(&members) {
                *member = mutant.expected.clone();
            }
        }
        case
    }
}

fn main() -> ExitCode {
    let rules: &[&[replay::Rule]] = &[differences::RESPONSES, differences_requests::REQUESTS];
    outcome::run("validation", &[("validation", validation::replay, rules)], |_, _| true)
}
