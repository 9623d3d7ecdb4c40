//! The arguments: settings that the program sets itself.

use crate::{
    Secret,
    config::{
        options::Options,
        settings::Settings,
        value::{Data, Mapping, Value},
    },
    error::{ConfigError, ConfigLocation},
};

/// The arguments. Those that select the cloud, the profile and the region are separate from the other settings.
pub(crate) struct Arguments {
    pub(crate) cloud: Option<Value>,
    pub(crate) profile: Option<Value>,
    pub(crate) region_name: Option<Value>,
    pub(crate) settings: Settings,
}

impl Arguments {
    /// Reads the arguments. An empty one counts as not set.
    pub(crate) fn new(options: &Options) -> Result<Self, ConfigError> {
        let mut top = spell(&options.arguments);
        if let Some(auth) = top.remove("auth") {
            let error = ConfigError::conflict("its members are set one by one; call set_auth");
            return Err(error.at(&auth.location));
        }
        let selection = |name: &str, value: &Option<String>| {
            value.as_deref().map(|value| argument(name, Secret::new(value)))
        };
        let (cloud, region_name) = (top.remove("cloud"), top.remove("region_name"));
        Ok(Self {
            cloud: selection("cloud", &options.cloud).or(cloud).filter(is_given),
            profile: top.remove("profile"),
            region_name: selection("region_name", &options.region_name).or(region_name).filter(is_given),
            settings: Settings { auth: spell(&options.auth_arguments), top },
        })
    }
}

/// Returns the value of an argument.
pub(crate) fn argument(name: &str, text: Secret) -> Value {
    Value { data: Data::Scalar(text), location: ConfigLocation::Argument(name.into()) }
}

/// Spells the names with `_` and without `os_`. A name that the program wrote with `os_` takes precedence.
fn spell(arguments: &Mapping) -> Mapping {
    let (mut spelt, mut with_prefix) = (Mapping::default(), Mapping::default());
    for (name, value) in arguments.iter().filter(|(_, value)| is_given(value)) {
        let name = name.replace('-', "_");
        match name.strip_prefix("os_") {
            Some(name) => with_prefix.insert(name, value.clone()),
            None => spelt.insert(&name, value.clone()),
        };
    }
    spelt.extend(with_prefix);
    spelt
}

fn is_given(value: &Value) -> bool {
    !matches!(&value.data, Data::Scalar(text) if text.expose().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(top: &[(&str, &str)], auth: &[(&str, &str)]) -> Result<Arguments, ConfigError> {
        let mapping = |arguments: &[(&str, &str)]| {
            let mut mapping = Mapping::default();
            for (name, text) in arguments {
                mapping.insert(name, argument(name, Secret::new(*text)));
            }
            mapping
        };
        Arguments::new(&Options {
            arguments: mapping(top),
            auth_arguments: mapping(auth),
            ..Options::default()
        })
    }

    fn texts(mapping: &Mapping) -> Vec<(&str, String)> {
        let text = |value: &Value| value.text().unwrap().unwrap().text.expose().to_owned();
        mapping.iter().map(|(name, value)| (name, text(value))).collect()
    }

    #[test]
    fn names_are_spelt_in_one_way() {
        let top = [("os_password", "a"), ("password", "b"), ("project-name", "c"), ("username", "")];
        let arguments = arguments(&top, &[("os-user-id", "d")]).unwrap();
        let expected = [("password", "a".to_owned()), ("project_name", "c".to_owned())];
        assert_eq!(texts(&arguments.settings.top), expected);
        assert_eq!(texts(&arguments.settings.auth), [("user_id", "d".to_owned())]);
    }

    #[test]
    fn what_selects_a_cloud_is_no_setting() {
        let top = [("cloud", "one"), ("profile", "acme"), ("region-name", "R")];
        let arguments = arguments(&top, &[]).unwrap();
        assert!(texts(&arguments.settings.top).is_empty());
        let selected = [arguments.cloud, arguments.profile, arguments.region_name];
        assert!(selected.iter().all(Option::is_some));
    }

    #[test]
    fn an_empty_selection_counts_as_not_given() {
        let empty = Some(String::new());
        let options = Options { cloud: empty.clone(), region_name: empty, ..Options::default() };
        let arguments = Arguments::new(&options).unwrap();
        assert!(arguments.cloud.is_none() && arguments.region_name.is_none());
    }

    #[test]
    fn auth_cannot_be_set_as_a_text() {
        let error = arguments(&[("auth", "canary")], &[]).err().unwrap();
        assert_eq!(error.to_string(), "the argument auth: its members are set one by one; call set_auth");
    }
}
