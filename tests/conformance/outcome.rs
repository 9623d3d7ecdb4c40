//! Counts how many cases of a file agree, and why the others do not.

use std::{
    collections::BTreeMap,
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
};

use crate::{
    Case,
    replay::{Difference, Incomplete, Replay, Rule},
    rule_precision,
};

/// The name of a data file, how to replay its cases, and the rules for their differences.
pub(crate) type DataFile<'a> = (&'a str, Replay, &'a [&'a [Rule]]);

/// Returns whether a rule may cover a difference at all.
type IsPlausible = fn(&Case, &Difference) -> bool;

/// Replays the files in the data folder of this test, or in the folder `CONFORMANCE_DIR`, and prints the figures.
pub(crate) fn run(test: &str, files: &[DataFile<'_>], is_plausible: IsPlausible) -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("{test}: test");
        return ExitCode::SUCCESS;
    }
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(test).join("data");
    let custom = std::env::var_os("CONFORMANCE_DIR");
    let exact = custom.is_none();
    let directory = custom.map_or(default, Into::into);
    let mut all = Outcome::default();
    for (name, replay, rules) in files {
        let path = directory.join(format!("{name}.jsonl"));
        if !path.exists() {
            continue;
        }
        let rules: Vec<_> = rules.iter().copied().flatten().collect();
        let outcome = match fs::read_to_string(&path) {
            Ok(text) => {
                Outcome::from_cases(&text, &File { replay: *replay, rules: &rules, is_plausible, exact })
            }
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

#[derive(Default)]
struct Outcome {
    agree: usize,
    decided: usize,
    /// Number of cases with a difference that a rule covers, by the index of the rule.
    by_rule: BTreeMap<usize, usize>,
    not_expressible: usize,
    /// Number of cases that cannot be replayed to their end, by reason.
    incomplete: BTreeMap<Incomplete, usize>,
    failed: usize,
    total: usize,
}

/// How the cases of a file are replayed and compared.
struct File<'a> {
    replay: Replay,
    rules: &'a [&'a Rule],
    is_plausible: IsPlausible,
    /// Whether no rule may cover a changed result.
    exact: bool,
}

impl File<'_> {
    /// Returns the index of the rule that covers a difference.
    fn rule_for(&self, case: &Case, difference: &Difference) -> Option<usize> {
        let covers = |rule: &&Rule| (rule.covers)(case, difference, self.replay);
        (self.is_plausible)(case, difference).then(|| self.rules.iter().position(covers)).flatten()
    }

    /// Returns a changed result that a rule covers although it should not, if there is one.
    fn too_wide(&self, case: &Case, difference: &Difference) -> Option<String> {
        rule_precision::mutants(case, difference).into_iter().find_map(|(case, mutant)| {
            let rule = self.rules.get(self.rule_for(&case, &mutant)?)?;
            let Difference { subject, expected, got, .. } = mutant;
            Some(format!(
                "the rule covers too much: {}\n    {subject}\n      expected {expected}\n      got      {got}",
                rule.decision
            ))
        })
    }
}

impl Outcome {
    /// Replays the cases, one per line.
    fn from_cases(text: &str, file: &File<'_>) -> Self {
        let mut outcome = Self::default();
        for (index, line) in text.lines().enumerate() {
            outcome.total += 1;
            let case: Case = match serde_json::from_str(line) {
                Ok(case) => case,
                Err(error) => {
                    outcome.fail(&format!("line {}: {error}", index + 1));
                    continue;
                }
            };
            let result = catch_unwind(AssertUnwindSafe(|| outcome.count(&case, file)));
            if let Err(panic) = result {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                outcome.fail(&format!("{} panics: {text}", case.id));
            }
        }
        outcome
    }

    fn count(&mut self, case: &Case, file: &File<'_>) {
        let mut differences = Vec::new();
        let replayed = (file.replay)(case, &mut differences);
        let rules_of_differences: Vec<_> =
            differences.iter().map(|difference| file.rule_for(case, difference)).collect();
        let mut undecided =
            differences.iter().zip(&rules_of_differences).filter(|(_, rule)| rule.is_none()).peekable();
        if undecided.peek().is_some() {
            self.fail(&format!("{} differs:", case.id));
            for (Difference { call, subject, expected, got }, _) in undecided {
                println!("    {subject} (call {call})\n      expected {expected}\n      got      {got}");
            }
            return;
        }
        match replayed {
            Ok(()) if rules_of_differences.is_empty() => self.agree += 1,
            Ok(()) => {
                let too_wide = differences.iter().find_map(|difference| file.too_wide(case, difference));
                if let Some(too_wide) = too_wide.filter(|_| file.exact) {
                    return self.fail(&format!("{}: {too_wide}", case.id));
                }
                self.decided += 1;
                for index in
                    (0..file.rules.len()).filter(|index| rules_of_differences.contains(&Some(*index)))
                {
                    *self.by_rule.entry(index).or_default() += 1;
                }
            }
            Err(Incomplete::Malformed(what)) => self.fail(&format!("{}: {what}", case.id)),
            Err(why) => {
                self.not_expressible += 1;
                *self.incomplete.entry(why).or_default() += 1;
            }
        }
    }

    fn fail(&mut self, what: &str) {
        self.failed += 1;
        println!("{what}");
    }

    fn print_reasons(&self, rules: &[&Rule]) {
        for (index, count) in &self.by_rule {
            println!("    {count} by decision: {}", rules[*index].decision);
        }
        for (why, count) in &self.incomplete {
            println!("    {count} {why}");
        }
    }

    /// Adds the counts of a file, without its reasons.
    fn add(&mut self, other: &Self) {
        self.agree += other.agree;
        self.decided += other.decided;
        self.not_expressible += other.not_expressible;
        self.failed += other.failed;
        self.total += other.total;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agree, decided, not_expressible, failed, total, .. } = self;
        write!(f, "{agree} agree, {decided} differ by decision, {not_expressible} not expressible, ")?;
        if *failed > 0 {
            write!(f, "{failed} FAILED, ")?;
        }
        write!(f, "of {total}")
    }
}
