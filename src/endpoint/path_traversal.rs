//! Path traversal check for relative request URIs.

/// Returns whether some server may read the `..` segments of a path in such a way that they lead above its start.
///
/// Servers and proxies differ in what they decode, strip and normalize, so a path can have several meanings. The result
/// is true if at least one combination of the possible [meanings](Meanings) of its characters leads above the start.
pub(crate) fn has_path_traversal(path: &str) -> bool {
    let mut rest = path.as_bytes();
    if !rest.iter().any(may_be_decoded) && !rest.windows(2).any(|two| two == b"..") {
        return false;
    }
    let mut depths = Depths::default();
    while let Some((meanings, after)) = Meanings::next(rest) {
        match depths.read(meanings) {
            Some(next) => depths = next,
            None => return true,
        }
        rest = after;
    }
    depths.read(Meanings::END).is_none()
}

/// Returns whether a path may contain a dot: a `.`, or a character that a server may decode to one.
///
/// Most paths do not, so they need no further check. The function compares eight bytes at a time. Because the length
/// need not be a multiple of eight, it then compares the last eight bytes once more.
#[inline]
pub(super) fn may_have_dots(path: &[u8]) -> bool {
    // There is no branch, so that the compiler can compare all eight bytes at once.
    let may_be_dot = |byte: &u8| (*byte == b'.') | (*byte == b'%') | (*byte >= 0x7f);
    let among_eight = |bytes: &[u8; 8]| bytes.iter().fold(false, |found, byte| found | may_be_dot(byte));
    match path.last_chunk() {
        Some(last) => path.as_chunks().0.iter().any(among_eight) || among_eight(last),
        None => path.iter().any(may_be_dot),
    }
}

/// Returns whether the byte is a `%`, the control character DEL or not ASCII.
fn may_be_decoded(byte: &u8) -> bool {
    matches!(byte, b'%' | 0x7f..)
}

/// The set of meanings that a character of a path can have, depending on the server.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Meanings(u8);

impl Meanings {
    const DOT: Self = Self(1);
    const TWO_DOTS: Self = Self(1 << 1);
    const SLASH: Self = Self(1 << 2);
    /// The start of the parameters of a segment (`;`).
    const PARAMETERS: Self = Self(1 << 3);
    /// The end of the path.
    const END: Self = Self(1 << 4);
    /// The server strips the character.
    const STRIPPED: Self = Self(1 << 5);
    /// Part of a name: any character without a special meaning.
    const NAME: Self = Self(1 << 6);

    /// Returns the union of two sets.
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the sets have a meaning in common.
    fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the meanings of the first character, and the rest of the path.
    fn next(path: &[u8]) -> Option<(Self, &[u8])> {
        let (byte, is_encoded, after) = decode_byte(path, MAX_DIGIT_DEPTH)?;
        Some(match byte {
            0x80.. => Self::for_utf8(byte, after),
            b'%' => match decode_utf16(after) {
                Some((character, after)) => (Self::for_char(character), after),
                None => (Self::STRIPPED.or(Self::NAME), after),
            },
            b'/' if !is_encoded => (Self::SLASH, after),
            ascii => (Self::for_char(ascii.into()), after),
        })
    }

    /// Returns the meanings of a UTF-8 character, and the rest of the path. The character can be overlong or invalid.
    fn for_utf8(first: u8, after: &[u8]) -> (Self, &[u8]) {
        let invalid = Self::STRIPPED.or(Self::NAME);
        let (length, bits) = match first {
            0xc0..=0xdf => (2, first & 0x1f),
            0xe0..=0xef => (3, first & 0x0f),
            0xf0..=0xf7 => (4, first & 0x07),
            0xf8..=0xfb => (5, first & 0x03),
            0xfc..=0xfd => (6, first & 0x01),
            _ => return (invalid, after),
        };
        let (mut code, mut rest) = (u32::from(bits), after);
        for _ in 1..length {
            match decode_byte(rest, MAX_DIGIT_DEPTH) {
                Some((byte @ 0x80..=0xbf, _, after)) => {
                    code = code << 6 | u32::from(byte & 0x3f);
                    rest = after;
                }
                _ => return (invalid, after),
            }
        }
        match char::from_u32(code) {
            Some(character) if character.len_utf8() == length => (Self::for_char(character), rest),
            Some(character) => (Self::for_char(character).or(invalid), rest),
            None => (invalid, rest),
        }
    }

    /// Returns the meanings of a decoded character. Some servers normalize characters to ASCII, as NFKC does.
    fn for_char(character: char) -> Self {
        match character {
            '.' => Self::DOT,
            '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Self::DOT.or(Self::NAME),
            '\u{2025}' | '\u{fe30}' => Self::TWO_DOTS.or(Self::NAME),
            '/' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' => Self::SLASH.or(Self::NAME),
            '\\' | '\u{2216}' | '\u{29f5}' | '\u{fe68}' | '\u{ff3c}' => Self::SLASH.or(Self::NAME),
            ';' | '\u{37e}' | '\u{fe54}' | '\u{ff1b}' => Self::PARAMETERS,
            '\0' => Self::END.or(Self::STRIPPED).or(Self::NAME),
            '?' | '#' => Self::END.or(Self::NAME),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {
                Self::STRIPPED.or(Self::NAME)
            }
            blank if blank.is_whitespace() || blank.is_control() => Self::STRIPPED.or(Self::NAME),
            _ => Self::NAME,
        }
    }
}

/// Maximum nesting of escapes. In `%2%65`, which is decoded to `%2e`, one of the digits is an escape itself.
const MAX_DIGIT_DEPTH: u8 = 3;

/// Decodes the first byte of a path, as often as it is escaped.
///
/// Returns the byte, whether it was escaped, and the rest of the path.
fn decode_byte(path: &[u8], digit_depth: u8) -> Option<(u8, bool, &[u8])> {
    let (&first, mut after) = path.split_first()?;
    let mut is_encoded = false;
    if first == b'%' {
        while let Some((high, rest)) = decode_digit(after, digit_depth)
            && let Some((low, rest)) = decode_digit(rest, digit_depth)
        {
            (is_encoded, after) = (true, rest);
            match high << 4 | low {
                // A server may decode a path twice, so `%25` can start another escape.
                b'%' => {}
                byte => return Some((byte, is_encoded, after)),
            }
        }
    }
    Some((first, is_encoded, after))
}

/// Decodes a hexadecimal digit, which can be escaped. Returns its value and the rest of the path.
fn decode_digit(path: &[u8], digit_depth: u8) -> Option<(u8, &[u8])> {
    let (byte, after) = match path {
        [b'%', ..] => {
            let (byte, _, after) = decode_byte(path, digit_depth.checked_sub(1)?)?;
            (byte, after)
        }
        [byte, after @ ..] => (*byte, after),
        [] => return None,
    };
    let digit = char::from(byte).to_digit(16)?;
    Some((u8::try_from(digit).ok()?, after))
}

/// Decodes an escape such as `%u002e`, after its `%`. Returns the character and the rest of the path.
fn decode_utf16(after: &[u8]) -> Option<(char, &[u8])> {
    let [b'u' | b'U', rest @ ..] = after else { return None };
    let (mut code, mut rest) = (0, rest);
    for _ in 0..4 {
        let (digit, after) = decode_digit(rest, MAX_DIGIT_DEPTH)?;
        code = code << 4 | u32::from(digit);
        rest = after;
    }
    Some((char::from_u32(code)?, rest))
}

/// The minimum depth at which the current segment of the path can start, for each state of the segment.
///
/// The depth is the number of names before the current segment, minus the number of `..` segments. It is `None` if the
/// segment cannot be in that state.
///
/// A segment, without its parameters, has one of four forms: empty (0), `.` (1), `..` (2) or a name (3). States 0 to 3
/// are these forms. States 4 to 7 are the same forms after the parameters of the segment have started.
#[derive(Clone, Copy)]
struct Depths([Option<usize>; 8]);

const TWO_DOTS: usize = 2;
const NAME: usize = 3;
/// Added to a form after the parameters of the segment have started.
const PARAMETERS: usize = 4;

impl Default for Depths {
    fn default() -> Self {
        let mut depths = [None; 8];
        depths[0] = Some(0);
        Self(depths)
    }
}

impl Depths {
    /// Returns the depths after a character with these meanings, or `None` if one of them leads above the start.
    fn read(self, meanings: Meanings) -> Option<Self> {
        let mut next = Self([None; 8]);
        for (state, depth) in self.0.into_iter().enumerate() {
            let Some(depth) = depth else { continue };
            let (form, has_parameters) = (state % PARAMETERS, state >= PARAMETERS);
            // A name stays a name. Parameters do not change the form.
            let after = |length: usize| if has_parameters { state } else { NAME.min(form + length) };
            for (meaning, state) in [
                (Meanings::STRIPPED, state),
                (Meanings::DOT, after(1)),
                (Meanings::TWO_DOTS, after(2)),
                (Meanings::NAME, after(NAME)),
                (Meanings::PARAMETERS, form + PARAMETERS),
            ] {
                if meanings.intersects(meaning) {
                    next.add(state, depth);
                }
            }
            if meanings.intersects(Meanings::SLASH.or(Meanings::END)) {
                let depth = match form {
                    NAME => depth + 1,
                    TWO_DOTS => depth.checked_sub(1)?,
                    _ => depth,
                };
                if meanings.intersects(Meanings::SLASH) {
                    next.add(0, depth);
                }
            }
        }
        Some(next)
    }

    /// Adds a possible state. If the state was possible already, the lower depth counts.
    fn add(&mut self, state: usize, depth: usize) {
        if let Some(min) = self.0.get_mut(state) {
            *min = Some(min.map_or(depth, |min| min.min(depth)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of paths, and what servers may read instead. `\0` ends the path.
    const PIECES: [(&str, &[&str]); 23] = [
        ("/", &["/"]),
        ("a", &["a"]),
        (".", &["."]),
        ("..", &[".."]),
        (";x", &[";x"]),
        ("%2e", &["."]),
        ("%252E", &["."]),
        ("%%32e", &["."]),
        ("%u002e", &["."]),
        ("%2f", &["/", "x"]),
        ("%252f", &["/", "x"]),
        ("\\", &["/", "x"]),
        ("%5C", &["/", "x"]),
        ("%c0%ae", &[".", "", "x"]),
        ("%e0%80%af", &["/", "", "x"]),
        ("%ff", &["", "x"]),
        ("%20", &["", "x"]),
        ("%00", &["", "x", "\0"]),
        ("%3F", &["x", "\0"]),
        ("%zz", &["zz", "xzz"]),
        ("\u{ff0e}", &[".", "x"]),
        ("%e2%80%a5", &["..", "x"]),
        ("%3b", &[";"]),
    ];

    /// Returns whether a decoded path leads above its start. This is the simple algorithm, for comparison.
    fn leads_above_start(path: &str) -> bool {
        let path = path.split('\0').next().unwrap_or_default();
        let mut depth = 0;
        for segment in path.split('/') {
            match segment.split(';').next().unwrap_or_default() {
                "" | "." => {}
                ".." => depth -= 1,
                _ => depth += 1,
            }
            if depth < 0 {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_path_is_traversal_if_one_of_its_meanings_is() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut traversals = 0;
        for _ in 0..20_000 {
            let (mut path, mut decoded) = ("/".to_owned(), vec!["/".to_owned()]);
            for _ in 0..random.usize(1..7) {
                let (piece, meanings) = PIECES[random.usize(..PIECES.len())];
                path += piece;
                decoded = decoded
                    .iter()
                    .flat_map(|before| meanings.iter().map(move |meaning| format!("{before}{meaning}")))
                    .collect();
            }
            let expected = decoded.iter().any(|path| leads_above_start(path));
            assert_eq!(has_path_traversal(&path), expected, "{path}");
            traversals += usize::from(expected);
        }
        assert!((2_000..18_000).contains(&traversals), "{traversals}");
    }
}
