use std::fmt;

use super::Interface;
use crate::error::escaped;

/// The interfaces that a filter accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum WantedInterfaces {
    /// The filter names no interface, so the public one is used.
    #[default]
    Default,
    Any,
    /// In order of preference, at least one.
    Preferred(Vec<Interface>),
}

impl WantedInterfaces {
    /// Returns the accepted interfaces in order of preference. The slice is empty if any interface is accepted.
    pub(crate) fn by_preference(&self) -> &[Interface] {
        match self {
            Self::Any => &[],
            Self::Default => &[Interface::Public],
            Self::Preferred(preferred) => preferred,
        }
    }

    /// Returns the first interface that the filter names.
    #[inline]
    pub(super) fn first(&self) -> Option<&Interface> {
        match self {
            Self::Preferred(preferred) => preferred.first(),
            Self::Default | Self::Any => None,
        }
    }

    /// Returns whether [`Interface::Auth`] is named at any place.
    pub(super) fn has_auth(&self) -> bool {
        matches!(self, Self::Preferred(preferred) if preferred.contains(&Interface::Auth))
    }
}

/// Writes part of a sentence: `interface internal or public`.
impl fmt::Display for WantedInterfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("interface public"),
            Self::Any => f.write_str("any interface"),
            Self::Preferred(preferred) => {
                for (index, interface) in preferred.iter().enumerate() {
                    let before = if index == 0 { "interface " } else { " or " };
                    write!(f, "{before}{}", escaped(interface.as_str()))?;
                }
                Ok(())
            }
        }
    }
}
