//! Selects the auth type.

use tracing::warn;

use super::auth_types::{self, AuthType, Kind, METHODS, Method, NAMES, Setting, Unsupported};
use crate::{
    config::{
        settings::Settings,
        value::{Data, Value},
    },
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// The auth type, and the methods of its login.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) auth_type: &'static AuthType,
    pub(super) methods: Vec<Method>,
    /// Whether the auth type is `password` because the configuration names none.
    pub(super) is_default: bool,
}

impl Selected {
    /// Reads `auth_type` and `auth_methods`.
    pub(super) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let configured = configured(settings)?;
        if let (None, Some(old)) = (configured, settings.top.get("auth_plugin")) {
            warn!("{}: the setting auth_plugin is ignored; rename it to auth_type", old.location);
        }
        let evident = evident(settings);
        let auth_type = match configured {
            Some(auth_type) => auth_type,
            None => named(evident.unwrap_or("password"), NAMES)?,
        };
        let methods = match auth_type.kind {
            Kind::MultiFactor => listed_methods(settings)?,
            _ => auth_type.methods(),
        };
        Ok(Self { auth_type, methods, is_default: configured.is_none() && evident.is_none() })
    }

    /// Returns the settings that the auth type and its methods know.
    pub(super) fn settings(&self) -> impl Iterator<Item = &'static Setting> {
        self.auth_type.settings(&self.methods)
    }

    /// Returns whether the auth type knows this setting.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.settings().any(|setting| setting.name == name)
    }
}

/// Returns the auth type that the configuration names. Null, an empty text and `None` are no authentication.
fn configured(settings: &Settings) -> Result<Option<&'static AuthType>, ConfigError> {
    let Some(value) = settings.top.get("auth_type") else { return Ok(None) };
    let result = match value.text() {
        // An empty variable counts as unset.
        Ok(None) if matches!(value.location, ConfigLocation::Variable(_)) => return Ok(None),
        Ok(None) => named("none", NAMES),
        Ok(Some(name)) if name.text.expose() == "None" => named("none", NAMES),
        Ok(Some(name)) => named(name.text.expose(), NAMES),
        Err(error) => Err(error),
    };
    result.map(Some).map_err(|error| error.at(&value.location).member("auth_type"))
}

/// Returns the auth type of this name. `supported` are the ones that can be used.
fn named(name: &str, supported: &'static [&'static str]) -> Result<&'static AuthType, ConfigError> {
    if let Some(auth_type) = auth_types::find(name) {
        return Ok(auth_type);
    }
    let unsupported = auth_types::UNSUPPORTED.iter().find(|unsupported| unsupported.name == name);
    Err(ConfigError::new(match unsupported {
        Some(Unsupported { name, hint }) => {
            ConfigErrorKind::UnsupportedAuthType { auth_type: name, supported, hint: Some(hint) }
        }
        None => ConfigErrorKind::UnknownAuthType { auth_type: name.into(), known: supported },
    }))
}

/// Returns the auth type of a cloud without `auth_type`, if it is not a password.
///
/// It is an application credential or a token if the settings contain one of them, or a part of the application
/// credential, and no password.
fn evident(settings: &Settings) -> Option<&'static str> {
    let has = |names: &[&str]| {
        let values = names.iter().flat_map(|name| [settings.auth.get(name), settings.top.get(name)]);
        values.flatten().any(Value::is_set)
    };
    let has_credential =
        has(&["application_credential_id", "application_credential_name", "application_credential_secret"]);
    match (has_credential, has(&["token", "auth_token"]), has(&["password"])) {
        (true, false, false) => Some("v3applicationcredential"),
        (false, true, false) => Some("token"),
        _ => None,
    }
}

/// Returns the methods of a multi-factor login: a list of auth types, or a text with their names separated by commas.
fn listed_methods(settings: &Settings) -> Result<Vec<Method>, ConfigError> {
    let values = [("auth.auth_methods", &settings.auth), ("auth_methods", &settings.top)];
    let mut values: Vec<_> = values
        .into_iter()
        .filter_map(|(member, mapping)| Some((member, mapping.get("auth_methods")?)))
        .filter(|(_, value)| value.is_set())
        .collect();
    values.sort_by_key(|(_, value)| !value.location.is_argument());
    let Some((member, value)) = values.first() else {
        let hint = "the methods are auth types, such as v3password";
        return Err(ConfigError::missing_settings("v3multifactor", vec!["auth_methods"], Some(hint.into())));
    };
    let methods = method_names(value).and_then(|names| {
        // A name that does not exist is reported before one that is no method.
        let named = names.iter().map(|name| named(name, METHODS)).collect::<Result<Vec<_>, _>>()?;
        named.into_iter().map(method).collect()
    });
    methods.map_err(|error| error.at(&value.location).member(member))
}

/// Returns the method of this auth type, as `auth_methods` lists it.
fn method(auth_type: &'static AuthType) -> Result<Method, ConfigError> {
    match auth_type.kind {
        Kind::V3(method) => Ok(method),
        _ => Err(ConfigError::new(ConfigErrorKind::UnsupportedAuthType {
            auth_type: auth_type.name,
            supported: METHODS,
            hint: None,
        })),
    }
}

fn method_names(value: &Value) -> Result<Vec<String>, ConfigError> {
    match &value.data {
        Data::Sequence(items) => {
            let names = items.iter().map(|item| {
                let text =
                    item.text()?.ok_or_else(|| ConfigError::invalid_value("the name of an auth type"))?;
                Ok(text.text.expose().to_owned())
            });
            names.collect()
        }
        _ => {
            let text =
                value.text().map_err(|_| ConfigError::invalid_value("a list, or a text with commas"))?;
            Ok(text.iter().flat_map(|text| text.text.expose().split(',')).map(str::to_owned).collect())
        }
    }
}
