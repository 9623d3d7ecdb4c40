//! Merges the settings of a cloud from its profile, its files, its region and the program.

use crate::{
    config::{
        settings::Settings,
        value::{Data, Mapping, Value},
    },
    error::ConfigError,
};

/// The end of old names that openstacksdk knows with `_` only. With `-`, they are ignored.
const IGNORED_SUFFIX: &str = "endpoint-type";

/// Merges a mapping into another one. A member that is a mapping in both is merged, every other one is replaced.
pub(crate) fn merge_into(under: &mut Mapping, over: Mapping) {
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
pub(crate) fn spell_settings(settings: Mapping) -> Mapping {
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

/// Returns whether the spelling with `-` takes precedence if a mapping contains both.
///
/// For all other settings, the last spelling in the mapping does.
fn prefers_hyphen(name: &str) -> bool {
    let name = name.strip_suffix("_id").or_else(|| name.strip_suffix("_name")).unwrap_or_default();
    matches!(name, "domain" | "user_domain" | "project_domain" | "project" | "tenant")
}

impl Settings {
    /// Takes the settings of a cloud, a profile or a region from its mapping.
    pub(crate) fn from_mapping(settings: Mapping) -> Result<Self, ConfigError> {
        let mut top = spell_settings(settings);
        let auth = top.remove("auth").map_or_else(|| Ok(Mapping::default()), Value::into_mapping);
        Ok(Self { auth: auth.map_err(|error| error.member("auth"))?, top })
    }

    /// Replaces settings by those that take precedence: the members of `auth` one by one, all other settings as a
    /// whole.
    pub(crate) fn put_over(&mut self, over: Self) {
        self.auth.extend(over.auth);
        self.top.extend(over.top);
    }

    /// Removes the settings that are null.
    pub(crate) fn without_null(self) -> Self {
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
    /// Returns the members of a mapping that has a name. Null counts as a mapping without members.
    pub(crate) fn into_mapping(self) -> Result<Mapping, ConfigError> {
        self.into_members("a mapping; indent its members below it")
    }

    /// Returns the members of a document.
    pub(crate) fn into_document(self) -> Result<Mapping, ConfigError> {
        self.into_members("a mapping")
    }

    fn into_members(self, expected: &str) -> Result<Mapping, ConfigError> {
        match self.data {
            Data::Mapping(members) => Ok(members),
            Data::Null => Ok(Mapping::default()),
            Data::Scalar(_) | Data::Sequence(_) => {
                Err(ConfigError::invalid_value(expected).at(&self.location))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::yaml;

    fn mapping(text: &str) -> Mapping {
        yaml::read(text.as_bytes(), &std::path::Path::new("f.yaml").into()).unwrap().into_mapping().unwrap()
    }

    /// Returns a mapping as one line, for comparison.
    fn line(mapping: &Mapping) -> String {
        let value = |value: &Value| match &value.data {
            Data::Null => "null".to_owned(),
            Data::Scalar(text) => text.expose().to_owned(),
            Data::Sequence(items) => format!("[{}]", items.len()),
            Data::Mapping(members) => line(members),
        };
        let members: Vec<_> =
            mapping.iter().map(|(name, member)| format!("{name}: {}", value(member))).collect();
        format!("{{{}}}", members.join(", "))
    }

    #[test]
    fn mappings_are_merged_and_everything_else_is_replaced() {
        let mut merged = mapping("{auth: {a: 1, b: 2}, list: [1, 2], text: x, gone: y}");
        merge_into(&mut merged, mapping("{auth: {b: 3, c: 4}, list: [1], gone: null, new: z}"));
        let expected = "{auth: {a: 1, b: 3, c: 4}, list: [1], text: x, gone: null, new: z}";
        assert_eq!(line(&merged), expected);
    }

    #[test]
    fn names_are_spelt_in_one_way() {
        let spelt = spell_settings(mapping("{region-name: R, auth: {user-id: u}, other: {a-b: 1}}"));
        assert_eq!(line(&spelt), "{region_name: R, auth: {user_id: u}, other: {a-b: 1}}");
    }

    #[test]
    fn the_last_spelling_takes_precedence() {
        let spelt = spell_settings(mapping("{user-id: a, user_id: b, api_timeout: 1, api-timeout: 2}"));
        assert_eq!(line(&spelt), "{user_id: b, api_timeout: 2}");
    }

    #[test]
    fn names_of_projects_and_domains_prefer_the_hyphen() {
        for name in ["tenant", "project", "domain", "user_domain", "project_domain"] {
            let (hyphen, underscore) = (name.replace('_', "-") + "-name", format!("{name}_name"));
            for text in [
                format!("{{{hyphen}: yes, {underscore}: no}}"),
                format!("{{{underscore}: no, {hyphen}: yes}}"),
            ] {
                assert_eq!(line(&spell_settings(mapping(&text))), format!("{{{underscore}: yes}}"));
            }
        }
    }

    #[test]
    fn old_names_with_a_hyphen_are_ignored() {
        assert_eq!(line(&spell_settings(mapping("{endpoint-type: x, compute-endpoint-type: x}"))), "{}");
    }

    #[test]
    fn a_layer_replaces_members_of_auth_one_by_one() {
        let mut settings = Settings::from_mapping(mapping("{auth: {a: 1, b: 2}, networks: {a: 1}}")).unwrap();
        settings.put_over(Settings::from_mapping(mapping("{auth: {b: 3}, networks: {b: 2}}")).unwrap());
        assert_eq!(line(&settings.auth), "{a: 1, b: 3}");
        assert_eq!(line(&settings.top), "{networks: {b: 2}}");
    }

    #[test]
    fn auth_is_a_mapping_or_null() {
        assert_eq!(line(&Settings::from_mapping(mapping("{auth: }")).unwrap().auth), "{}");
        let error = Settings::from_mapping(mapping("{auth: canary}")).err().unwrap();
        assert_eq!(error.to_string(), "f.yaml:1:2: auth: expected a mapping; indent its members below it");
    }
}
