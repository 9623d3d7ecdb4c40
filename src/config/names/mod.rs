//! Known names of settings, and which of them a misspelt name is close to.

pub(crate) mod closest;
pub(super) mod top_level;
