//! TODO

/// TODO
#[derive(Debug)]
pub struct FileStore {}
