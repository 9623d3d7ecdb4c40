//! Checks that a rule excuses only what its reason covers: changed results must not be excused.

use serde_json::Value;

use crate::{Case, Difference, comparison::value};

/// The same case with another answer, of the reference or of this crate.
pub(crate) fn mutants(case: &Case, difference: &Difference) -> Vec<(Case, Difference)> {
    let Difference { call, question, expected, got } = difference;
    let with =
        |expected: Value, got: Value| Difference { call: *call, question: question.clone(), expected, got };
    let of_expected = changed(expected).into_iter().map(|expected| with(expected, got.clone()));
    let of_got = changed(got).into_iter().map(|got| with(expected.clone(), got));
    let mutants = of_expected.chain(of_got).filter(|mutant| *value(&mutant.expected) != mutant.got);
    mutants.map(|mutant| (with_answer(case, &mutant), mutant)).collect()
}

/// The case with the answer that the reference has in the difference.
fn with_answer(case: &Case, mutant: &Difference) -> Case {
    let mut case = case.clone();
    let answer = case.expect.pointer_mut(&format!("/calls/{}", mutant.call));
    match (answer, mutant.question.split_once(": ")) {
        (Some(answer), None) => *answer = mutant.expected.clone(),
        (Some(answer), Some((_, member))) => {
            if let Some(member) = answer.get_mut(member) {
                *member = mutant.expected.clone();
            }
        }
        (None, _) => {}
    }
    case
}

/// The value with a part of it changed, each in another place.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec!["~".into()],
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Number(number) => vec![(number.as_f64().unwrap_or_default() + 1.0).into()],
        Value::String(text) => vec![format!("{text}~").into()],
        Value::Array(elements) => {
            let mut all: Vec<_> = (0..elements.len())
                .flat_map(|index| changed(&elements[index]).into_iter().map(move |element| (index, element)))
                .map(|(index, element)| {
                    let mut elements = elements.clone();
                    elements[index] = element;
                    elements.into()
                })
                .collect();
            all.push([elements.clone(), vec!["~".into()]].concat().into());
            all
        }
        Value::Object(members) => members
            .iter()
            // What was sent is another answer, and the words of an error are free.
            .filter(|(name, _)| !matches!(&***name, "requests" | "sleeps" | "text"))
            .flat_map(|(name, member)| changed(member).into_iter().map(move |member| (name, member)))
            .map(|(name, member)| {
                let mut members = members.clone();
                members.insert(name.clone(), member);
                members.into()
            })
            .collect(),
    }
}
