use crate::{
    config::{
        settings::{Settings, Text},
        value::Value,
    },
    error::{ConfigError, ConfigLocation},
    service_types,
};

/// The settings of one service. Their names begin with the service type, as in `compute_endpoint_override`.
///
/// The official type comes before its aliases: `block_storage_...`, `volumev3_...`, `volumev2_...`, `volume_...`.
pub(super) struct ServiceSettings<'a> {
    pub(super) settings: &'a Settings,
    service_type: &'a str,
}

/// A text setting, its name and where it was written.
pub(super) struct NamedText {
    name: String,
    text: Text,
}

impl<'a> ServiceSettings<'a> {
    pub(super) fn new(settings: &'a Settings, service_type: &'a str) -> Self {
        Self { settings, service_type }
    }

    /// Returns the names of a setting of this service, in order of preference.
    pub(super) fn names(&self, setting: &str) -> Vec<String> {
        let types = service_types::all_types(self.service_type);
        types.map(|service_type| format!("{}_{setting}", service_type.replace('-', "_"))).collect()
    }

    /// Returns whether the setting is written, even if it is null or empty.
    pub(super) fn is_written(&self, setting: &str) -> bool {
        self.names(setting).iter().any(|name| self.settings.top.get(name).is_some())
    }

    /// Returns the first of these text settings that is set.
    pub(super) fn text(&self, settings: &[&str]) -> Result<Option<NamedText>, ConfigError> {
        let names: Vec<_> = settings.iter().flat_map(|setting| self.names(setting)).collect();
        let Some((name, value)) = self.settings.first(&names) else { return Ok(None) };
        let text = value.text().map_err(|error| error.member(name))?;
        Ok(text.map(|text| NamedText::new(name, text)))
    }

    /// Reads a setting. If the service does not have its own, the setting of all services is read.
    pub(super) fn get_or_common<T>(
        &self,
        setting: &str,
        read: impl FnOnce(&Value) -> Result<Option<T>, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let (names, common) = (self.names(setting), [setting]);
        let Some((name, value)) =
            self.settings.first(&names).or_else(|| self.settings.first(common.as_slice()))
        else {
            return Ok(None);
        };
        read(value).map_err(|error| error.member(name))
    }
}

impl NamedText {
    pub(super) fn new(name: impl Into<String>, text: Text) -> Self {
        Self { name: name.into(), text }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn as_str(&self) -> &str {
        self.text.text.expose()
    }

    pub(super) fn location(&self) -> &ConfigLocation {
        &self.text.location
    }

    /// Adds the name of the setting to an error, and where it was written.
    pub(super) fn locate(&self, error: ConfigError) -> ConfigError {
        error.at(self.location()).member(&self.name)
    }
}
