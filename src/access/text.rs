//! Strings that are slices of a text, so that each takes 8 bytes.

use std::ops::Range;

/// A slice of a text that a [`TextBuilder`] has built, or `NONE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    start: u32,
    len: u32,
}

impl Slice {
    pub(super) const NONE: Self = Self { start: u32::MAX, len: 0 };

    fn new(start: usize, len: usize) -> Self {
        match (u32::try_from(start), u32::try_from(len)) {
            (Ok(start), Ok(len)) => Self { start, len },
            _ => Self::NONE,
        }
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..(self.start as usize).saturating_add(self.len as usize)
    }

    /// Returns the string, or `None` for `NONE`.
    #[inline]
    pub(super) fn get(self, text: &str) -> Option<&str> {
        text.get(self.range())
    }
}

/// Builds a text from a source, without one part of it, and the strings that are not slices of the source.
pub(super) struct TextBuilder<'a> {
    source: &'a str,
    removed: Range<usize>,
    /// The strings that have an escape sequence in the source.
    decoded: String,
}

impl<'a> TextBuilder<'a> {
    /// `removed` is the slice of the source that the text does not contain.
    pub(super) fn new(source: &'a str, removed: Option<&str>) -> Self {
        let removed =
            removed.and_then(|removed| position(source, removed)).unwrap_or(source.len()..source.len());
        Self { source, removed, decoded: String::new() }
    }

    /// Returns the length of the source without the removed part, and the position of that part in it.
    pub(super) fn source_len(&self) -> (u32, u32) {
        let to_u32 = |length| u32::try_from(length).unwrap_or(u32::MAX);
        (to_u32(self.source.len() - self.removed.len()), to_u32(self.removed.start))
    }

    /// Returns the slice for a string. It is added to the text unless it is a slice of the source.
    pub(super) fn insert(&mut self, string: Option<&str>) -> Slice {
        let Some(string) = string else { return Slice::NONE };
        match position(self.source, string) {
            Some(range) if range.end <= self.removed.start => Slice::new(range.start, range.len()),
            Some(range) if range.start >= self.removed.end => {
                Slice::new(range.start - self.removed.len(), range.len())
            }
            _ => {
                let source_len = self.source.len() - self.removed.len();
                let start = source_len + self.decoded.len();
                self.decoded.push_str(string);
                Slice::new(start, string.len())
            }
        }
    }

    /// Returns the text. It is allocated once, so that nothing of it is left in freed memory.
    pub(super) fn build(self) -> Box<str> {
        let source_len = self.source.len() - self.removed.len();
        let mut text = String::with_capacity(source_len + self.decoded.len());
        text.push_str(self.source.get(..self.removed.start).unwrap_or_default());
        text.push_str(self.source.get(self.removed.end..).unwrap_or_default());
        text.push_str(&self.decoded);
        text.into_boxed_str()
    }
}

/// Returns the position of a string in a text, if it is a slice of the text.
fn position(text: &str, slice: &str) -> Option<Range<usize>> {
    let start = slice.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let range = start..start.checked_add(slice.len())?;
    (text.get(range.clone()) == Some(slice)).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_slices_of_the_source_or_are_added() {
        let source = "one two three";
        let mut builder = TextBuilder::new(source, Some(&source[4..7]));
        let strings = [&source[..3], &source[8..], &source[4..7], &source[2..9], "four", "one", ""];
        let slices = strings.map(|string| builder.insert(Some(string)));
        let none = builder.insert(None);
        assert_eq!(builder.source_len(), (10, 4));
        let text = builder.build();
        assert_eq!(&*text, "one  threetwoe two tfourone");
        assert_eq!(slices.map(|slice| slice.get(&text)), strings.map(Some));
        assert_eq!(none.get(&text), None);
    }
}
