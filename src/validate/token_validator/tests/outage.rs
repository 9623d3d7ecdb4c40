//! What happens while Keystone is unavailable.
