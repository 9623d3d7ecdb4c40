//! TODO

/// TODO
#[derive(Clone, Debug)]
pub struct MemcachedStore {}
