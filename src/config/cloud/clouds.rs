//! The clouds of the files and of the environment.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::warn;

use super::merge::{merge_into, spell_settings};
use crate::{
    config::{
        names::closest::closest,
        options::Options,
        settings::Settings,
        sources::{
            environment::Environment,
            read_file::{Found, read_first},
            search::{FileKind, candidates, directories, named},
            trust::{Protection, SourceFile},
            yaml,
        },
        value::{Data, Mapping, Value},
    },
    error::{ConfigError, ConfigErrorKind, Names, escaped},
};

/// What locations call the content that the program provides instead of a clouds file.
const CLOUDS_YAML: &str = "clouds_yaml";

/// Maximum number of unreadable files that an error lists.
const MAX_FILES: usize = 10;

/// The files and the environment, as they were read.
pub(crate) struct Clouds {
    pub(crate) environment: Environment,
    /// Empty if the process has no working directory, for example because it was removed.
    pub(crate) working_directory: PathBuf,
    /// The clouds file.
    pub(crate) clouds: Option<Document>,
    /// The secure file.
    pub(crate) secure: Option<Document>,
    /// Where the clouds file was searched for.
    searched: Searched,
}

/// Where the clouds file was searched for.
struct Searched {
    /// The names of the directories or files.
    directories: Vec<String>,
    /// Clouds files and secure files that this user may not read.
    forbidden: Vec<Arc<Path>>,
}

/// A file of the configuration.
pub(crate) struct Document {
    pub(crate) source: SourceFile,
    /// The clouds. In a file of profiles, the profiles.
    pub(crate) entries: Mapping,
    /// The other members.
    members: Mapping,
    /// Whether the file has the member with the clouds or the profiles.
    has_entries: bool,
}

/// The settings of one cloud, as its files contain them.
pub(crate) struct Cloud {
    /// `None` if no cloud is selected.
    pub(crate) name: Option<Box<str>>,
    pub(crate) settings: Settings,
    /// The files that contain the cloud.
    pub(crate) sources: Vec<SourceFile>,
    /// Whether the settings come from the environment.
    pub(crate) is_environment: bool,
    /// Whether the program selected the cloud by its name.
    pub(crate) is_requested: bool,
}

impl Clouds {
    /// Reads the files and the environment.
    pub(crate) fn load(options: &Options) -> Result<Self, ConfigError> {
        let environment = Environment::new(options);
        let working_directory = working_directory(options);
        let mut forbidden = Vec::new();
        let mut read = |kind| Document::read(kind, options, &environment, &working_directory, &mut forbidden);
        let (clouds, secure) = (read(FileKind::Clouds)?, read(FileKind::Secure)?);
        let directories = searched_directories(options, &environment, &working_directory);
        let searched = Searched { directories, forbidden };
        let loaded = Self { environment, working_directory, clouds, secure, searched };
        loaded.check_cloud_name()?;
        Ok(loaded)
    }

    /// Reads the file of profiles.
    pub(crate) fn public(&self, options: &Options) -> Result<Option<Document>, ConfigError> {
        let forbidden = &mut Vec::new();
        Document::read(FileKind::Public, options, &self.environment, &self.working_directory, forbidden)
    }

    /// Returns the names of the clouds: those of the files in order, then that of the environment.
    pub(crate) fn names(&self) -> Result<Vec<String>, ConfigError> {
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

    /// Returns the selected cloud.
    ///
    /// It is the one that the program selects, the one that `OS_CLOUD` names, the one of the environment, or the only
    /// one.
    pub(crate) fn select(&self, requested: Option<Value>) -> Result<Cloud, ConfigError> {
        let is_requested = requested.is_some();
        let requested = match requested {
            Some(requested) => Some(requested),
            None => self.environment.setting("OS_CLOUD")?,
        };
        if let Some(requested) = requested.map(|requested| requested.text()).transpose()?.flatten() {
            let name = requested.text.expose();
            let cloud = self.cloud(name).map_err(|error| error.at(&requested.location))?;
            return Ok(Cloud { is_requested, ..cloud });
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
                is_requested: false,
            }),
        }
    }

    fn cloud(&self, name: &str) -> Result<Cloud, ConfigError> {
        if self.environment.has_cloud() && self.environment.cloud_name() == Ok(name) {
            return Ok(Cloud {
                name: Some(name.into()),
                settings: Settings::from_mapping(self.environment.cloud()?)?,
                sources: Vec::new(),
                is_environment: true,
                is_requested: false,
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
            let searched = self.searched().map(Into::into);
            let cloud = name.into();
            return Err(ConfigError::new(ConfigErrorKind::CloudNotFound { cloud, known, searched }));
        }
        let settings = Settings::from_mapping(merged)?;
        Ok(Cloud { name: Some(name.into()), settings, sources, is_environment: false, is_requested: false })
    }

    /// Returns the settings for all clouds: the member `client` of the files, and the variables for them.
    pub(crate) fn client(&self) -> Result<Settings, ConfigError> {
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

    /// Returns whether the files say that tokens are stored: `cache.auth`, of the secure file if it is there.
    ///
    /// The other members of `cache` are settings of openstacksdk for responses of services. They are ignored.
    pub(crate) fn cache_auth(&self) -> Result<bool, ConfigError> {
        let mut is_enabled = false;
        for document in self.documents() {
            let Some(cache) = document.members.get("cache") else { continue };
            let cache = cache.clone().into_mapping().map_err(|error| error.member("cache"))?;
            cache.iter().for_each(|(name, value)| warn_if_misspelt(name, value));
            if let Some(auth) = cache.get("auth") {
                is_enabled = auth.boolean().map_err(|error| error.member("cache.auth"))?.unwrap_or(false);
            }
        }
        Ok(is_enabled)
    }

    /// Returns which files could not be used, or where the clouds file was searched for if there is none.
    pub(crate) fn searched(&self) -> Option<String> {
        let path = |path: &Path| escaped(&path.to_string_lossy());
        let forbidden = self.searched.forbidden.iter().take(MAX_FILES);
        let mut reasons: Vec<_> = forbidden.map(|file| format!("{} may not be read", path(file))).collect();
        for document in self.documents().filter(|document| !document.has_entries) {
            let is_misspelt = |name: &&str| closest(name, ["clouds"]).is_some();
            let file = path(&document.source.path);
            reasons.push(match document.members.iter().map(|(name, _)| name).find(is_misspelt) {
                Some(name) => format!("{file} has the member `{}` instead of `clouds`", escaped(name)),
                None => format!("{file} has no member `clouds`"),
            });
        }
        if self.clouds.is_none() && !self.searched.directories.is_empty() {
            reasons.push(format!("no clouds.yaml was found in {}", Names(&self.searched.directories)));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        self.clouds.iter().chain(&self.secure)
    }

    /// Returns an error if a cloud in a file has the name of the cloud of the environment.
    fn check_cloud_name(&self) -> Result<(), ConfigError> {
        // No cloud in a file has a name that is not Unicode.
        let Ok(name) = self.environment.cloud_name() else { return Ok(()) };
        if !self.environment.is_loaded() {
            return Ok(());
        }
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
        forbidden: &mut Vec<Arc<Path>>,
    ) -> Result<Option<Self>, ConfigError> {
        if let (FileKind::Clouds, Some(text)) = (kind, &options.clouds_yaml) {
            let source = SourceFile { path: Path::new(CLOUDS_YAML).into(), protection: Protection::PROVIDED };
            return Self::parse(kind, source, text.expose().as_bytes()).map(Some);
        }
        let candidates = candidates(kind, options, environment, working_directory);
        let found = read_first(candidates, options.read_file.as_ref(), working_directory)?;
        let named = named(kind, options, environment, working_directory);
        warn_skipped(&found, named);
        if matches!(kind, FileKind::Clouds) && found.file.is_none() && found.forbidden.is_empty() {
            warn_none(options, environment, working_directory);
        }
        forbidden.extend(found.forbidden);
        let Some(file) = found.file else { return Ok(None) };
        Self::parse(kind, file.source, &file.bytes).map(Some)
    }

    fn parse(kind: FileKind, source: SourceFile, bytes: &[u8]) -> Result<Self, ConfigError> {
        let root = yaml::read(bytes, &source.path)?;
        let is_empty = matches!(&root.data, Data::Sequence(items) if items.is_empty());
        let mut members = if is_empty { Mapping::default() } else { root.into_document()? };
        let name = match kind {
            FileKind::Clouds | FileKind::Secure => "clouds",
            FileKind::Public => "public-clouds",
        };
        let entries = members.remove(name);
        let has_entries = entries.is_some();
        let entries = match entries {
            Some(entries) => entries.into_mapping().map_err(|error| error.member(name))?,
            None => {
                if members.iter().next().is_some() {
                    warn!(file = %source.path.display(), "the file has no member `{name}`, so it is ignored");
                }
                Mapping::default()
            }
        };
        Ok(Self { source, entries, members, has_entries })
    }
}

/// Logs that a member of `cache` is ignored, if its name is close to `auth`.
fn warn_if_misspelt(name: &str, value: &Value) {
    if name != "auth" && closest(name, ["auth"]).is_some() {
        let (location, name) = (&value.location, escaped(name));
        warn!("{location}: the setting cache.{name} is unknown, so it is ignored; did you mean cache.auth?");
    }
}

/// Logs skipped files that exist or that a variable names.
fn warn_skipped(found: &Found, named: Option<(&str, PathBuf)>) {
    for path in &found.forbidden {
        warn!("the file {} may not be read, so it is skipped", escaped(&path.to_string_lossy()));
    }
    let Some((variable, path)) = named else { return };
    let is_read = found.file.as_ref().is_some_and(|file| *file.source.path == *path);
    if !is_read {
        let path = escaped(&path.to_string_lossy());
        warn!(
            "the variable {variable}: there is no file {path} that can be read; the usual places are searched"
        );
    }
}

/// Logs that there is none of the clouds files that the program has set.
fn warn_none(options: &Options, environment: &Environment, working_directory: &Path) {
    let Some([_, ..]) = options.clouds_files.as_deref().filter(|_| options.load_files) else { return };
    let files = searched_directories(options, environment, working_directory);
    warn!("there is none of the clouds files that the program has set: {}", Names(&files));
}

/// Returns where the clouds file is searched for.
fn searched_directories(
    options: &Options,
    environment: &Environment,
    working_directory: &Path,
) -> Vec<String> {
    if !options.load_files {
        return Vec::new();
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(files) = &options.clouds_files {
        return files.iter().map(|path| text(&working_directory.join(path))).collect();
    }
    let mut names = Vec::new();
    for directory in directories(options, environment, working_directory) {
        let name = if directory == working_directory {
            "the working directory".to_owned()
        } else {
            text(&directory)
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn working_directory(options: &Options) -> PathBuf {
    let directory = options.working_directory.as_deref().unwrap_or(Path::new("."));
    std::path::absolute(directory).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        cloud::arguments::argument,
        options::testing::{with_files, with_variables},
    };

    const CLOUDS: &str = "/home/a/.config/openstack/clouds.yaml";
    const SECURE: &str = "/home/a/.config/openstack/secure.yaml";

    fn with_environment(options: Options, variables: &[(&str, &str)]) -> Options {
        let mut environment = options.environment.clone().unwrap();
        environment.extend(with_variables(variables).environment.unwrap());
        Options { environment: Some(environment), ..options }
    }

    fn selected(options: &Options, requested: Option<&str>) -> Result<Option<String>, String> {
        let requested = requested.map(|name| argument("cloud", crate::Secret::new(name)));
        let cloud = Clouds::load(options).and_then(|clouds| clouds.select(requested));
        cloud.map(|cloud| cloud.name.map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn clouds_are_selected_by_name_then_by_what_there_is() {
        let one = with_files(&[(CLOUDS, "clouds: {one: {}}")]);
        let two = with_files(&[(CLOUDS, "clouds: {one: {}, two: {}}")]);
        let cloud = [("OS_CLOUD", "two"), ("OS_AUTH_URL", "https://k")];
        let (in_environment, no_cloud) = ([("OS_AUTH_URL", "https://k")], with_files(&[]));
        for (options, requested, expected) in [
            (one.clone(), None, Some("one")),
            (two.clone(), None, None),
            (no_cloud.clone(), None, None),
            (two.clone(), Some("two"), Some("two")),
            (with_environment(two.clone(), &cloud), None, Some("two")),
            (with_environment(two.clone(), &cloud), Some("one"), Some("one")),
            (with_environment(two.clone(), &cloud), Some("envvars"), Some("envvars")),
            (with_environment(one.clone(), &in_environment), None, Some("envvars")),
            (with_environment(one.clone(), &[("OS_REGION_NAME", "R")]), None, Some("one")),
            (Options { load_envvars: false, ..with_environment(one.clone(), &cloud) }, None, Some("one")),
            (Options { load_files: false, ..one.clone() }, None, None),
        ] {
            assert_eq!(selected(&options, requested).unwrap().as_deref(), expected, "{requested:?}");
        }
    }

    #[test]
    fn a_cloud_that_does_not_exist_is_an_error_that_lists_the_others() {
        let options = with_files(&[(CLOUDS, "clouds: {one: {}, two: {}}")]);
        let known = "there is no cloud \"x\"; the clouds are one, two";
        assert_eq!(selected(&options, Some("x")).unwrap_err(), format!("the argument cloud: {known}"));
        let options = with_environment(options, &[("OS_CLOUD", "x")]);
        assert_eq!(selected(&options, None).unwrap_err(), format!("the variable OS_CLOUD: {known}"));
    }

    #[test]
    fn the_files_that_an_error_lists_are_absolute_and_bounded() {
        let options = |files: usize, error: fn() -> std::io::Error| Options {
            clouds_files: Some((0..files).map(|index| format!("{index}.yaml").into()).collect()),
            read_file: Some(Arc::new(move |_| Err(error()))),
            ..with_files(&[])
        };
        let absent = selected(&options(1, || std::io::ErrorKind::NotFound.into()), Some("x")).unwrap_err();
        assert!(absent.ends_with("no clouds.yaml was found in /cwd/0.yaml"), "{absent}");
        let forbidden = options(MAX_FILES + 1, || std::io::ErrorKind::PermissionDenied.into());
        let error = selected(&forbidden, Some("x")).unwrap_err();
        assert_eq!(error.matches("may not be read").count(), MAX_FILES, "{error}");
    }

    #[test]
    fn names_are_in_the_order_of_the_files_and_the_environment_is_the_last() {
        let files = with_files(&[
            (CLOUDS, "clouds: {b: {}, broken: text, a: {}}"),
            (SECURE, "clouds: {c: {}, a: {}}"),
        ]);
        let options = with_environment(files, &[("OS_AUTH_URL", "x"), ("OS_CLOUD_NAME", "mine")]);
        let names = Clouds::load(&options).unwrap().names().unwrap();
        assert_eq!(names, ["b", "broken", "a", "c", "mine"]);
    }

    #[test]
    fn a_broken_cloud_spoils_no_other() {
        let options = with_files(&[(CLOUDS, "clouds: {one: {}, broken: canary, null: null}")]);
        assert!(selected(&options, Some("one")).is_ok());
        assert!(selected(&options, Some("null")).is_ok());
        assert_eq!(
            selected(&options, Some("broken")).unwrap_err(),
            format!("{CLOUDS}:1:19: clouds.broken: expected a mapping; indent its members below it")
        );
    }

    #[test]
    fn the_secure_file_is_merged_over_the_clouds_file() {
        let options = with_files(&[
            (CLOUDS, "clouds: {one: {region-name: R1, auth: {username: a, password: x}}}"),
            (SECURE, "clouds: {one: {region_name: R2, auth: {password: y}}}"),
        ]);
        let cloud = Clouds::load(&options).unwrap().select(None).unwrap();
        let text = |mapping: &Mapping, name: &str| {
            mapping.get(name).unwrap().text().unwrap().unwrap().text.expose().to_owned()
        };
        assert_eq!(text(&cloud.settings.top, "region_name"), "R2");
        assert_eq!(text(&cloud.settings.auth, "username"), "a");
        assert_eq!(text(&cloud.settings.auth, "password"), "y");
        let paths: Vec<_> = cloud.sources.iter().map(|source| source.path.to_path_buf()).collect();
        assert_eq!(paths, [CLOUDS, SECURE].map(PathBuf::from));
    }

    #[test]
    fn the_cloud_of_the_environment_needs_a_name_of_its_own() {
        let options = with_files(&[(CLOUDS, "clouds: {mine: {}}")]);
        let options = with_environment(options, &[("OS_CLOUD_NAME", "mine")]);
        assert_eq!(
            selected(&options, None).unwrap_err(),
            format!(
                "{CLOUDS}:1:10: the cloud \"mine\" has the name of the cloud of the environment; rename it, or set \
                 OS_CLOUD_NAME to another name"
            )
        );
        let options = with_files(&[(CLOUDS, "clouds: {mine: {}, envvars: {}}")]);
        let options = with_environment(options, &[("OS_CLOUD_NAME", "mine")]);
        assert!(selected(&Options { load_envvars: false, ..options }, None).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_spoils_only_the_load_that_uses_it() {
        use std::{ffi::OsString, os::unix::ffi::OsStringExt};

        for name in ["OS_CLOUD", "OS_CLOUD_NAME", "OS_PASSWORD"] {
            let mut options = with_environment(
                with_files(&[(CLOUDS, "clouds: {one: {}}")]),
                &[("OS_AUTH_URL", "https://k")],
            );
            let value = OsString::from_vec(vec![0xff]);
            options.environment.as_mut().unwrap().insert(name.into(), value);
            let error = selected(&options, None).unwrap_err();
            assert_eq!(error, format!("the variable {name}: expected a text in Unicode"));
            assert_eq!(selected(&options, Some("one")).unwrap().as_deref(), Some("one"));
            assert_eq!(Clouds::load(&options).unwrap().names().is_err(), name == "OS_CLOUD_NAME");
        }
    }

    #[test]
    fn a_file_without_clouds_ends_the_search() {
        let site = ("/etc/openstack/clouds.yaml", "clouds: {site: {}}");
        for text in ["", "# a comment", "[]", "{}", "clouds:", "cloud: {one: {}}"] {
            assert_eq!(selected(&with_files(&[(CLOUDS, text), site]), None), Ok(None), "{text:?}");
        }
        for text in ["42", "[a]", "clouds: canary"] {
            let error = selected(&with_files(&[(CLOUDS, text), site]), None).unwrap_err();
            assert!(error.contains("expected a mapping") && error.starts_with(CLOUDS), "{error}");
            assert_eq!(error.contains(": clouds: "), text == "clouds: canary", "{error}");
        }
    }

    #[test]
    fn a_broken_file_is_an_error_with_its_place() {
        let files =
            [(CLOUDS, "clouds:\n  one: [canary"), ("/etc/openstack/clouds.yaml", "clouds: {site: {}}")];
        let error = selected(&with_files(&files), None).unwrap_err();
        assert!(error.starts_with(&format!("{CLOUDS}:2:8: ")) && !error.contains("canary"), "{error}");
    }

    #[test]
    fn settings_for_all_clouds_come_from_files_and_variables() {
        let options =
            with_files(&[(CLOUDS, "client: {force-ipv4: yes}"), (SECURE, "client: {prefer_ipv6: no}")]);
        let client = Clouds::load(&options).unwrap().client().unwrap();
        assert_eq!(client.boolean("force_ipv4"), Ok(Some(true)));
        assert_eq!(client.boolean("prefer_ipv6"), Ok(Some(false)));

        let options = with_environment(options, &[("OS_FORCE_IPV4", "no"), ("OS_PREFER_IPV6", "yes")]);
        let client = Clouds::load(&options).unwrap().client().unwrap();
        assert_eq!(client.boolean("force_ipv4"), Ok(Some(false)));
        assert_eq!(client.boolean("prefer_ipv6"), Ok(Some(true)));

        let error = Clouds::load(&with_files(&[(CLOUDS, "client: canary")])).unwrap().client().err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("{CLOUDS}:1:1: client: expected a mapping; indent its members below it")
        );
    }
}
