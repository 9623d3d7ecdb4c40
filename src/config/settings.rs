use super::value::{Data, Mapping, Value};
use crate::{
    Secret,
    error::{ConfigError, ConfigLocation},
};

/// The merged settings of one cloud in one region, before they are interpreted.
///
/// Names are spelt with `_`. Each value keeps where it was written: [`ConfigLocation::Argument`] marks the values that
/// take precedence over all others.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// The members of `auth`.
    pub(super) auth: Mapping,
    /// All other settings.
    pub(super) top: Mapping,
}

/// A text setting, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: Secret,
    pub(super) location: ConfigLocation,
}

impl Settings {
    /// Returns a top-level text setting. Null and an empty text count as not set.
    pub(super) fn text(&self, name: &str) -> Result<Option<Text>, ConfigError> {
        self.top.get(name).map_or(Ok(None), |value| value.text().map_err(|error| error.member(name)))
    }

    /// Returns a top-level boolean.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.top.get(name).map_or(Ok(None), |value| value.boolean().map_err(|error| error.member(name)))
    }
}

impl Value {
    /// Returns the characters of a scalar as they were written. Null and an empty text count as not set.
    pub(super) fn text(&self) -> Result<Option<Text>, ConfigError> {
        match &self.data {
            Data::Null => Ok(None),
            Data::Scalar { text, .. } if text.expose().is_empty() => Ok(None),
            Data::Scalar { text, .. } => {
                Ok(Some(Text { text: text.clone(), location: self.location.clone() }))
            }
            Data::Sequence(_) | Data::Mapping(_) => {
                Err(ConfigError::invalid_value("a text").at(&self.location))
            }
        }
    }

    /// Returns a boolean: `true`, `yes`, `on`, `false`, `no` or `off`, in YAML's spellings, also as a quoted text.
    ///
    /// Null and an empty text count as not set.
    pub(super) fn boolean(&self) -> Result<Option<bool>, ConfigError> {
        let Some(Text { text, location }) = self.text()? else { return Ok(None) };
        match text.expose() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(Some(true)),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(Some(false)),
            _ => Err(ConfigError::invalid_value("true or false").at(&location)),
        }
    }
}
