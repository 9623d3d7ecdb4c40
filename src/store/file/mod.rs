//! A store in the files of a directory that only one user can read.

mod blocking;
mod boot_clock;
mod checks;
mod default_path;
mod directory;
mod entry;
mod file_error;
mod file_store;
mod held_leases;
mod key_file;
mod lease;
mod lease_record;
mod mutex;
mod network_mount;
mod operations;
mod sweep;
mod temporary;

pub use file_store::FileStore;

#[cfg(test)]
mod tests;
