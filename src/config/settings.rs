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
    /// Returns the first of these top-level settings that is set, and its name. An argument of the program comes before
    /// all others. Null and an empty text count as not set.
    pub(super) fn first<'a>(&self, names: &'a [impl AsRef<str>]) -> Option<(&'a str, &Value)> {
        let find = |name: &'a str| Some((name, self.top.get(name).filter(|value| value.is_set())?));
        let found = || names.iter().filter_map(|name| find(name.as_ref()));
        found().find(|(_, value)| value.location.is_argument()).or_else(|| found().next())
    }

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
    /// Returns whether this is neither null nor an empty text.
    pub(super) fn is_set(&self) -> bool {
        match &self.data {
            Data::Null => false,
            Data::Scalar(text) => !text.expose().is_empty(),
            Data::Sequence(_) | Data::Mapping(_) => true,
        }
    }

    /// Returns the characters of a scalar as they were written. Null and an empty text count as not set.
    pub(super) fn text(&self) -> Result<Option<Text>, ConfigError> {
        match &self.data {
            Data::Null => Ok(None),
            Data::Scalar(text) if text.expose().is_empty() => Ok(None),
            Data::Scalar(text) => Ok(Some(Text { text: text.clone(), location: self.location.clone() })),
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

/// Settings for the tests of what reads them.
#[cfg(test)]
pub(super) mod testing {
    use std::path::Path;

    use super::*;

    pub(crate) fn settings(members: impl IntoIterator<Item = (&'static str, Value)>) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in members {
            settings.top.insert(name, value);
        }
        settings
    }

    /// Returns a plain text in a file.
    pub(crate) fn file(text: &str) -> Value {
        Value { data: Data::Scalar(text.into()), location: location() }
    }

    /// Returns a text that is an argument of the program.
    pub(crate) fn argument(text: &str) -> Value {
        Value { location: ConfigLocation::Argument("set".into()), ..file(text) }
    }

    pub(crate) fn null() -> Value {
        Value { data: Data::Null, location: location() }
    }

    pub(crate) fn list(values: impl IntoIterator<Item = Value>) -> Value {
        Value { data: Data::Sequence(values.into_iter().collect()), location: location() }
    }

    fn location() -> ConfigLocation {
        ConfigLocation::File { path: Path::new("/clouds.yaml").into(), line: 3, column: 5 }
    }
}
