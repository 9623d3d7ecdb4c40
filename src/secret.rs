//! Text that must not be seen: credentials and stored tokens.
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

/// Text that is wiped from memory when dropped and never shown by `Debug`.
///
/// It has no `Display` and no serializer: [`expose`](Secret::expose) is the one way to the text, so
/// that every use of it can be found. Copies made of the exposed text are the caller's to wipe.
///
/// See the [module docs](self) for an example.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the buffer passed in is the one that is wiped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
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
