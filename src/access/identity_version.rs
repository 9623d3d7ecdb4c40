use std::fmt;

/// The version of the Identity API that a token document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityVersion {
    /// v2.0. Keystone removed it in 2018; some clouds still have it.
    V2,
    /// v3.
    V3,
}

impl fmt::Display for IdentityVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2.0",
            Self::V3 => "v3",
        })
    }
}
