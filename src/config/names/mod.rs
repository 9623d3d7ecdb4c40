//! Known names of settings, and which of them a misspelt name is close to.

pub(super) mod closest;
pub(super) mod top_level;
