//! What a replayed case is compared by: its differences, and the rules that cover them.

use std::fmt;

use serde_json::Value;

use crate::Case;

/// A result that differs from the result of keystoneauth.
#[derive(Clone)]
pub(crate) struct Difference {
    /// Index of the call, if the case has calls.
    pub(crate) call: usize,
    /// What is compared: the name of a property or of an operation.
    pub(crate) subject: String,
    pub(crate) expected: Value,
    /// The result of this crate. An error has the form `{"error": CLASS, "text": TEXT}`.
    pub(crate) got: Value,
}

/// Why a case cannot be replayed to its end.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Incomplete {
    /// The API cannot express this: a value of another type, or an option that only keystoneauth has.
    NotExpressible(String),
    /// It does not have the format of the data.
    Malformed(String),
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotExpressible(what) => write!(f, "not expressible: {what}"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

impl std::error::Error for Incomplete {}

/// Replays a case as far as possible, and records the differences.
pub(crate) type Replay = fn(&Case, &mut Vec<Difference>) -> Result<(), Incomplete>;

/// A rule covers a difference if the result is exactly the one that the decision describes.
pub(crate) struct Rule {
    /// What this crate does instead. This is printed.
    pub(crate) decision: &'static str,
    pub(crate) covers: fn(&Case, &Difference, Replay) -> bool,
}

/// Returns the value of an expected result, which has one of three forms.
pub(crate) fn value(expected: &Value) -> &Value {
    expected.get("result").or_else(|| expected.get("value")).unwrap_or(expected)
}
