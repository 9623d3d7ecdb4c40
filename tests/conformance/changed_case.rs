//! Replays a changed case, to find the cause of a difference.

use serde_json::Value;

use crate::{
    Case,
    replay::{Difference, Replay},
};

/// Returns whether this crate returns the same result for the changed case: what `change` changes has no effect.
pub(crate) fn same_result_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let has_result = |other: &Difference| {
        has_same_subject(other, difference) && without_text(&other.got) == without_text(&difference.got)
    };
    differences_after(case, replay, change).is_some_and(|all| all.iter().any(has_result))
}

/// Returns whether this crate returns the result that was recorded for the changed case: what `change` changes is the
/// only cause of the difference.
pub(crate) fn agrees_after(
    case: &Case,
    difference: &Difference,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> bool {
    let has_result = |other: &Difference| has_same_subject(other, difference);
    differences_after(case, replay, change).is_some_and(|all| !all.iter().any(has_result))
}

/// Removes the text of an error, which can contain the input.
fn without_text(got: &Value) -> Value {
    let mut got = got.clone();
    if let Some(error) = got.as_object_mut().filter(|members| members.contains_key("error")) {
        error.remove("text");
    }
    got
}

fn has_same_subject(difference: &Difference, other: &Difference) -> bool {
    (difference.call, &difference.subject) == (other.call, &other.subject)
}

/// Returns the differences of the changed case, or `None` if nothing was changed.
pub(crate) fn differences_after(
    case: &Case,
    replay: Replay,
    change: impl FnOnce(&mut Case) -> bool,
) -> Option<Vec<Difference>> {
    let mut changed = case.clone();
    let mut differences = Vec::new();
    (change(&mut changed) && replay(&changed, &mut differences).is_ok()).then_some(differences)
}
