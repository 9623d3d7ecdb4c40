//! A string that is wiped from memory and not shown: a password, a token, a stored token document.
//!
//! ```
//! use tower_keystone::Secret;
//!
//! let password = Secret::new("correct horse");
//! assert_eq!(format!("{password:?}"), "Secret(13 bytes)");
//! assert_eq!(password.expose(), "correct horse");
//! ```

use std::fmt;

use zeroize::Zeroizing;

/// A string that is wiped from memory when it is dropped, and that `Debug` does not show.
///
/// It implements neither `Display` nor serde's `Serialize`. Only [`expose`](Secret::expose) returns the text, so every
/// use of a secret can be found in the source. Copies that the caller makes of the text are not wiped.
///
/// See the [module docs](self) for an example.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Creates a secret from this text. A `String` is not copied: its own buffer is wiped later.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
