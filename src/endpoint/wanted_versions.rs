use super::Allow;
use crate::version::Version;

/// The versions that a filter requests, as they were set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct WantedVersions {
    pub(super) version: Option<Version>,
    pub(super) min: Option<Version>,
    pub(super) max: Option<Version>,
    /// Whether the service type implies a major version, as `volumev3` does.
    pub(super) is_implied: bool,
    pub(super) allow: Allow,
    pub(super) no_version_hack: bool,
}

/// Whether requests with a filter need version discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantsDiscovery {
    No,
    /// Only if the layer has discovery configured. The service type implies a version, as `volumev3` does, and without
    /// discovery the catalog's endpoint of that type is used.
    IfConfigured,
    Yes,
}

impl WantedVersions {
    /// Returns whether a version, a minimum or a maximum is set.
    pub(super) fn has_limits(&self) -> bool {
        self.version.or(self.min).or(self.max).is_some()
    }
}
