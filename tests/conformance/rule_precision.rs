//! Changes the results of a case slightly, to check that a rule covers only what its decision describes.

use serde_json::Value;

use crate::{
    Case,
    replay::{Difference, value},
};

/// Returns variants of a case in which the result of keystoneauth or of this crate is changed.
pub(crate) fn mutants(case: &Case, difference: &Difference) -> Vec<(Case, Difference)> {
    let Difference { call, subject, expected, got } = difference;
    let with =
        |expected: Value, got: Value| Difference { call: *call, subject: subject.clone(), expected, got };
    let of_expected = variants(expected).into_iter().map(|expected| with(expected, got.clone()));
    let of_got = variants(got).into_iter().map(|got| with(expected.clone(), got));
    let mutants = of_expected.chain(of_got).filter(|mutant| *value(&mutant.expected) != mutant.got);
    mutants.map(|mutant| (case.with_expected(&mutant), mutant)).collect()
}

/// Returns variants of a value, each with a change in another place.
fn variants(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec!["~".into()],
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Number(number) => vec![(number.as_f64().unwrap_or_default() + 1.0).into()],
        Value::String(text) => vec![format!("{text}~").into()],
        Value::Array(elements) => {
            let mut all: Vec<_> = (0..elements.len())
                .flat_map(|index| variants(&elements[index]).into_iter().map(move |element| (index, element)))
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
            // Requests are compared separately, and the text of an error is not compared.
            .filter(|(name, _)| !matches!(&***name, "requests" | "sleeps" | "text"))
            .flat_map(|(name, member)| variants(member).into_iter().map(move |member| (name, member)))
            .map(|(name, member)| {
                let mut members = members.clone();
                members.insert(name.clone(), member);
                members.into()
            })
            .collect(),
    }
}
