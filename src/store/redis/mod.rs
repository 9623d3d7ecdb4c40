//! TODO

/// TODO
#[derive(Clone, Debug)]
pub struct RedisStore {}
