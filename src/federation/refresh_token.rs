use std::sync::Arc;

use crate::Secret;

/// A function that stores a refresh token that the provider has issued in place of an older one.
pub(super) type OnRotation = Arc<dyn Fn(&Secret) + Send + Sync>;
