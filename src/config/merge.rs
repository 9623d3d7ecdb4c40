//! Merges the settings of a cloud: of its profile, its files, its region and the program.

use super::{
    settings::Settings,
    value::{Data, Mapping, Value},
};
use crate::error::ConfigError;

/// Old names that the reference knows in one spelling only. A member in the other spelling is ignored.
const IGNORED_SUFFIX: &str = "endpoint-type";

/// Merges a mapping into another one. A member that is a mapping in both is merged, every other one is replaced.
pub(super) fn merge_into(under: &mut Mapping, over: Mapping) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value { data: Data::Mapping(under), .. }), Value { data: Data::Mapping(over), .. }) => {
                merge_into(under, over)
            }
            (_, value) => {
                under.insert(&name, value);
            }
        }
    }
}

/// Spells the names of settings and of the members of `auth` with `_`.
pub(super) fn spell_settings(settings: Mapping) -> Mapping {
    let mut settings = spell_names(settings);
    if let Some(Value { data: Data::Mapping(auth), .. }) = settings.get_mut("auth") {
        *auth = spell_names(std::mem::take(auth));
    }
    settings
}

fn spell_names(members: Mapping) -> Mapping {
    let mut spelt = Mapping::default();
    for (name, value) in members {
        if !name.contains('-') {
            let keeps_other = prefers_hyphen(&name) && spelt.get(&name).is_some();
            if !keeps_other {
                spelt.insert(&name, value);
            }
        } else if !name.ends_with(IGNORED_SUFFIX) {
            spelt.insert(&name.replace('-', "_"), value);
        }
    }
    spelt
}

/// Returns whether the spelling with `-` takes precedence if a mapping contains both. Of all other settings, the last
/// one in the mapping does.
fn prefers_hyphen(name: &str) -> bool {
    let name = name.strip_suffix("_id").or_else(|| name.strip_suffix("_name")).unwrap_or_default();
    matches!(name, "domain" | "user_domain" | "project_domain" | "project" | "tenant")
}

impl Settings {
    /// Takes the settings of a cloud, a profile or a region from its mapping.
    pub(super) fn from_mapping(settings: Mapping) -> Result<Self, ConfigError> {
        let mut top = spell_settings(settings);
        let auth = top.remove("auth").map_or_else(|| Ok(Mapping::default()), Value::into_mapping);
        Ok(Self { auth: auth.map_err(|error| error.member("auth"))?, top })
    }

    /// Replaces settings by those of a layer above: the members of `auth` one by one, every other setting as a whole.
    pub(super) fn put_over(&mut self, over: Self) {
        self.auth.extend(over.auth);
        self.top.extend(over.top);
    }

    /// Removes the settings that are null.
    pub(super) fn without_null(self) -> Self {
        let keep = |members: Mapping| {
            let mut kept = Mapping::default();
            for (name, value) in members {
                if !matches!(value.data, Data::Null) {
                    kept.insert(&name, value);
                }
            }
            kept
        };
        Self { auth: keep(self.auth), top: keep(self.top) }
    }
}

impl Value {
    /// Returns the members of a mapping. Null counts as a mapping without members.
    pub(super) fn into_mapping(self) -> Result<Mapping, ConfigError> {
        match self.data {
            Data::Mapping(members) => Ok(members),
            Data::Null => Ok(Mapping::default()),
            Data::Scalar { .. } | Data::Sequence(_) => {
                Err(ConfigError::invalid_value("a mapping").at(&self.location))
            }
        }
    }
}
