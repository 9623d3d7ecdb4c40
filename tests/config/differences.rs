//! The intended differences from openstacksdk. A rule covers a kind of difference, and never names the id of a case.

use crate::replay::Rule;

pub(crate) const CONFIGURATION: &[Rule] = &[];
