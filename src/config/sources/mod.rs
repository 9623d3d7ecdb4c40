//! Where settings come from: the environment, and files on the disk.

pub(crate) mod environment;
pub(crate) mod read_file;
pub(crate) mod search;
pub(crate) mod trust;
pub(crate) mod yaml;
