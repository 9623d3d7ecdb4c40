//! The input of a case: files, environment variables, options and arguments.

use std::{collections::BTreeMap, io, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tower_keystone::{
    Secret,
    config::{CloudConfig, CloudConfigBuilder},
};

use crate::{Case, Incomplete};

/// A file of a case, by its path.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum File {
    Text(String),
    /// It exists, but it is unreadable or a directory.
    Other(BTreeMap<String, bool>),
}

impl File {
    /// Returns the text, unless the file cannot be read.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into()),
            Self::Other(properties) if properties.contains_key("directory") => {
                Err(io::ErrorKind::IsADirectory.into())
            }
            Self::Other(_) => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// How the configuration is loaded.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    config_files: Option<Vec<String>>,
    secure_files: Option<Vec<String>>,
    vendor_files: Option<Vec<String>>,
    load_yaml_config: Option<bool>,
    load_envvars: Option<bool>,
    envvar_prefix: Option<String>,
    /// What the user types at a prompt.
    pub(crate) password_callback: Option<String>,
}

/// Returns a builder with the files, variables and options of the case, but without its arguments.
pub(crate) fn builder(case: &Case) -> CloudConfigBuilder {
    let files = case.files.clone();
    let read = move |path: &Path| match path.to_str().and_then(|path| files.get(path)) {
        Some(file) => file.read(),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    let options = &case.options;
    let mut builder = CloudConfig::builder()
        .environment(case.env.clone())
        .working_directory(case.working_directory())
        .load_envvars(options.load_envvars.unwrap_or(true))
        .load_files(options.load_yaml_config.unwrap_or(true))
        .read_files_with(read);
    if let Some(paths) = &options.config_files {
        builder = builder.clouds_files(paths);
    }
    if let Some(paths) = &options.secure_files {
        builder = builder.secure_files(paths);
    }
    if let Some(paths) = &options.vendor_files {
        builder = builder.public_files(paths);
    }
    match &options.envvar_prefix {
        Some(prefix) => builder.envvar_prefix(prefix),
        None => builder,
    }
}

/// Adds the arguments of the case. A null argument is not given.
pub(crate) fn with_arguments(
    mut builder: CloudConfigBuilder,
    case: &Case,
) -> Result<CloudConfigBuilder, Incomplete> {
    for (name, value) in case.args.iter().filter(|(_, value)| !value.is_null()) {
        builder = match (&**name, value) {
            ("cloud", Value::String(cloud)) => builder.cloud(cloud),
            ("region_name", Value::String(region)) => builder.region_name(region),
            ("auth", Value::Object(members)) => {
                for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    builder = builder.set_auth(name, argument(name, value)?);
                }
                builder
            }
            _ => builder.set(name, argument(name, value)?),
        };
    }
    Ok(builder)
}

fn argument(name: &str, value: &Value) -> Result<Secret, Incomplete> {
    match value {
        Value::String(text) => Ok(Secret::new(text)),
        Value::Bool(_) | Value::Number(_) => Ok(Secret::from(value.to_string())),
        _ => Err(Incomplete::NotExpressible(format!("the argument `{name}` that is no scalar"))),
    }
}
