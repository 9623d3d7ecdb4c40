//! Builder methods for optional texts.

/// Builder methods that each take one text.
macro_rules! text_setters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: impl Into<Box<str>>) -> Self {
                self.$name = Some($name.into());
                self
            }
        )*
    };
}
pub(super) use text_setters;

/// A text that is there and not empty; keystoneauth treats an empty one as none, except in cache ids.
pub(super) fn non_empty(text: &Option<Box<str>>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
