//! Counts for each file how many cases agree, and why the others do not.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{Case, Difference, Replay, Unanswered, differences::Rule, known_texts, rule_precision};

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

/// How the cases of a file are judged.
struct File<'a> {
    replay: Replay,
    rules: &'a [&'a Rule],
    exact: bool,
}

impl File<'_> {
    /// The place of the rule that excuses a difference.
    fn rule_of(&self, case: &Case, difference: &Difference) -> Option<usize> {
        let covers = |rule: &&Rule| (rule.covers)(case, difference, self.replay);
        known_texts::is_of_case(case, difference).then(|| self.rules.iter().position(covers)).flatten()
    }

    /// What would be excused, too, where an answer were another one.
    fn too_wide(&self, case: &Case, difference: &Difference) -> Option<String> {
        rule_precision::mutants(case, difference).into_iter().find_map(|(case, mutant)| {
            let rule = self.rules.get(self.rule_of(&case, &mutant)?)?;
            let Difference { question, expected, got, .. } = mutant;
            Some(format!(
                "too wide: {}\n    {question}\n      expected {expected}\n      got      {got}",
                rule.decision
            ))
        })
    }
}

impl Outcome {
    /// The figures of the cases, one a line. Where the rules are to be `exact`, no changed answer may fall under one.
    pub(crate) fn of(text: &str, replay: Replay, rules: &[&Rule], exact: bool) -> Self {
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
            let file = File { replay, rules, exact };
            let judged = catch_unwind(AssertUnwindSafe(|| outcome.count(&case, &file)));
            if let Err(panic) = judged {
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
        let covered: Vec<_> = differences.iter().map(|difference| file.rule_of(case, difference)).collect();
        let mut undecided = differences.iter().zip(&covered).filter(|(_, rule)| rule.is_none()).peekable();
        if undecided.peek().is_some() {
            self.fail(&format!("{} differs:", case.id));
            for (Difference { call, question, expected, got }, _) in undecided {
                println!("    {question} (call {call})\n      expected {expected}\n      got      {got}");
            }
            return;
        }
        match replayed {
            Ok(()) if covered.is_empty() => self.agree += 1,
            Ok(()) => {
                let too_wide = differences.iter().find_map(|difference| file.too_wide(case, difference));
                if let Some(too_wide) = too_wide.filter(|_| file.exact) {
                    return self.fail(&format!("{}: {too_wide}", case.id));
                }
                self.decided += 1;
                for index in (0..file.rules.len()).filter(|index| covered.contains(&Some(*index))) {
                    *self.by_rule.entry(index).or_default() += 1;
                }
            }
            Err(Unanswered::Malformed(what)) => self.fail(&format!("{}: {what}", case.id)),
            Err(why) => {
                match why {
                    Unanswered::NotBuilt(_) => self.not_built += 1,
                    _ => self.not_expressible += 1,
                }
                *self.unanswered.entry(why).or_default() += 1;
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
