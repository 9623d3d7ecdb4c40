//! The environment variables of a load, and the cloud that they describe.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{
    Secret,
    config::{
        options::Options,
        value::{Data, Mapping, Value},
    },
    error::{ConfigError, ConfigLocation},
};

/// The name of the cloud of the environment, unless `OS_CLOUD_NAME` sets another.
const DEFAULT_CLOUD_NAME: &str = "envvars";

/// Variables that select a cloud, a region or a file. If only these are set, the environment does not describe a cloud.
const SELECTORS: [&str; 5] =
    ["OS_CLOUD", "OS_REGION_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLOUD_NAME"];

/// Variables with these prefixes belong to test runners.
const FOREIGN_PREFIXES: [&str; 3] = ["OS_TEST", "OS_STD", "OS_LOG"];

/// The environment variables that a load can use. A variable with an empty value counts as not set.
pub(crate) struct Environment {
    variables: BTreeMap<String, Variable>,
    prefix: Option<String>,
    home: Option<PathBuf>,
    is_loaded: bool,
    /// Variables that are set, but empty.
    empty: BTreeSet<String>,
}

/// The value of a variable.
enum Variable {
    Text(Secret),
    NotUnicode(OsString),
}

impl Environment {
    /// Reads the variables of the program or of the process.
    pub(crate) fn new(options: &Options) -> Self {
        let prefix = options.envvar_prefix.clone().filter(|prefix| !prefix.is_empty());
        let is_setting =
            |name: &str| name.starts_with("OS_") || prefix.as_deref().is_some_and(|p| name.starts_with(p));
        let is_directory = |name: &str| {
            matches!(name, "HOME" | "SNAP_REAL_HOME" | "XDG_CACHE_HOME") || name.starts_with("XDG_CONFIG_")
        };
        let mut empty = BTreeSet::new();
        let mut add = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok()?;
            let is_used = is_directory(&name) || (is_setting(&name) && options.load_envvars);
            if is_used && value.is_empty() {
                empty.insert(name);
                return None;
            }
            is_used.then(|| (name, Variable::new(value)))
        };
        let variables: BTreeMap<_, _> = match &options.environment {
            Some(variables) => {
                variables.iter().filter_map(|(name, value)| add((name.clone(), value.clone()))).collect()
            }
            None => std::env::vars_os().filter_map(add).collect(),
        };
        let home = match &options.environment {
            Some(_) => variables.get("HOME").map(Variable::path),
            None => std::env::home_dir(),
        };
        let home = home.filter(|home| !home.as_os_str().is_empty());
        Self { variables, prefix, home, is_loaded: options.load_envvars, empty }
    }

    /// Returns whether variables can describe a cloud.
    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Returns the home directory.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Returns a variable that contains a path or a list of paths.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).map(Variable::path)
    }

    /// Returns a variable that contains a name.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        self.variables.get(name).map(|value| Ok(value.text(name)?.expose())).transpose()
    }

    /// Returns the value of a variable as a setting. It is `None` if the variable is not set.
    pub(crate) fn setting(&self, name: &str) -> Result<Option<Value>, ConfigError> {
        self.variables.get(name).map(|value| value.setting(name)).transpose()
    }

    /// Returns the name of the cloud of the environment.
    pub(crate) fn cloud_name(&self) -> Result<&str, ConfigError> {
        Ok(self.text("OS_CLOUD_NAME")?.unwrap_or(DEFAULT_CLOUD_NAME))
    }

    /// Returns whether a variable is set, but empty.
    pub(crate) fn is_empty(&self, name: &str) -> bool {
        self.empty.contains(name)
    }

    /// Returns the variables that are settings of a cloud, in order, with the names of the settings.
    pub(crate) fn cloud_variables(&self) -> impl Iterator<Item = (&str, String)> {
        let is_setting = |name: &str| name == "OS_REGION_NAME" || !SELECTORS.contains(&name);
        let settings = self.settings().filter(move |(variable, _, _)| is_setting(variable));
        settings.map(|(variable, setting, _)| (variable, setting))
    }

    /// Returns whether the environment describes a cloud: whether a variable is set that is not in [`SELECTORS`].
    pub(crate) fn has_cloud(&self) -> bool {
        self.settings().any(|(variable, _, _)| !SELECTORS.contains(&variable))
    }

    /// Returns the settings of the cloud of the environment.
    ///
    /// The name of a setting is the rest of the variable after the prefix, in lower case.
    pub(crate) fn cloud(&self) -> Result<Mapping, ConfigError> {
        let mut settings = Mapping::default();
        for (variable, setting, value) in self.settings() {
            let is_selector = SELECTORS.contains(&variable) && variable != "OS_REGION_NAME";
            if !is_selector {
                settings.insert(&setting, value.setting(variable)?);
            }
        }
        Ok(settings)
    }

    /// Returns variables, the names of their settings, and their values.
    ///
    /// If several variables are for one setting, the last one takes precedence. Variables with the prefix of the
    /// program come after those with `OS_`, and names in upper case after those in lower case.
    fn settings(&self) -> impl Iterator<Item = (&str, String, &Variable)> {
        std::iter::once("OS_").chain(self.prefix.as_deref()).flat_map(|prefix| {
            self.variables.iter().rev().filter_map(move |(variable, value)| {
                let name = variable.strip_prefix(prefix)?.trim_start_matches('_').to_lowercase();
                let is_foreign = FOREIGN_PREFIXES.iter().any(|foreign| variable.starts_with(foreign));
                (!name.is_empty() && !is_foreign).then_some((variable.as_str(), name, value))
            })
        })
    }
}

impl Variable {
    fn new(value: OsString) -> Self {
        match value.into_string() {
            Ok(text) => Self::Text(Secret::new(text)),
            Err(value) => Self::NotUnicode(value),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Text(text) => text.expose().into(),
            Self::NotUnicode(value) => value.into(),
        }
    }

    fn text(&self, name: &str) -> Result<&Secret, ConfigError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::NotUnicode(_) => {
                let location = ConfigLocation::Variable(name.into());
                Err(ConfigError::invalid_value("a text in Unicode").at(&location))
            }
        }
    }

    fn setting(&self, name: &str) -> Result<Value, ConfigError> {
        let text = self.text(name)?.clone();
        let location = ConfigLocation::Variable(name.into());
        Ok(Value { data: Data::Scalar(text), location })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::testing::with_variables;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(&with_variables(variables))
    }

    fn settings(environment: &Environment) -> Vec<(String, String)> {
        let settings = environment.cloud().unwrap();
        let mut settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.to_owned(), value.text().unwrap().unwrap().text.expose().to_owned()))
            .collect();
        settings.sort();
        settings
    }

    #[test]
    fn selectors_make_no_cloud() {
        let selectors = SELECTORS.map(|name| (name, "x"));
        assert!(!environment(&selectors).has_cloud());
        assert!(!environment(&[("OS_TEST_TIMEOUT", "5"), ("OS_LOG_PATH", "/x"), ("OS_", "x")]).has_cloud());
        assert!(!environment(&[("os_auth_url", "x"), ("OS_AUTH_URL", "")]).has_cloud());
        assert!(environment(&[("OS_FORCE_IPV4", "true")]).has_cloud());
    }

    #[test]
    fn settings_are_flat_and_in_lower_case() {
        let environment = environment(&[
            ("OS_AUTH_URL", "https://k/v3"),
            ("OS_REGION_NAME", "R"),
            ("OS_CLOUD", "x"),
            ("OS_PASSWORD", ""),
            ("OS_Auth_Url", "no"),
        ]);
        let expected = [("auth_url", "https://k/v3"), ("region_name", "R")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings(&environment), expected);
    }

    #[test]
    fn a_further_prefix_takes_precedence() {
        let variables = [("OS_USERNAME", "a"), ("MY_APP_USERNAME", "b"), ("OS_PASSWORD", "p")];
        for (prefix, username) in [("MY_APP_", "b"), ("MY_APP", "b"), ("", "a")] {
            let options = Options { envvar_prefix: Some(prefix.into()), ..with_variables(&variables) };
            let expected = [("password", "p"), ("username", username)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(settings(&Environment::new(&options)), expected);
        }
    }

    #[test]
    fn variables_are_ignored_on_request() {
        let options = with_variables(&[("OS_AUTH_URL", "x"), ("HOME", "/home/a")]);
        let environment = Environment::new(&Options { load_envvars: false, ..options });
        assert!(!environment.has_cloud());
        assert_eq!(environment.home(), Some(Path::new("/home/a")));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_unicode_is_an_error_where_it_is_used() {
        use std::os::unix::ffi::OsStringExt;

        let value = OsString::from_vec(vec![b'c', b'a', b'n', 0xff]);
        let variables = [(OsString::from("OS_PASSWORD"), value), ("OS_CLOUD".into(), "x".into())];
        let options = Options { environment: Some(variables.into()), ..Options::default() };
        let environment = Environment::new(&options);

        assert_eq!(environment.text("OS_CLOUD").unwrap(), Some("x"));
        assert!(environment.has_cloud());
        let error = environment.cloud().err().unwrap();
        assert_eq!(error.to_string(), "the variable OS_PASSWORD: expected a text in Unicode");
    }
}
