//! The paths at which the files of the configuration are searched for.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::config::options::Options;

/// The kind of a file.
#[derive(Clone, Copy)]
pub(crate) enum FileKind {
    /// The clouds.
    Clouds,
    /// The secrets of clouds.
    Secure,
    /// The profiles of providers.
    Public,
}

impl FileKind {
    fn name(self) -> &'static str {
        match self {
            Self::Clouds => "clouds",
            Self::Secure => "secure",
            Self::Public => "clouds-public",
        }
    }

    /// Returns the paths that the program has set, which replace the search.
    fn paths(self, options: &Options) -> Option<&[PathBuf]> {
        let paths = match self {
            Self::Clouds => options.clouds_files.as_deref(),
            Self::Secure => options.secure_files.as_deref(),
            Self::Public => options.public_files.as_deref(),
        };
        // A program with the content of the clouds file does not expect that other files are searched.
        paths.or(options.clouds_yaml.as_ref().map(|_| [].as_slice()))
    }

    /// Returns the variable with the path that comes before all others.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Clouds => Some("OS_CLIENT_CONFIG_FILE"),
            Self::Secure => Some("OS_CLIENT_SECURE_FILE"),
            Self::Public => None,
        }
    }
}

/// Returns the absolute paths of the candidates for a file, in order. `working_directory` must be absolute.
pub(crate) fn candidates(
    kind: FileKind,
    options: &Options,
    environment: &Environment,
    working_directory: &Path,
) -> Vec<PathBuf> {
    if !options.load_files {
        return Vec::new();
    }
    if let Some(paths) = kind.paths(options) {
        return paths.iter().map(|path| working_directory.join(path)).collect();
    }
    let named = named(kind, options, environment, working_directory);
    let mut candidates: Vec<_> = named.map(|(_, path)| path).into_iter().collect();
    for directory in directories(options, environment, working_directory) {
        for suffix in ["yaml", "yml", "json"] {
            let candidate = directory.join(format!("{}.{suffix}", kind.name()));
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates
}

/// Returns the variable that names a file, and the absolute path in it. `None` if it is not set or not used.
pub(crate) fn named(
    kind: FileKind,
    options: &Options,
    environment: &Environment,
    working_directory: &Path,
) -> Option<(&'static str, PathBuf)> {
    let variable = kind.variable().filter(|_| options.load_files && kind.paths(options).is_none())?;
    Some((variable, working_directory.join(environment.path(variable)?)))
}

/// Returns the directories that are searched.
pub(crate) fn directories(
    options: &Options,
    environment: &Environment,
    working_directory: &Path,
) -> Vec<PathBuf> {
    let first = options.search_working_directory.then(|| working_directory.to_path_buf());
    first.into_iter().chain(standard_directories(environment)).collect()
}

/// Returns the directories that are searched after the working directory.
fn standard_directories(environment: &Environment) -> Vec<PathBuf> {
    let absolute = |name: &str| environment.path(name).filter(|path| path.is_absolute());
    let home = environment.home();
    let below_home = |home: &Path| home.join(".config");
    let config_home = absolute("XDG_CONFIG_HOME").or_else(|| home.map(below_home));
    let user = absolute("SNAP_REAL_HOME").as_deref().or(home).map(below_home);
    let mut directories: Vec<_> =
        config_home.into_iter().chain(user).map(|directory| directory.join("openstack")).collect();
    if cfg!(unix) {
        let site = environment.path("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        let site = std::env::split_paths(&site).filter(|path| path.is_absolute());
        directories.extend(site.map(|directory| directory.join("openstack")));
        directories.push("/etc/openstack".into());
    }
    directories
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::config::options::testing::with_variables;

    fn directories_of(variables: &[(&str, &str)]) -> Vec<PathBuf> {
        standard_directories(&Environment::new(&with_variables(variables)))
    }

    #[test]
    fn directories_are_searched_in_order() {
        let variables = [
            ("HOME", "/home/a"),
            ("XDG_CONFIG_HOME", "/xdg"),
            ("SNAP_REAL_HOME", "/real"),
            ("XDG_CONFIG_DIRS", "/one:relative:/two"),
        ];
        let expected = [
            "/xdg/openstack",
            "/real/.config/openstack",
            "/one/openstack",
            "/two/openstack",
            "/etc/openstack",
        ];
        assert_eq!(directories_of(&variables), expected.map(PathBuf::from));
    }

    #[test]
    fn a_relative_or_empty_directory_counts_as_not_set() {
        let expected = [
            "/home/a/.config/openstack",
            "/home/a/.config/openstack",
            "/etc/xdg/openstack",
            "/etc/openstack",
        ];
        for config_home in ["", "relative"] {
            let variables = [("HOME", "/home/a"), ("XDG_CONFIG_HOME", config_home), ("XDG_CONFIG_DIRS", "")];
            assert_eq!(directories_of(&variables), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn a_named_file_comes_first_and_its_tilde_is_not_expanded() {
        let variables = [("HOME", "/home/a"), ("OS_CLIENT_CONFIG_FILE", "~/mine.yaml")];
        let options = Options { search_working_directory: false, ..with_variables(&variables) };
        let environment = Environment::new(&options);
        let clouds = candidates(FileKind::Clouds, &options, &environment, Path::new("/cwd"));
        assert_eq!(clouds[0], Path::new("/cwd/~/mine.yaml"));
        assert_eq!(clouds[1], Path::new("/home/a/.config/openstack/clouds.yaml"));
        assert_eq!(clouds.iter().filter(|path| **path == clouds[1]).count(), 1);

        let secure = candidates(FileKind::Secure, &options, &environment, Path::new("/cwd"));
        assert_eq!(secure[2], Path::new("/home/a/.config/openstack/secure.json"));
    }

    #[test]
    fn paths_of_the_program_replace_the_search() {
        let clouds_files = Some(vec!["sub/a.yaml".into(), "/b.yaml".into()]);
        let options = Options { clouds_files, ..with_variables(&[("OS_CLIENT_CONFIG_FILE", "/mine.yaml")]) };
        let environment = Environment::new(&options);
        let clouds = candidates(FileKind::Clouds, &options, &environment, Path::new("/cwd"));
        assert_eq!(clouds, ["/cwd/sub/a.yaml", "/b.yaml"].map(PathBuf::from));

        let options = Options { load_files: false, ..options };
        assert!(candidates(FileKind::Clouds, &options, &environment, Path::new("/cwd")).is_empty());
    }
}
