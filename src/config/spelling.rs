//! Finds the known name that is closest to a misspelt name.

/// Maximum length of a name that is compared, in bytes. A longer name is not a misspelt known name.
const MAX_LENGTH: usize = 60;

/// Returns the edit distance of two names.
///
/// It is the number of characters to insert, remove, replace or swap with the next one to get the other name.
pub(super) fn edit_distance(from: &str, to: &str) -> usize {
    if from.len().max(to.len()) > MAX_LENGTH {
        return usize::MAX;
    }
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, &character) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &other) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(character != other);
            let mut distance = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let is_exchanged = row > 0 && column > 0 && character == to[column - 1] && from[row - 1] == other;
            if is_exchanged {
                distance = distance.min(before[column - 1] + 1);
            }
            current.push(distance);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

/// Returns the known name that is closest to a name, and their distance.
///
/// The maximum distance is smaller for shorter names.
pub(super) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    let distance = |known: &'a str| {
        let limit = match name.len().min(known.len()) {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        };
        if name.len().abs_diff(known.len()) > limit {
            return None;
        }
        let distance = edit_distance(name, known);
        (distance <= limit).then_some((distance, known))
    };
    known.into_iter().filter_map(distance).min_by_key(|(distance, _)| *distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slip_counts_once() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("verfy", "verify", 1),
            ("cacret", "cacert", 1),
            ("auht", "auth", 1),
            ("regoin_nmae", "region_name", 2),
            ("abc", "ca", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(from, to), expected, "{from} {to}");
            assert_eq!(edit_distance(to, from), expected, "{to} {from}");
        }
        assert_eq!(edit_distance(&"x".repeat(1_000_000), "x"), usize::MAX);
    }

    #[test]
    fn short_names_have_to_be_closer() {
        let known = ["key", "auth", "verify"];
        for (name, distance, expected) in
            [("key", 0, "key"), ("kay", 1, "key"), ("auhh", 1, "auth"), ("verrfi", 2, "verify")]
        {
            assert_eq!(closest(name, known), Some((distance, expected)));
        }
        for far in ["ke", "arch", "vsrfx", ""] {
            assert_eq!(closest(far, known), None, "{far}");
        }
    }
}
