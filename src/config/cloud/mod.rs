//! Which cloud and region is used, and how its settings are merged.

pub(crate) mod arguments;
pub(crate) mod clouds;
pub(crate) mod expand;
pub(crate) mod ignored_variables;
pub(crate) mod merge;
pub(crate) mod missing_settings;
pub(crate) mod misspelt;
pub(crate) mod profile;
pub(crate) mod region;
pub(crate) mod vendors;
