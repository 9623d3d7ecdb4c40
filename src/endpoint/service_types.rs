//! Official service types and their aliases.
//!
//! A service type says which API a service in the catalog has, such as `compute` or `image`. Some types have several
//! names.
//!
//! The data comes from the OpenStack Service Types Authority, as published in the Python package os-service-types 1.9.0
//! (data version 2024-05-08T19:22:13.804707).
//!
//! ```
//! use tower_keystone::service_types;
//!
//! assert_eq!(service_types::official("volumev3"), Some("block-storage"));
//! assert!(service_types::is_match("block-storage", "volumev3"));
//! assert!(service_types::is_match("volumev3", "block-storage"));
//! assert!(!service_types::is_match("volumev2", "volumev3"));
//! ```

use std::sync::LazyLock;

/// An official type and its aliases, in order of preference.
type Row = (&'static str, &'static [&'static str]);

/// Sorted by official type.
static TYPES: [Row; 45] = [
    ("accelerator", &[]),
    ("admin-logic", &["registration"]),
    ("alarm", &["alarming"]),
    ("application-catalog", &[]),
    ("application-container", &["container"]),
    ("application-deployment", &["application_deployment"]),
    ("backup", &[]),
    ("baremetal", &["bare-metal"]),
    ("baremetal-introspection", &[]),
    ("block-storage", &["volumev3", "volumev2", "volume", "block-store"]),
    ("clustering", &["resource-cluster", "cluster"]),
    ("compute", &[]),
    ("container-infrastructure-management", &["container-infrastructure", "container-infra"]),
    ("data-processing", &[]),
    ("data-protection-orchestration", &[]),
    ("database", &[]),
    ("dns", &[]),
    ("ec2-api", &[]),
    ("event", &["events"]),
    ("function-engine", &[]),
    ("identity", &[]),
    ("image", &[]),
    ("instance-ha", &["ha"]),
    ("key-manager", &[]),
    ("load-balancer", &[]),
    ("log-management", &[]),
    ("message", &["messaging"]),
    ("meter", &["metering", "telemetry"]),
    ("monitoring", &[]),
    ("monitoring-events", &[]),
    ("monitoring-logging", &["monitoring-log-api"]),
    ("multi-region-network-automation", &["tricircle"]),
    ("network", &[]),
    ("nfv-orchestration", &[]),
    ("object-store", &[]),
    ("operator-policy", &["policy"]),
    ("orchestration", &[]),
    ("placement", &[]),
    ("rating", &[]),
    ("reservation", &[]),
    ("resource-optimization", &["infra-optim"]),
    ("root-cause-analysis", &["rca"]),
    ("search", &[]),
    ("shared-file-system", &["sharev2", "share"]),
    ("workflow", &["workflowv2"]),
];

/// Returns the official service type of `name`, which can be an alias or the official type itself.
///
/// Returns `None` if `name` is neither. Underscores in `name` are read as hyphens, as in os-service-types. See the
/// [module docs](self) for an example.
pub fn official(name: &str) -> Option<&'static str> {
    row(name).map(|&(official, _)| official)
}

/// Returns the official type for a name, and the index of the name in [`all_types`].
///
/// The index is `usize::MAX` if the name is listed only with hyphens in place of its underscores.
pub(crate) fn official_with_rank(name: &str) -> Option<(&'static str, usize)> {
    let &(official, aliases) = row(name)?;
    let rank = if official == name {
        Some(0)
    } else {
        aliases.iter().position(|alias| *alias == name).map(|index| index + 1)
    };
    Some((official, rank.unwrap_or(usize::MAX)))
}

/// Returns all names of the service type `name`: the official type, then its aliases in order of preference.
///
/// If `name` is neither an official type nor an alias, only `name` is returned.
pub fn all_types(name: &str) -> impl Iterator<Item = &str> + Clone {
    let listed = row(name);
    let unlisted = (listed.is_none() && !name.is_empty()).then_some(name);
    listed
        .into_iter()
        .flat_map(|&(official, aliases)| std::iter::once(official).chain(aliases.iter().copied()))
        .chain(unlisted)
}

/// Returns all official types and aliases.
#[cfg(feature = "config")]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// Returns whether a catalog entry of type `found` matches a request for type `requested`.
///
/// They match if they are equal, or if one is the official type and the other an alias of it. Two different aliases
/// never match: `volumev2` and `volumev3` are different APIs.
pub fn is_match(requested: &str, found: &str) -> bool {
    requested == found
        || official(found) == Some(requested)
        || row(found)
            .is_some_and(|(official, aliases)| is_same_name(official, found) && aliases.contains(&requested))
}

/// Every official type and alias with its row, sorted by name.
static NAMES: LazyLock<Vec<(&str, &Row)>> = LazyLock::new(|| {
    let names_in = |row: &'static Row| row.1.iter().chain([&row.0]).map(move |name| (*name, row));
    let mut names: Vec<_> = TYPES.iter().flat_map(names_in).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    names
});

fn row(name: &str) -> Option<&'static Row> {
    let found = NAMES.binary_search_by(|(listed, _)| listed.bytes().cmp(name.bytes().map(to_hyphen)));
    found.ok().and_then(|index| NAMES.get(index)).map(|(_, row)| *row)
}

/// Returns whether the two are equal if underscores in `name` are read as hyphens.
fn is_same_name(listed: &str, name: &str) -> bool {
    listed.len() == name.len() && listed.bytes().eq(name.bytes().map(to_hyphen))
}

fn to_hyphen(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_duplicates() {
        assert!(TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut names: Vec<_> =
            TYPES.iter().flat_map(|(official, aliases)| aliases.iter().chain([official])).collect();
        let listed = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), listed);
    }

    #[test]
    fn aliases_match_in_both_directions_but_not_each_other() {
        assert!(is_match("block-storage", "volume"));
        assert!(is_match("volume", "block-storage"));
        assert!(!is_match("volume", "block-store"));
        assert!(is_match("my-own", "my-own"));
        assert!(!is_match("my-own", "compute"));
    }

    #[test]
    fn underscores_are_read_as_hyphens() {
        assert_eq!(official("block_storage"), Some("block-storage"));
        assert_eq!(official("container_infra"), Some("container-infrastructure-management"));
        assert!(is_match("application_deployment", "application-deployment"));
        assert!(is_match("application-deployment", "application_deployment"));
    }

    #[test]
    fn all_types_come_official_first() {
        let all: Vec<_> = all_types("volume").collect();
        assert_eq!(all, ["block-storage", "volumev3", "volumev2", "volume", "block-store"]);
    }

    #[test]
    fn an_unlisted_type_has_no_other_names() {
        for unlisted in ["my-own", "volumev4", "COMPUTE"] {
            assert_eq!(all_types(unlisted).collect::<Vec<_>>(), [unlisted]);
        }
        assert_eq!(all_types("").count(), 0);
    }
}
