//! The figures of a file: how many cases agree, and why the others do not.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{Case, Difference, Replay, Unanswered, decided::Rule};

#[derive(Default)]
pub(crate) struct Outcome {
    agree: usize,
    decided: usize,
    /// The cases with a difference under a rule, by the place of the rule.
    by_rule: BTreeMap<usize, usize>,
    not_built: usize,
    not_expressible: usize,
    /// The cases that are not answered, by why.
    unanswered: BTreeMap<Unanswered, usize>,
    pub(crate) failed: usize,
    pub(crate) total: usize,
}

impl Outcome {
    pub(crate) fn of(text: &str, replay: Replay, rules: &[&Rule]) -> Self {
        let mut outcome = Self::default();
        for (index, line) in text.lines().enumerate() {
            outcome.total += 1;
            match serde_json::from_str(line) {
                Ok(case) => outcome.count(&case, replay, rules),
                Err(error) => outcome.fail(&format!("line {}: {error}", index + 1)),
            }
        }
        outcome
    }

    fn count(&mut self, case: &Case, replay: Replay, rules: &[&Rule]) {
        let mut differences = Vec::new();
        let replayed = catch_unwind(AssertUnwindSafe(|| replay(case, &mut differences)));
        let rule_of =
            |difference: &Difference| rules.iter().position(|rule| (rule.covers)(case, difference, replay));
        let covered: Vec<_> = differences.iter().map(rule_of).collect();
        let undecided: Vec<_> = differences
            .iter()
            .zip(&covered)
            .filter_map(|(found, rule)| rule.is_none().then_some(found))
            .collect();
        if !undecided.is_empty() {
            self.fail(&format!("{} differs:", case.id));
            for Difference { call, question, expected, got } in undecided {
                println!("    {question} (call {call})\n      expected {expected}\n      got      {got}");
            }
            return;
        }
        match replayed {
            Ok(Ok(())) if covered.is_empty() => self.agree += 1,
            Ok(Ok(())) => {
                self.decided += 1;
                for index in (0..rules.len()).filter(|index| covered.contains(&Some(*index))) {
                    *self.by_rule.entry(index).or_default() += 1;
                }
            }
            Ok(Err(Unanswered::Malformed(what))) => self.fail(&format!("{}: {what}", case.id)),
            Ok(Err(why)) => {
                match why {
                    Unanswered::NotBuilt(_) => self.not_built += 1,
                    _ => self.not_expressible += 1,
                }
                *self.unanswered.entry(why).or_default() += 1;
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                self.fail(&format!("{} panics: {text}", case.id));
            }
        }
    }

    fn fail(&mut self, what: &str) {
        self.failed += 1;
        println!("{what}");
    }

    pub(crate) fn print_reasons(&self, rules: &[&Rule]) {
        for (index, count) in &self.by_rule {
            println!("    {count} by decision: {}", rules[*index].decision);
        }
        for (why, count) in &self.unanswered {
            println!("    {count} {why}");
        }
    }

    /// Adds the figures of a file, without their reasons.
    pub(crate) fn add(&mut self, other: &Self) {
        self.agree += other.agree;
        self.decided += other.decided;
        self.not_built += other.not_built;
        self.not_expressible += other.not_expressible;
        self.failed += other.failed;
        self.total += other.total;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agree, decided, not_built, not_expressible, failed, total, .. } = self;
        write!(f, "{agree} agree, {decided} differ by decision, {not_built} not built, ")?;
        write!(f, "{not_expressible} not expressible, ")?;
        if *failed > 0 {
            write!(f, "{failed} FAILED, ")?;
        }
        write!(f, "of {total}")
    }
}
