/// Whether the `..` segments of a path lead above its beginning.
///
/// What some server on the way might take for a dot or a slash (`%2e`, `%2f`, a backslash) counts as
/// one, empty segments count for nothing, and what follows a `;` in a segment is not looked at.
pub(super) fn climbs(path: &str) -> bool {
    if !may_have_dots(path.as_bytes()) {
        return false;
    }
    let mut depth = 0_usize;
    let mut segment = Segment::default();
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [b'2', b'e' | b'E', after @ ..]) => (b'.', after),
            (b'%', [b'2', b'f' | b'F', after @ ..]) => (b'/', after),
            (b'%', [b'5', b'c' | b'C', after @ ..]) => (b'/', after),
            (b'\\', after) => (b'/', after),
            other => other,
        };
        rest = after;
        if byte != b'/' {
            segment.push(byte);
            continue;
        }
        match segment.close(depth) {
            Some(deeper) => depth = deeper,
            None => return true,
        }
    }
    segment.close(depth).is_none()
}

/// Whether there may be a dot in it: itself, or a `%` that may begin one. Most paths have neither, and climb
/// nowhere.
///
/// It looks at eight bytes at a time, the last eight once more rather than one by one.
fn may_have_dots(path: &[u8]) -> bool {
    let may_be_dot = |byte: &u8| matches!(byte, b'.' | b'%');
    let among_eight = |bytes: &[u8; 8]| bytes.iter().fold(false, |found, byte| found | may_be_dot(byte));
    match path.last_chunk() {
        Some(last) => path.as_chunks().0.iter().any(among_eight) || among_eight(last),
        None => path.iter().any(may_be_dot),
    }
}

/// The segment being read: how long it is, and whether it is all dots, up to its parameters.
#[derive(Default)]
struct Segment {
    length: usize,
    named: bool,
    parameters: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        self.parameters |= byte == b';';
        if !self.parameters {
            self.length += 1;
            self.named |= byte != b'.';
        }
    }

    /// The depth after this segment, which starts anew; `None` above the beginning.
    fn close(&mut self, depth: usize) -> Option<usize> {
        let Self { length, named, .. } = std::mem::take(self);
        match (named, length) {
            (false, 0 | 1) => Some(depth),
            (false, 2) => depth.checked_sub(1),
            _ => Some(depth + 1),
        }
    }
}
