//! Limits of the memory that a parsed document may take.

/// Memory that the parsed document may take, in bytes for each byte of its text.
///
/// It limits documents of many tiny values, which take much more memory than their text. Small documents may take more:
/// see the minimum budgets of the members and of the catalog.
pub(super) const MEMORY_PER_BYTE: usize = 8;

/// Memory that the catalog may take even if its text is short, in bytes.
pub(super) const MIN_CATALOG_BUDGET: usize = 512 * 1024;

/// Why a document is rejected if serde_json can skip one of its values, but cannot read it.
pub(super) const UNREADABLE_VALUE: &str = "a value in it is nested too deeply, or is not valid JSON";

/// Returns the number of `{` in a JSON text: it has at most this many objects.
pub(super) fn count_objects(json: &str) -> usize {
    // The sum over a chunk fits in a byte, so the compiler can add 16 or more bytes in one instruction.
    let count = |chunk: &[u8]| usize::from(chunk.iter().map(|&byte| u8::from(byte == b'{')).sum::<u8>());
    json.as_bytes().chunks(240).map(count).sum()
}
