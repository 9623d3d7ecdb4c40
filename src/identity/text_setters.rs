//! Helpers for optional texts.

/// Defines builder methods that each set an optional text field.
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

/// Returns the text, unless it is empty. keystoneauth ignores an empty text too, except in cache ids.
pub(super) fn non_empty(text: &Option<Box<str>>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
