//! Replays what keystoneauth1 answered, case by case, through the public API.
//!
//! The data (`data/*.jsonl`, one case a line) was computed by running keystoneauth1 5.18.1, which is
//! distributed under the Apache License 2.0. `CONFORMANCE_DIR` names another directory of the same format.
//!
//! A case agrees, or every difference in it falls under a rule of `decided.rs`, or it needs what is not
//! built yet, which is named. Anything else fails the test and is printed.

mod access;
mod answers;
mod auth_requests;
mod catalog;
mod decided;
mod decided_discovery;
mod decided_requests;
mod decided_sessions;
mod discovery;
mod plugins;
mod servers;
mod session;
mod versions;

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

use serde_json::{Value, value::RawValue};

use decided::Rule;

/// One line of a file. The document keeps the order of its members, so it is kept as text.
#[derive(serde::Deserialize)]
struct Case {
    id: String,
    expect: Value,
    #[serde(default)]
    body: Option<Box<RawValue>>,
    #[serde(default)]
    plugin: Option<Box<RawValue>>,
    #[serde(default)]
    exchanges: Vec<servers::Exchange>,
    #[serde(flatten)]
    input: serde_json::Map<String, Value>,
}

impl Case {
    fn text(&self) -> &str {
        self.body.as_ref().expect("a case has a body").get()
    }

    fn body(&self) -> Value {
        serde_json::from_str(self.text()).expect("the body is JSON")
    }

    /// The plugin, where there is one.
    fn plugin(&self) -> Option<plugins::Described> {
        let plugin = self.plugin.as_ref()?;
        serde_json::from_str(plugin.get()).expect("a plugin has a kind and parameters")
    }
}

/// One answer that is not the reference's.
struct Difference {
    /// What was asked: the name of a property or of a look-up.
    question: String,
    expected: Value,
    /// `{"error": TEXT}` for an error.
    got: Value,
}

/// The differences of a case, or what it needs that is not built.
type Replayed = Result<Vec<Difference>, String>;

type Replay = fn(&Case) -> Replayed;

/// The files of the format, how to replay those that are built, and what is decided otherwise in them.
const FILES: [(&str, Option<Replay>, &[Rule]); 6] = [
    ("access", Some(|case| Ok(access::replay(case))), &decided::DOCUMENTS),
    ("catalog", Some(|case| Ok(catalog::replay(case))), &decided::DOCUMENTS),
    ("versions", Some(|case| Ok(versions::replay(case))), &decided_discovery::VERSIONS),
    ("discovery", Some(discovery::replay), &decided_discovery::DISCOVERY),
    ("auth_requests", Some(auth_requests::replay), &decided_requests::PLUGINS),
    ("session", Some(session::replay), &decided_sessions::SESSIONS),
];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/data");
    let directory = std::env::var_os("CONFORMANCE_DIR").map_or(own, Into::into);
    let (mut failed, mut not_built, mut total) = (0, 0, 0);
    for (name, replay, rules) in FILES {
        let path = directory.join(format!("{name}.jsonl"));
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = Outcome::of(&text, replay, rules);
        println!("{name}: {}", outcome.line());
        for (rule, count) in rules.iter().zip(&outcome.by_rule) {
            if *count > 0 {
                println!("    {count} by decision: {}", rule.decision);
            }
        }
        for (needed, count) in &outcome.needed {
            println!("    {count} not built: {needed}");
        }
        failed += outcome.failed;
        not_built += outcome.not_built;
        total += outcome.total;
    }
    if total == 0 {
        println!("no case found in {}", directory.display());
        return ExitCode::FAILURE;
    }
    let skipped = if not_built == 0 { String::new() } else { format!(", {not_built} skipped") };
    println!("\n{} passed, {failed} failed{skipped}", total - failed - not_built);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Outcome {
    agree: usize,
    decided: usize,
    by_rule: Vec<usize>,
    not_built: usize,
    /// The cases that are not built, by what they need.
    needed: BTreeMap<String, usize>,
    failed: usize,
    total: usize,
}

impl Outcome {
    fn of(text: &str, replay: Option<Replay>, rules: &[Rule]) -> Self {
        let mut outcome = Self { by_rule: vec![0; rules.len()], ..Self::default() };
        for line in text.lines() {
            let case: Case = serde_json::from_str(line).expect("a case is one line of JSON");
            outcome.total += 1;
            let replayed = replay.map_or(Err("the whole file".to_owned()), |replay| replay(&case));
            match replayed {
                Ok(differences) => outcome.count(&case, &differences, rules),
                Err(needed) => {
                    outcome.not_built += 1;
                    *outcome.needed.entry(needed).or_default() += 1;
                }
            }
        }
        outcome
    }

    fn count(&mut self, case: &Case, differences: &[Difference], rules: &[Rule]) {
        let covered: Vec<_> = differences
            .iter()
            .map(|difference| rules.iter().position(|rule| (rule.covers)(case, difference)))
            .collect();
        if covered.is_empty() {
            self.agree += 1;
        } else if covered.iter().all(Option::is_some) {
            self.decided += 1;
            for (index, count) in self.by_rule.iter_mut().enumerate() {
                *count += usize::from(covered.contains(&Some(index)));
            }
        } else {
            self.failed += 1;
            println!("{} differs:", case.id);
            for (difference, _) in differences.iter().zip(&covered).filter(|(_, rule)| rule.is_none()) {
                println!(
                    "    {}\n      expected {}\n      got      {}",
                    difference.question, difference.expected, difference.got
                );
            }
        }
    }

    fn line(&self) -> String {
        let Self { agree, decided, not_built, failed, total, .. } = self;
        let failed = if *failed == 0 { String::new() } else { format!(" {failed} FAILED,") };
        format!("{agree} agree, {decided} differ by decision, {not_built} not built,{failed} of {total}")
    }
}

/// Compares one answer. The reference's errors have class names; any error of ours will do for those
/// that Python raises by itself. A `KeyError` says that the document does not have what was asked for,
/// and so does a `None` of ours.
fn compare(differences: &mut Vec<Difference>, question: &str, expected: &Value, got: Result<Value, String>) {
    let agrees = match (&expected["error"], &got) {
        (Value::String(class), Err(error)) => match class.as_str() {
            "EmptyCatalog" | "EndpointNotFound" => error == class,
            _ => true,
        },
        (Value::String(class), Ok(got)) => class == "KeyError" && got.is_null(),
        (Value::Null, Ok(got)) => {
            expected.get("value").or_else(|| expected.get("result")).unwrap_or(expected) == got
        }
        _ => false,
    };
    if !agrees {
        let got = got.unwrap_or_else(|error| serde_json::json!({ "error": error }));
        differences.push(Difference { question: question.to_owned(), expected: expected.clone(), got });
    }
}
