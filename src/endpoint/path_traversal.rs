//! The check for path traversal.

/// Whether the `..` segments of a path lead above its beginning, for any server that may read it.
///
/// Servers and proxies differ in what they decode, drop and fold, so that most spellings can be read in several ways.
/// The path is refused if any combination of the [readings](Readings) of its characters climbs.
pub(super) fn climbs(path: &str) -> bool {
    let mut rest = path.as_bytes();
    if !rest.iter().any(may_be_decoded) && !rest.windows(2).any(|two| two == b"..") {
        return false;
    }
    let mut depths = Depths::default();
    while let Some((readings, after)) = Readings::next(rest) {
        match depths.read(readings) {
            Some(deeper) => depths = deeper,
            None => return true,
        }
        rest = after;
    }
    depths.read(Readings::END).is_none()
}

/// Whether there may be a dot in it: itself, or something that may be decoded to one. Most paths have neither, and
/// climb nowhere.
///
/// It looks at eight bytes at a time, the last eight once more rather than one by one.
#[inline]
pub(super) fn may_have_dots(path: &[u8]) -> bool {
    // Without a branch, so that all eight are compared at once.
    let may_be_dot = |byte: &u8| (*byte == b'.') | (*byte == b'%') | (*byte >= 0x7f);
    let among_eight = |bytes: &[u8; 8]| bytes.iter().fold(false, |found, byte| found | may_be_dot(byte));
    match path.last_chunk() {
        Some(last) => path.as_chunks().0.iter().any(among_eight) || among_eight(last),
        None => path.iter().any(may_be_dot),
    }
}

/// A `%`, or what is not visible ASCII.
fn may_be_decoded(byte: &u8) -> bool {
    matches!(byte, b'%' | 0x7f..)
}

/// What a character of a path may be to some server; more than one, as a rule, if it is not plain.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Readings(u8);

impl Readings {
    const DOT: Self = Self(1);
    const TWO_DOTS: Self = Self(1 << 1);
    const SLASH: Self = Self(1 << 2);
    /// The beginning of the parameters of a segment.
    const PARAMETERS: Self = Self(1 << 3);
    /// The end of the path.
    const END: Self = Self(1 << 4);
    /// Nothing.
    const SKIPPED: Self = Self(1 << 5);
    /// Part of a name.
    const NAME: Self = Self(1 << 6);

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, reading: Self) -> bool {
        self.0 & reading.0 != 0
    }

    /// The readings of the first character, and what is after it.
    fn next(path: &[u8]) -> Option<(Self, &[u8])> {
        let (byte, is_encoded, after) = decoded(path, ENCODED_DIGITS)?;
        Some(match byte {
            0x80.. => Self::of_utf8(byte, after),
            b'%' => match utf16(after) {
                Some((character, after)) => (Self::of_char(character), after),
                None => (Self::SKIPPED.or(Self::NAME), after),
            },
            b'/' if !is_encoded => (Self::SLASH, after),
            ascii => (Self::of_char(ascii.into()), after),
        })
    }

    /// The readings of a character in UTF-8, also of one that is longer than it has to be.
    fn of_utf8(first: u8, after: &[u8]) -> (Self, &[u8]) {
        let dropped = Self::SKIPPED.or(Self::NAME);
        let (length, bits) = match first {
            0xc0..=0xdf => (2, first & 0x1f),
            0xe0..=0xef => (3, first & 0x0f),
            0xf0..=0xf7 => (4, first & 0x07),
            0xf8..=0xfb => (5, first & 0x03),
            0xfc..=0xfd => (6, first & 0x01),
            _ => return (dropped, after),
        };
        let (mut code, mut rest) = (u32::from(bits), after);
        for _ in 1..length {
            match decoded(rest, ENCODED_DIGITS) {
                Some((byte @ 0x80..=0xbf, _, after)) => {
                    code = code << 6 | u32::from(byte & 0x3f);
                    rest = after;
                }
                _ => return (dropped, after),
            }
        }
        match char::from_u32(code) {
            Some(character) if character.len_utf8() == length => (Self::of_char(character), rest),
            Some(character) => (Self::of_char(character).or(dropped), rest),
            None => (dropped, rest),
        }
    }

    /// The readings of a character that is encoded, or that may be folded to ASCII (NFKC and its like).
    fn of_char(character: char) -> Self {
        match character {
            '.' => Self::DOT,
            '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => Self::DOT.or(Self::NAME),
            '\u{2025}' | '\u{fe30}' => Self::TWO_DOTS.or(Self::NAME),
            '/' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' => Self::SLASH.or(Self::NAME),
            '\\' | '\u{2216}' | '\u{29f5}' | '\u{fe68}' | '\u{ff3c}' => Self::SLASH.or(Self::NAME),
            ';' | '\u{37e}' | '\u{fe54}' | '\u{ff1b}' => Self::PARAMETERS,
            '\0' => Self::END.or(Self::SKIPPED).or(Self::NAME),
            '?' | '#' => Self::END.or(Self::NAME),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {
                Self::SKIPPED.or(Self::NAME)
            }
            blank if blank.is_whitespace() || blank.is_control() => Self::SKIPPED.or(Self::NAME),
            _ => Self::NAME,
        }
    }
}

/// How deep the digits of an escape may be encoded themselves, as in `%2%65`.
const ENCODED_DIGITS: u8 = 3;

/// The first byte after as many rounds of decoding as it takes, whether there were any, and what is after it.
fn decoded(path: &[u8], encoded_digits: u8) -> Option<(u8, bool, &[u8])> {
    let (&first, mut after) = path.split_first()?;
    let mut is_encoded = false;
    if first == b'%' {
        while let Some((high, rest)) = digit(after, encoded_digits)
            && let Some((low, rest)) = digit(rest, encoded_digits)
        {
            (is_encoded, after) = (true, rest);
            match high << 4 | low {
                // What is encoded twice may be decoded twice.
                b'%' => {}
                byte => return Some((byte, is_encoded, after)),
            }
        }
    }
    Some((first, is_encoded, after))
}

/// A hexadecimal digit.
fn digit(path: &[u8], encoded_digits: u8) -> Option<(u8, &[u8])> {
    let (byte, after) = match path {
        [b'%', ..] => {
            let (byte, _, after) = decoded(path, encoded_digits.checked_sub(1)?)?;
            (byte, after)
        }
        [byte, after @ ..] => (*byte, after),
        [] => return None,
    };
    let digit = char::from(byte).to_digit(16)?;
    Some((u8::try_from(digit).ok()?, after))
}

/// The character of the escape `%u002e`, without its `%`.
fn utf16(after: &[u8]) -> Option<(char, &[u8])> {
    let [b'u' | b'U', rest @ ..] = after else { return None };
    let (mut code, mut rest) = (0, rest);
    for _ in 0..4 {
        let (digit, after) = digit(rest, ENCODED_DIGITS)?;
        code = code << 4 | u32::from(digit);
        rest = after;
    }
    Some((char::from_u32(code)?, rest))
}

/// How deep the path may have led so far, at the least; for each form that its last segment may have, up to its
/// parameters: empty, `.`, `..`, and a name. The same four follow for a segment whose parameters have begun.
#[derive(Clone, Copy)]
struct Depths([Option<usize>; 8]);

const TWO_DOTS: usize = 2;
const NAME: usize = 3;
const PARAMETERS: usize = 4;

impl Default for Depths {
    fn default() -> Self {
        let mut depths = [None; 8];
        depths[0] = Some(0);
        Self(depths)
    }
}

impl Depths {
    /// The depths after a character; `None` if one reading is above the beginning.
    fn read(self, readings: Readings) -> Option<Self> {
        let mut next = Self([None; 8]);
        for (segment, depth) in self.0.into_iter().enumerate() {
            let Some(depth) = depth else { continue };
            let (form, parameters) = (segment % PARAMETERS, segment >= PARAMETERS);
            let longer = |dots: usize| if parameters { segment } else { NAME.min(form + dots) };
            for (reading, segment) in [
                (Readings::SKIPPED, segment),
                (Readings::DOT, longer(1)),
                (Readings::TWO_DOTS, longer(2)),
                (Readings::NAME, longer(NAME)),
                (Readings::PARAMETERS, form + PARAMETERS),
            ] {
                if readings.has(reading) {
                    next.may_be(segment, depth);
                }
            }
            if readings.has(Readings::SLASH.or(Readings::END)) {
                let depth = match form {
                    NAME => depth + 1,
                    TWO_DOTS => depth.checked_sub(1)?,
                    _ => depth,
                };
                if readings.has(Readings::SLASH) {
                    next.may_be(0, depth);
                }
            }
        }
        Some(next)
    }

    fn may_be(&mut self, segment: usize, depth: usize) {
        if let Some(least) = self.0.get_mut(segment) {
            *least = Some(least.map_or(depth, |least| least.min(depth)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of paths, and what each may be to a server. `\0` ends the path.
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

    /// Whether what was read climbs, read from the left to the right.
    fn read_climbs(read: &str) -> bool {
        let read = read.split('\0').next().unwrap_or_default();
        let mut depth = 0;
        for segment in read.split('/') {
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
    fn a_path_climbs_if_one_way_of_reading_it_does() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut climbing = 0;
        for _ in 0..20_000 {
            let (mut path, mut readings) = ("/".to_owned(), vec!["/".to_owned()]);
            for _ in 0..random.usize(1..7) {
                let (piece, meanings) = PIECES[random.usize(..PIECES.len())];
                path += piece;
                readings = readings
                    .iter()
                    .flat_map(|before| meanings.iter().map(move |meaning| format!("{before}{meaning}")))
                    .collect();
            }
            let expected = readings.iter().any(|read| read_climbs(read));
            assert_eq!(climbs(&path), expected, "{path}");
            climbing += usize::from(expected);
        }
        assert!((2_000..18_000).contains(&climbing), "{climbing}");
    }
}
