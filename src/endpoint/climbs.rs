/// Whether the `..` segments of a path lead above its beginning.
///
/// What some server on the way might take for a dot or a slash (`%2e`, `%2f`, a backslash) counts as
/// one, and also as none: `a%2fb/..` is two segments for some and one for others. Empty segments count for
/// nothing, and what follows a `;` in a segment is not looked at.
pub(super) fn climbs(path: &str) -> bool {
    may_have_dots(path.as_bytes())
        && [(b'/', b'/'), (b'/', b'x'), (b'x', b'/'), (b'x', b'x')]
            .into_iter()
            .any(|(encoded, backslash)| climbs_as(path, encoded, backslash))
}

/// The same for those who read these for an encoded slash and for a backslash.
fn climbs_as(path: &str, encoded: u8, backslash: u8) -> bool {
    let mut depth = 0_usize;
    let mut segment = Segment::default();
    let mut rest = path.as_bytes();
    while let Some((&first, mut after)) = rest.split_first() {
        // What is encoded twice may be decoded twice.
        while let (b'%', [b'2', b'5', once @ ..]) = (first, after) {
            after = once;
        }
        let (byte, after) = match (first, after) {
            (b'%', [b'2', b'e' | b'E', after @ ..]) => (b'.', after),
            (b'%', [b'2', b'f' | b'F', after @ ..]) => (encoded, after),
            (b'%', [b'3', b'b' | b'B', after @ ..]) => (b';', after),
            (b'%', [b'5', b'c' | b'C', after @ ..]) => (backslash, after),
            (b'\\', after) => (backslash, after),
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
#[inline]
pub(super) fn may_have_dots(path: &[u8]) -> bool {
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
