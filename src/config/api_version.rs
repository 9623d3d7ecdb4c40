use crate::version::LATEST;

/// The version of a service's API (`<type>_api_version`): a major version such as `3`, or a microversion such as `2.79`.
pub(super) struct ApiVersion {
    pub(super) major: u32,
    pub(super) is_microversion: bool,
}

impl ApiVersion {
    /// Reads the version. `None` if it is not a decimal number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        // Neutron's `2.0` is a version, not a microversion.
        Some(Self { major: number(major)?, is_microversion: number(minor)? != 0 })
    }
}

fn number(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_decimal && *number != LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_decimal_number_is_a_version() {
        for (text, expected) in [
            ("2", Some((2, false))),
            ("2.0", Some((2, false))),
            ("2.79", Some((2, true))),
            ("3.60", Some((3, true))),
            ("v3", None),
            ("latest", None),
            ("3.latest", None),
            ("2.1.5", None),
            ("2.", None),
            (".5", None),
            ("", None),
            ("-1", None),
            ("1e3", None),
            ("nan", None),
            ("99999999999", None),
            ("4294967295", None),
            ("2 ", None),
        ] {
            let found = ApiVersion::parse(text).map(|version| (version.major, version.is_microversion));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
