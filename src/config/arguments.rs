//! The settings that the program sets itself.

use super::{
    CloudConfigBuilder,
    settings::Settings,
    value::{Data, Mapping, Value},
};
use crate::{
    Secret,
    error::{ConfigError, ConfigLocation},
};

/// The settings of the program, with what selects the cloud, the profile and the region apart from the others.
pub(super) struct Arguments {
    pub(super) cloud: Option<Value>,
    pub(super) profile: Option<Value>,
    pub(super) region_name: Option<Value>,
    pub(super) settings: Settings,
}

impl Arguments {
    /// Takes the arguments of the builder. An empty one counts as not given.
    pub(super) fn new(builder: &CloudConfigBuilder) -> Result<Self, ConfigError> {
        let mut top = spell(&builder.arguments);
        if let Some(auth) = top.remove("auth") {
            let error = ConfigError::conflict("its members are set one by one; call set_auth");
            return Err(error.at(&auth.location));
        }
        let selection = |name: &str, value: &Option<String>| {
            value.as_deref().map(|value| argument(name, Secret::new(value)))
        };
        let (cloud, region_name) = (top.remove("cloud"), top.remove("region_name"));
        Ok(Self {
            cloud: selection("cloud", &builder.cloud).or(cloud).filter(is_given),
            profile: top.remove("profile"),
            region_name: selection("region_name", &builder.region_name).or(region_name).filter(is_given),
            settings: Settings { auth: spell(&builder.auth_arguments), top },
        })
    }
}

/// Returns the value of an argument.
pub(super) fn argument(name: &str, text: Secret) -> Value {
    Value { data: Data::Scalar { text, plain: true }, location: ConfigLocation::Argument(name.into()) }
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
    !matches!(&value.data, Data::Scalar { text, .. } if text.expose().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mapping: &Mapping) -> Vec<(&str, &str)> {
        mapping
            .iter()
            .map(|(name, value)| match &value.data {
                Data::Scalar { text, .. } => (name, text.expose()),
                _ => (name, ""),
            })
            .collect()
    }

    #[test]
    fn names_are_spelt_in_one_way() {
        let builder = CloudConfigBuilder::new()
            .set("os_password", "a")
            .set("password", "b")
            .set("project-name", "c")
            .set("username", "")
            .set_auth("os-user-id", "d");
        let arguments = Arguments::new(&builder).unwrap();
        assert_eq!(names(&arguments.settings.top), [("password", "a"), ("project_name", "c")]);
        assert_eq!(names(&arguments.settings.auth), [("user_id", "d")]);
    }

    #[test]
    fn what_selects_a_cloud_is_no_setting() {
        let builder = CloudConfigBuilder::new()
            .set("cloud", "one")
            .set("profile", "acme")
            .region_name("")
            .set("region-name", "R");
        let arguments = Arguments::new(&builder).unwrap();
        assert!(names(&arguments.settings.top).is_empty());
        assert!(arguments.cloud.is_some() && arguments.profile.is_some() && arguments.region_name.is_none());
    }

    #[test]
    fn auth_cannot_be_set_as_a_text() {
        let error = Arguments::new(&CloudConfigBuilder::new().set("auth", "canary")).err().unwrap();
        assert_eq!(error.to_string(), "the argument auth: its members are set one by one; call set_auth");
    }
}
