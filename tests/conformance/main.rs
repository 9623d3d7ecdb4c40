//! Replays what keystoneauth1 answered, case by case, through the public API.
//!
//! The data (`data/*.jsonl`, one case a line) was computed by running keystoneauth1 5.18.1, which is
//! distributed under the Apache License 2.0. `CONFORMANCE_DIR` names another directory of the same format.
//!
//! A case agrees, or every difference in it falls under a rule of `decided.rs`, or its file is not
//! built yet. Anything else fails the test and is printed.

mod access;
mod catalog;
mod decided;

use std::{fs, path::Path, process::ExitCode};

use serde_json::{Value, value::RawValue};

/// One line of a file. The document keeps the order of its members, so it is kept as text.
#[derive(serde::Deserialize)]
struct Case {
    id: String,
    expect: Value,
    #[serde(default)]
    body: Option<Box<RawValue>>,
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
}

/// One answer that is not the reference's.
struct Difference {
    /// What was asked: the name of a property or of a look-up.
    question: String,
    expected: Value,
    /// `{"error": TEXT}` for an error.
    got: Value,
}

type Replay = fn(&Case) -> Vec<Difference>;

/// The files of the format, and how to replay those that are built.
const FILES: [(&str, Option<Replay>); 6] = [
    ("access", Some(access::replay)),
    ("catalog", Some(catalog::replay)),
    ("versions", None),
    ("discovery", None),
    ("auth_requests", None),
    ("session", None),
];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/data");
    let directory = std::env::var_os("CONFORMANCE_DIR").map_or(own, Into::into);
    let mut failed = 0;
    let mut total = 0;
    for (name, replay) in FILES {
        let path = directory.join(format!("{name}.jsonl"));
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = Outcome::of(&text, replay);
        println!("{name}: {}", outcome.line());
        for (rule, count) in decided::RULES.iter().zip(&outcome.by_rule) {
            if *count > 0 {
                println!("    {count} by decision: {}", rule.decision);
            }
        }
        failed += outcome.failed;
        total += outcome.total;
    }
    if total == 0 {
        println!("no case found in {}", directory.display());
        return ExitCode::FAILURE;
    }
    println!("\n{} passed, {failed} failed", total - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Outcome {
    agree: usize,
    decided: usize,
    by_rule: [usize; decided::RULES.len()],
    not_built: usize,
    failed: usize,
    total: usize,
}

impl Outcome {
    fn of(text: &str, replay: Option<Replay>) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            let case: Case = serde_json::from_str(line).expect("a case is one line of JSON");
            outcome.total += 1;
            match replay {
                None => outcome.not_built += 1,
                Some(replay) => outcome.count(&case, &replay(&case)),
            }
        }
        outcome
    }

    fn count(&mut self, case: &Case, differences: &[Difference]) {
        let rules: Vec<_> = differences
            .iter()
            .map(|difference| decided::RULES.iter().position(|rule| (rule.covers)(case, difference)))
            .collect();
        if rules.is_empty() {
            self.agree += 1;
        } else if rules.iter().all(Option::is_some) {
            self.decided += 1;
            for (index, count) in self.by_rule.iter_mut().enumerate() {
                *count += usize::from(rules.contains(&Some(index)));
            }
        } else {
            self.failed += 1;
            println!("{} differs:", case.id);
            for (difference, _) in differences.iter().zip(&rules).filter(|(_, rule)| rule.is_none()) {
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
