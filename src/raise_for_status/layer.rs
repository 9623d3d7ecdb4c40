use tower_layer::Layer;

use super::RaiseForStatus;

/// A layer that turns responses with a status of 400 or above into [`Error::Service`](crate::Error::Service).
///
/// See the [module docs](super) for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct RaiseForStatusLayer(());

impl RaiseForStatusLayer {
    /// Creates the layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for RaiseForStatusLayer {
    type Service = RaiseForStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RaiseForStatus::new(inner)
    }
}
