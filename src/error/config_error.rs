use std::{fmt, path::Path, sync::Arc};

use super::format::escaped;
use crate::config::names::closest::closest;

/// Maximum number of known names in a message.
const MAX_NAMES: usize = 50;

/// The error for a configuration that cannot be used.
///
/// It says which setting is wrong, where it was written, and what was expected. It contains no value of a setting,
/// except for names of clouds, regions, profiles and auth types.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong.
    pub kind: ConfigErrorKind,
    /// Where the setting was written. `None` if the error has no location, for example because a setting is missing.
    pub location: Option<ConfigLocation>,
    /// The setting, such as `auth.project_name` or `verify`.
    pub member: Option<Box<str>>,
}

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigLocation {
    /// In a file.
    #[non_exhaustive]
    File {
        /// The path of the file.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
    },
    /// In an environment variable of this name.
    Variable(Arc<str>),
    /// In an argument of the program, such as a call of the builder.
    Argument(Arc<str>),
    /// In a built-in or fetched profile of a provider.
    Profile(Arc<str>),
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// No cloud has the requested name.
    #[non_exhaustive]
    CloudNotFound {
        /// The requested name.
        cloud: Box<str>,
        /// The names of all clouds, in order.
        known: Vec<String>,
        /// Where clouds were searched for, and which files could not be used.
        searched: Option<Box<str>>,
    },
    /// The cloud has no region of the requested name.
    #[non_exhaustive]
    RegionNotFound {
        /// The requested region.
        region: Box<str>,
        /// The name of the cloud.
        cloud: Box<str>,
        /// The regions of the cloud, in order.
        known: Vec<String>,
    },
    /// The auth type does not exist.
    #[non_exhaustive]
    UnknownAuthType {
        /// The auth type.
        auth_type: Box<str>,
        /// The auth types that can be used.
        known: &'static [&'static str],
    },
    /// The auth type exists, but a configuration cannot use it, or not in this place or with these features.
    #[non_exhaustive]
    UnsupportedAuthType {
        /// The auth type.
        auth_type: &'static str,
        /// The auth types that can be used.
        supported: &'static [&'static str],
        /// What to do in place of it. `None` if the only way is another auth type.
        hint: Option<&'static str>,
    },
    /// Settings that the auth type requires are missing.
    #[non_exhaustive]
    MissingSettings {
        /// The auth type.
        auth_type: &'static str,
        /// The settings, in order. An entry such as `username or user_id` is satisfied by either.
        names: Vec<&'static str>,
        /// Whether the environment describes the cloud, so that the message has the names of variables.
        in_environment: bool,
        /// What else may be the reason, such as that no cloud is selected, or what else to do.
        hint: Option<Box<str>>,
        /// Whether the hint is the likely cause. The message consists of it then.
        hint_is_cause: bool,
    },
    /// A member of `auth`, or a setting that belongs there, is unknown to the auth type.
    #[non_exhaustive]
    UnknownMember {
        /// The auth type.
        auth_type: &'static str,
        /// Where the member belongs, or what to write instead.
        hint: Box<str>,
    },
    /// A value is of the wrong kind, or malformed.
    #[non_exhaustive]
    InvalidValue {
        /// What was expected, such as `a number of seconds`.
        expected: Box<str>,
    },
    /// A file is not valid YAML or JSON, or exceeds a limit.
    #[non_exhaustive]
    Syntax {
        /// What is wrong.
        reason: Box<str>,
    },
    /// Settings contradict each other, or a rule forbids what they ask for.
    #[non_exhaustive]
    Conflict {
        /// What is wrong, and what to do about it.
        reason: Box<str>,
    },
    /// A file belongs to another user or can be written by others, so the secrets of another file are not used with it.
    ///
    /// See [the rules](crate::config#who-receives-secrets).
    #[non_exhaustive]
    UntrustedCloudsFile {
        /// The file that is not trusted. Mostly this is the clouds file.
        clouds: Arc<Path>,
        /// The other file. Mostly this is the secure file.
        secure: Arc<Path>,
    },
    /// A profile cannot be used: its provider has shut down, or it has to be fetched first.
    #[non_exhaustive]
    Profile {
        /// The name or URL of the profile.
        profile: Box<str>,
        /// What is wrong, and what to do about it.
        reason: Box<str>,
    },
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind) -> Self {
        Self { kind, location: None, member: None }
    }

    /// Creates an error about settings that the auth type requires.
    pub(crate) fn missing_settings(
        auth_type: &'static str,
        names: Vec<&'static str>,
        hint: Option<Box<str>>,
    ) -> Self {
        Self::new(ConfigErrorKind::MissingSettings {
            auth_type,
            names,
            in_environment: false,
            hint_is_cause: false,
            hint,
        })
    }

    /// Creates an error about a value that is of the wrong kind, or malformed.
    pub(crate) fn invalid_value(expected: impl Into<Box<str>>) -> Self {
        Self::new(ConfigErrorKind::InvalidValue { expected: expected.into() })
    }

    /// Creates an error about settings that contradict each other, or a rule that forbids them.
    pub(crate) fn conflict(reason: impl Into<Box<str>>) -> Self {
        Self::new(ConfigErrorKind::Conflict { reason: reason.into() })
    }

    /// Adds where the setting was written, unless that is known already.
    pub(crate) fn at(mut self, location: &ConfigLocation) -> Self {
        self.location.get_or_insert_with(|| location.clone());
        self
    }

    /// Adds the name of the setting, unless it is known already.
    pub(crate) fn member(mut self, member: &str) -> Self {
        self.member.get_or_insert_with(|| member.into());
        self
    }
}

impl ConfigLocation {
    /// Returns whether the program gave the setting, so that it takes precedence over all others.
    pub(crate) fn is_argument(&self) -> bool {
        matches!(self, Self::Argument(_))
    }
}

impl fmt::Display for ConfigLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", escaped(&path.to_string_lossy()))
            }
            Self::Variable(name) => write!(f, "the variable {}", escaped(name)),
            Self::Argument(name) => write!(f, "the argument {}", escaped(name)),
            Self::Profile(name) => write!(f, "the profile {}", escaped(name)),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if let Some(member) = &self.member {
            write!(f, "{}: ", escaped(member))?;
        }
        match &self.kind {
            ConfigErrorKind::CloudNotFound { cloud, known, searched } => {
                write!(f, "there is no cloud {}; ", Quoted(cloud))?;
                match (&**known, searched) {
                    ([], None) => f.write_str("no cloud is configured"),
                    ([], Some(searched)) => write!(f, "no cloud is configured: {searched}"),
                    (known, None) => write!(f, "the clouds are {}", Names(known)),
                    (known, Some(searched)) => write!(f, "the clouds are {}; {searched}", Names(known)),
                }
            }
            ConfigErrorKind::RegionNotFound { region, cloud, known } => {
                let (cloud, region) = (Quoted(cloud), Quoted(region));
                write!(f, "the cloud {cloud} has no region {region}; its regions are {}", Names(known))
            }
            ConfigErrorKind::UnknownAuthType { auth_type, known } => {
                write!(f, "the auth type {} is unknown; ", Quoted(auth_type))?;
                match closest(auth_type, known.iter().copied()) {
                    Some((_, meant)) => write!(f, "did you mean {meant}?"),
                    None => write!(f, "use one of {}", Names(known)),
                }
            }
            ConfigErrorKind::UnsupportedAuthType { auth_type, supported, hint } => {
                write!(f, "the auth type {auth_type} cannot be used here; ")?;
                match hint {
                    Some(hint) => f.write_str(hint),
                    None => write!(f, "use one of {}", Names(supported)),
                }
            }
            ConfigErrorKind::MissingSettings { auth_type, names, in_environment, hint, hint_is_cause } => {
                if let (true, Some(cause)) = (*hint_is_cause, hint) {
                    return f.write_str(cause);
                }
                write!(f, "the auth type {auth_type} requires {}", enumerated(names, *in_environment))?;
                hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
            ConfigErrorKind::UnknownMember { auth_type, hint } => {
                write!(f, "the auth type {auth_type} does not know this setting; {hint}")
            }
            ConfigErrorKind::InvalidValue { expected } => write!(f, "expected {expected}"),
            ConfigErrorKind::Syntax { reason } | ConfigErrorKind::Conflict { reason } => f.write_str(reason),
            ConfigErrorKind::UntrustedCloudsFile { clouds, secure } => write!(
                f,
                "{} belongs to another user or can be written by others, so the secrets of {} are not used with it; \
                 make the file and its directory your own and writable for you only, or put both files in one \
                 directory",
                escaped(&clouds.to_string_lossy()),
                escaped(&secure.to_string_lossy())
            ),
            ConfigErrorKind::Profile { profile, reason } => {
                write!(f, "the profile {}: {reason}", Quoted(profile))
            }
        }
    }
}

/// Lists the names of settings, or of their variables.
fn enumerated(names: &[&str], are_variables: bool) -> String {
    let name = |name: &str| match are_variables {
        true => format!("OS_{}", name.to_ascii_uppercase()),
        false => name.to_owned(),
    };
    let shown = |names: &&str| names.split(" or ").map(name).collect::<Vec<_>>().join(" or ");
    let names: Vec<_> = names.iter().map(shown).collect();
    match &*names {
        [one, other] if !one.contains(" or ") && !other.contains(" or ") => format!("{one} and {other}"),
        [others @ .., last] if !others.is_empty() => format!("{}, and {last}", others.join(", ")),
        names => names.concat(),
    }
}

/// Shows a name from a configuration in quotes, escaped and truncated.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escaped(self.0))
    }
}

/// Shows names from a configuration, escaped and truncated, and how many more there are.
pub(crate) struct Names<'a, T>(pub(crate) &'a [T]);

impl<T: AsRef<str>> fmt::Display for Names<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(MAX_NAMES).map(|name| escaped(name.as_ref())).collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(MAX_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_bounded() {
        let long = format!("a\n\"{}", "x".repeat(1_000_000));
        let known: Vec<_> = std::iter::repeat_n(long.clone(), 1000).collect();
        let location = ConfigLocation::File { path: Arc::from(Path::new(&long)), line: 1, column: 2 };
        let kinds = [
            ConfigErrorKind::CloudNotFound { cloud: (*long).into(), known: known.clone(), searched: None },
            ConfigErrorKind::RegionNotFound { region: (*long).into(), cloud: (*long).into(), known },
            ConfigErrorKind::UnknownAuthType { auth_type: (*long).into(), known: &["password"] },
            ConfigErrorKind::Profile { profile: (*long).into(), reason: "it does not exist".into() },
        ];
        for kind in kinds {
            let error = ConfigError { kind, location: Some(location.clone()), member: Some((*long).into()) };
            let text = error.to_string();
            assert!(text.len() < 20_000 && !text.contains('\n'), "{} bytes", text.len());
            assert!(text.contains(r#"a\n\"xx"#), "{text}");
        }
    }

    #[test]
    fn the_known_names_are_listed() {
        let error = |known: &[&str]| {
            let known = known.iter().map(|name| String::from(*name)).collect();
            ConfigError::new(ConfigErrorKind::CloudNotFound { cloud: "x".into(), known, searched: None })
                .to_string()
        };
        assert_eq!(error(&["a", "b"]), r#"there is no cloud "x"; the clouds are a, b"#);
        assert_eq!(error(&[]), r#"there is no cloud "x"; no cloud is configured"#);
        assert!(error(&["a"; 52]).ends_with("a, a and 2 more"));
    }
    #[test]
    fn required_settings_are_enumerated() {
        for (names, expected) in [
            (vec!["a"], "a"),
            (vec!["a or b"], "a or b"),
            (vec!["a", "b"], "a and b"),
            (vec!["a", "b or c"], "a, and b or c"),
            (vec!["a", "b or c", "d"], "a, b or c, and d"),
        ] {
            assert_eq!(enumerated(&names, false), expected);
        }
        assert_eq!(
            enumerated(&["auth_url", "username or user_id"], true),
            "OS_AUTH_URL, and OS_USERNAME or OS_USER_ID"
        );
    }
}
