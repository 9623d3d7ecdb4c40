use tower_layer::Layer;

use super::ErrorContext;

/// A layer that adds the service and the origin of the request to errors.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorContextLayer(());

impl ErrorContextLayer {
    /// Creates the layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for ErrorContextLayer {
    type Service = ErrorContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorContext::new(inner)
    }
}
