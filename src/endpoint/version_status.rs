use std::fmt;

/// The support status of an API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionStatus {
    /// The newest version. Some services call it `stable`.
    Current,
    /// An older version that is still supported.
    Supported,
    /// A version that will be removed.
    Deprecated,
    /// A version that may change at any time.
    Experimental,
    /// Any other status.
    Unknown,
}

impl From<&str> for VersionStatus {
    fn from(status: &str) -> Self {
        match status.to_ascii_uppercase().as_str() {
            "CURRENT" | "STABLE" => Self::Current,
            "SUPPORTED" => Self::Supported,
            "DEPRECATED" => Self::Deprecated,
            "EXPERIMENTAL" => Self::Experimental,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for VersionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "CURRENT",
            Self::Supported => "SUPPORTED",
            Self::Deprecated => "DEPRECATED",
            Self::Experimental => "EXPERIMENTAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// The [statuses](VersionStatus) that an API version may have: keystoneauth's `allow`.
///
/// [`Current`](VersionStatus::Current) and [`Supported`](VersionStatus::Supported) are always accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Allow {
    /// Accepts experimental versions, which may change at any time. The default is false.
    pub experimental: bool,
    /// Accepts deprecated versions, which will be removed. The default is true.
    pub deprecated: bool,
    /// Accepts versions with an unknown status. The default is false.
    pub unknown: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Self { experimental: false, deprecated: true, unknown: false }
    }
}

impl Allow {
    /// Returns whether a version with this status is accepted.
    pub(crate) fn admits(self, status: VersionStatus) -> bool {
        match status {
            VersionStatus::Current | VersionStatus::Supported => true,
            VersionStatus::Deprecated => self.deprecated,
            VersionStatus::Experimental => self.experimental,
            VersionStatus::Unknown => self.unknown,
        }
    }
}
