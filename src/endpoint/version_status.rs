use std::fmt;

/// How far the support of a version goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionStatus {
    /// The newest one; some services say `stable`.
    Current,
    /// An older one.
    Supported,
    /// One that is going to be removed.
    Deprecated,
    /// One that may change at any time.
    Experimental,
    /// Anything else.
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

/// Which versions count beside the current and the supported ones: keystoneauth's `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Allow {
    /// Those that may change at any time; false.
    pub experimental: bool,
    /// Those that are going to be removed; true.
    pub deprecated: bool,
    /// Those with a status that nobody knows; false.
    pub unknown: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Self { experimental: false, deprecated: true, unknown: false }
    }
}

impl Allow {
    pub(crate) fn admits(self, status: VersionStatus) -> bool {
        match status {
            VersionStatus::Current | VersionStatus::Supported => true,
            VersionStatus::Deprecated => self.deprecated,
            VersionStatus::Experimental => self.experimental,
            VersionStatus::Unknown => self.unknown,
        }
    }
}
