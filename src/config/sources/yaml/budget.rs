use crate::config::value::{Data, Value};

/// Maximum depth of lists and mappings inside each other.
pub(super) const MAX_DEPTH: usize = 64;

/// Maximum number of names and values, each copy that an alias makes included.
const MAX_NODES: usize = 100_000;

/// Maximum size of all names and texts in bytes, each copy that an alias makes included.
const MAX_TEXT: usize = 4 << 20;

/// The numbers of nodes and bytes that can still be built from a file.
pub(super) struct Budget {
    nodes: usize,
    text: usize,
}

/// The size of a value with all values in it.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    /// Bytes of names and texts.
    pub(super) text: usize,
    /// Depth of lists and mappings inside each other: 0 for a scalar.
    pub(super) depth: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { nodes: MAX_NODES, text: MAX_TEXT }
    }

    /// Subtracts the size of a value from the budget.
    ///
    /// # Errors
    ///
    /// Returns the reason if a limit is exceeded.
    pub(super) fn take(&mut self, size: Size) -> Result<(), &'static str> {
        let (Some(nodes), Some(text)) =
            (self.nodes.checked_sub(size.nodes), self.text.checked_sub(size.text))
        else {
            return Err(
                "the document has too many or too large values; aliases count as copies of what they name",
            );
        };
        (self.nodes, self.text) = (nodes, text);
        Ok(())
    }
}

impl Size {
    /// Returns the size of a name or a scalar.
    pub(super) fn of_text(text: &str) -> Self {
        Self { nodes: 1, text: text.len(), depth: 0 }
    }

    /// Returns the size of a value. It recurses as deep as the value, which is at most [`MAX_DEPTH`].
    pub(super) fn of(value: &Value) -> Self {
        let mut size = Self { nodes: 1, ..Self::default() };
        match &value.data {
            Data::Null => {}
            Data::Scalar(text) => size.text = text.expose().len(),
            Data::Sequence(items) => {
                size.depth = 1;
                items.iter().for_each(|item| size.add_inner(Self::of(item)));
            }
            Data::Mapping(mapping) => {
                size.depth = 1;
                for (name, value) in mapping.iter() {
                    size.add_inner(Self::of_text(name));
                    size.add_inner(Self::of(value));
                }
            }
        }
        size
    }

    fn add_inner(&mut self, inner: Self) {
        self.nodes += inner.nodes;
        self.text += inner.text;
        self.depth = self.depth.max(inner.depth + 1);
    }
}
