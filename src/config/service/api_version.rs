use super::service_settings::{NamedText, ServiceSettings};
use crate::{error::ConfigError, service_types, version::LATEST};

/// The version of a service's API (`<type>_api_version`): a major version such as `3`, or a microversion such as
/// `2.79`.
pub(super) struct ApiVersion {
    text: Box<str>,
    pub(super) major: u32,
    is_microversion: bool,
    /// `None` for a default.
    setting: Option<NamedText>,
}

impl ApiVersion {
    /// Reads the version of a service. `None` if it is not a decimal number.
    pub(super) fn read(
        service: &ServiceSettings<'_>,
        service_type: &str,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(setting) = service.text(&["api_version"])? else {
            let default = default(service_type).filter(|_| !service.is_written("api_version"));
            return Ok(default.and_then(Self::parse));
        };
        let version = Self::parse(setting.as_str());
        if version.is_none() {
            let location = setting.location();
            tracing::warn!(%location, "{} has no effect, because it is not a number, such as 3", setting.name());
        }
        Ok(version.map(|version| Self { setting: Some(setting), ..version }))
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let (major, minor) = (number(major)?, number(minor)?);
        // Neutron's `2.0` is a version, not a microversion.
        Some(Self { text: text.into(), major, is_microversion: minor != 0, setting: None })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether no setting contains the version.
    pub(super) fn is_default(&self) -> bool {
        self.setting.is_none()
    }

    /// Returns the setting, if it is a microversion.
    pub(super) fn microversion(&self) -> Option<&NamedText> {
        self.setting.as_ref().filter(|_| self.is_microversion)
    }

    /// Adds the name of the setting to an error, and where it was written.
    pub(super) fn locate(&self, error: ConfigError) -> ConfigError {
        match &self.setting {
            Some(setting) => setting.locate(error),
            None => error,
        }
    }
}

fn default(service_type: &str) -> Option<&'static str> {
    match service_types::official(service_type)? {
        "network" => Some("2"),
        "object-store" => Some("1"),
        _ => None,
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
            ("+1", None),
            ("2.+1", None),
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
