//! The clouds of the files and of the environment.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::{
    environment::Environment,
    merge::{merge_into, spell_settings},
    options::Options,
    read_file::read_first,
    search::{FileKind, candidates},
    settings::Settings,
    trust::SourceFile,
    value::{Data, Mapping, Value},
    yaml,
};
use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};

/// What a load reads: the files and the environment.
pub(super) struct Clouds {
    pub(super) environment: Environment,
    /// Empty if the process has none, for example because it was removed.
    pub(super) working_directory: PathBuf,
    /// The clouds file.
    pub(super) clouds: Option<Document>,
    /// The secure file.
    pub(super) secure: Option<Document>,
}

/// A file of the configuration.
pub(super) struct Document {
    pub(super) source: SourceFile,
    /// The clouds, or the profiles of a file of profiles.
    pub(super) entries: Mapping,
    /// The other members.
    members: Mapping,
}

/// The settings of one cloud, as its files contain them.
pub(super) struct Cloud {
    /// `None` if no cloud is selected.
    pub(super) name: Option<Box<str>>,
    pub(super) settings: Settings,
    /// The files that contain the cloud.
    pub(super) sources: Vec<SourceFile>,
    /// Whether the settings come from the environment.
    pub(super) is_environment: bool,
}

impl Clouds {
    /// Reads the files and the environment.
    pub(super) fn load(options: &Options) -> Result<Self, ConfigError> {
        let environment = Environment::new(options);
        let working_directory = working_directory(options);
        let read = |kind| Document::read(kind, options, &environment, &working_directory);
        let (clouds, secure) = (read(FileKind::Clouds)?, read(FileKind::Secure)?);
        let loaded = Self { environment, working_directory, clouds, secure };
        loaded.check_cloud_name()?;
        Ok(loaded)
    }

    /// Reads the file of profiles.
    pub(super) fn public(&self, options: &Options) -> Result<Option<Document>, ConfigError> {
        Document::read(FileKind::Public, options, &self.environment, &self.working_directory)
    }

    /// Returns the names of the clouds: those of the files in order, then that of the environment.
    pub(super) fn names(&self) -> Result<Vec<String>, ConfigError> {
        let mut names: Vec<String> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for document in self.documents() {
            for (name, _) in document.entries.iter() {
                if known.insert(name) {
                    names.push(name.to_owned());
                }
            }
        }
        if self.environment.has_cloud() {
            names.push(self.environment.cloud_name()?.to_owned());
        }
        Ok(names)
    }

    /// Returns the selected cloud: the one that the program asked for, that of `OS_CLOUD`, that of the environment, or
    /// the only one.
    pub(super) fn select(&self, requested: Option<Value>) -> Result<Cloud, ConfigError> {
        let requested = match requested {
            Some(requested) => Some(requested),
            None => self.environment.setting("OS_CLOUD")?,
        };
        if let Some(requested) = requested.map(|requested| requested.text()).transpose()?.flatten() {
            let name = requested.text.expose();
            return self.cloud(name).map_err(|error| error.at_if_missing_cloud(&requested.location));
        }
        if self.environment.has_cloud() {
            return self.cloud(self.environment.cloud_name()?);
        }
        match &*self.names()? {
            [only] => self.cloud(only),
            _ => Ok(Cloud {
                name: None,
                settings: Settings::default(),
                sources: Vec::new(),
                is_environment: false,
            }),
        }
    }

    fn cloud(&self, name: &str) -> Result<Cloud, ConfigError> {
        if self.environment.has_cloud() && name == self.environment.cloud_name()? {
            return Ok(Cloud {
                name: Some(name.into()),
                settings: Settings::from_mapping(self.environment.cloud()?)?,
                sources: Vec::new(),
                is_environment: true,
            });
        }
        let (mut merged, mut sources) = (Mapping::default(), Vec::new());
        for document in self.documents() {
            let Some(cloud) = document.entries.get(name) else { continue };
            let members = cloud.clone().into_mapping();
            let members = members.map_err(|error| error.member(&format!("clouds.{name}")))?;
            merge_into(&mut merged, spell_settings(members));
            sources.push(document.source.clone());
        }
        if sources.is_empty() {
            let known = self.names()?;
            return Err(ConfigError::new(ConfigErrorKind::CloudNotFound { cloud: name.into(), known }));
        }
        let settings = Settings::from_mapping(merged)?;
        Ok(Cloud { name: Some(name.into()), settings, sources, is_environment: false })
    }

    /// Returns the settings for all clouds: the member `client` of the files, and the variables for them.
    pub(super) fn client(&self) -> Result<Settings, ConfigError> {
        let mut client = Settings::default();
        for document in self.documents() {
            if let Some(members) = document.members.get("client") {
                let members = members.clone().into_mapping().and_then(Settings::from_mapping);
                client.put_over(members.map_err(|error| error.member("client"))?);
            }
        }
        for (name, variable) in [("force_ipv4", "OS_FORCE_IPV4"), ("prefer_ipv6", "OS_PREFER_IPV6")] {
            if let Some(value) = self.environment.setting(variable)? {
                client.top.insert(name, value);
            }
        }
        Ok(client)
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        self.clouds.iter().chain(&self.secure)
    }

    /// Refuses a cloud in a file with the name of the cloud of the environment.
    fn check_cloud_name(&self) -> Result<(), ConfigError> {
        let name = self.environment.cloud_name()?;
        let Some(cloud) = self.documents().find_map(|document| document.entries.get(name)) else {
            return Ok(());
        };
        Err(ConfigError::conflict(format!(
            "the cloud {name:?} has the name of the cloud of the environment; rename it, or set OS_CLOUD_NAME to \
             another name"
        ))
        .at(&cloud.location))
    }
}

impl Document {
    fn read(
        kind: FileKind,
        options: &Options,
        environment: &Environment,
        working_directory: &Path,
    ) -> Result<Option<Self>, ConfigError> {
        let candidates = candidates(kind, options, environment, working_directory);
        let file = read_first(candidates, options.read_file.as_ref(), working_directory)?;
        let Some(file) = file else { return Ok(None) };
        let root = yaml::read(&file.bytes, &file.source.path)?;
        let is_empty = matches!(&root.data, Data::Sequence(items) if items.is_empty());
        let mut members = if is_empty { Mapping::default() } else { root.into_mapping()? };
        let name = match kind {
            FileKind::Clouds | FileKind::Secure => "clouds",
            FileKind::Public => "public-clouds",
        };
        let entries = match members.remove(name) {
            Some(entries) => entries.into_mapping().map_err(|error| error.member(name))?,
            None => {
                if members.iter().next().is_some() {
                    warn!(file = %file.source.path.display(), "the file has no member `{name}`, so it is ignored");
                }
                Mapping::default()
            }
        };
        Ok(Some(Self { source: file.source, entries, members }))
    }
}

impl ConfigError {
    /// Adds where the name of the cloud was written, if no cloud has that name.
    fn at_if_missing_cloud(self, location: &ConfigLocation) -> Self {
        match self.kind {
            ConfigErrorKind::CloudNotFound { .. } => self.at(location),
            _ => self,
        }
    }
}

fn working_directory(options: &Options) -> PathBuf {
    let directory = options.working_directory.as_deref().unwrap_or(Path::new("."));
    std::path::absolute(directory).unwrap_or_default()
}
