//! Finds the known name that is closest to a misspelt name.

/// Maximum length of a name that is compared, in bytes. A longer name is not a misspelt known name.
const MAX_LENGTH: usize = 60;

/// Returns the edit distance of two names.
///
/// It is the number of characters to insert, remove, replace or swap with the next one to get the other name.
pub(crate) fn edit_distance(from: &str, to: &str) -> usize {
    if from.len().max(to.len()) > MAX_LENGTH { usize::MAX } else { strsim::osa_distance(from, to) }
}

/// Returns the known name that is closest to a name, and their distance.
///
/// The maximum distance is smaller for shorter names.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
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
