//! What is cached, and for how long.
