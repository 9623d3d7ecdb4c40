/// Counters of the validations of a layer.
#[derive(Clone, Debug, Default)]
pub struct ValidationMetrics {}
