//! Errors about missing settings: which cloud lacks them, and how another one is selected.

use super::{clouds::Clouds, misspelt::Misspelt};
use crate::error::{ConfigError, ConfigErrorKind, Names};

/// Adds a hint to an error about missing settings.
///
/// The hint says where the cloud is written, how to select a cloud, or which setting or variable is misspelt or empty.
pub(crate) fn explain(
    mut error: ConfigError,
    clouds: &Clouds,
    cloud: Option<&str>,
    is_environment: bool,
    misspelt: &[Misspelt],
) -> ConfigError {
    let ConfigErrorKind::MissingSettings { names, in_environment, hint, hint_is_cause, .. } = &mut error.kind
    else {
        return error;
    };
    let missing: Vec<_> = names.iter().flat_map(|names| names.split(" or ")).collect();
    *in_environment |= is_environment;
    let is_meant = |misspelt: &&Misspelt| &*misspelt.meant == "auth" || missing.contains(&&*misspelt.meant);
    if let Some(misspelt) = misspelt.iter().find(is_meant) {
        *hint = Some(misspelt.hint().into());
    } else if is_environment && hint.is_none() {
        *hint = in_variables(clouds, cloud, &missing).map(Into::into);
    } else if cloud.is_none() && hint.is_none() {
        *hint = Some(no_cloud(clouds).into());
        *hint_is_cause = true;
    } else if hint.is_none() {
        *hint = ignored_variables(clouds, &missing).map(Into::into);
    }
    let documents = || clouds.clouds.iter().chain(&clouds.secure);
    let written = cloud.and_then(|name| {
        let entry = documents().find_map(|document| document.entries.get(name))?;
        Some((format!("clouds.{name}"), entry.location.clone()))
    });
    match written {
        Some((member, location)) => error.at(&location).member(&member),
        None => error,
    }
}

/// Returns why no cloud is in use, and what to do about it.
fn no_cloud(clouds: &Clouds) -> String {
    let names = clouds.names().unwrap_or_default();
    match (&*names, clouds.searched()) {
        ([], None) => "no cloud is configured; write a clouds.yaml, or set the OS_* variables".into(),
        ([], Some(searched)) => {
            format!("no cloud is configured: {searched}; write a clouds.yaml, or set the OS_* variables")
        }
        (names, _) => format!("no cloud is selected; set OS_CLOUD to one of {}", Names(names)),
    }
}

/// Returns which variables of missing settings are ignored, because the cloud comes from a file.
fn ignored_variables(clouds: &Clouds, missing: &[&str]) -> Option<String> {
    let variables = clouds.environment.cloud_variables();
    let ignored = variables.filter(|(_, setting)| missing.contains(&&**setting));
    let mut ignored: Vec<_> = ignored.map(|(variable, _)| variable).collect();
    ignored.sort_unstable();
    let (ignored, verb, object) = match &*ignored {
        [] => return None,
        [variable] => ((*variable).to_owned(), "is", "it"),
        variables => (variables.join(" and "), "are", "them"),
    };
    Some(format!(
        "{ignored} {verb} ignored for a cloud of a file; set {object} in clouds.yaml or secure.yaml"
    ))
}

/// Returns which of the missing variables are empty, and how to select a cloud of a file instead.
fn in_variables(clouds: &Clouds, cloud: Option<&str>, missing: &[&str]) -> Option<String> {
    let variables = missing.iter().map(|name| format!("OS_{}", name.to_ascii_uppercase()));
    let empty: Vec<_> = variables.filter(|variable| clouds.environment.is_empty(variable)).collect();
    let empty = match &*empty {
        [] => None,
        [variable] => Some(format!("{variable} is empty")),
        variables => Some(format!("{} are empty", variables.join(" and "))),
    };
    let mut others = clouds.names().unwrap_or_default();
    others.retain(|name| Some(&**name) != cloud);
    let others = (!others.is_empty())
        .then(|| format!("for a cloud of a file, set OS_CLOUD to one of {}", Names(&others)));
    let hints: Vec<_> = empty.into_iter().chain(others).collect();
    (!hints.is_empty()).then(|| hints.join("; "))
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use crate::config::CloudConfig;

    const TWO: &str = "clouds:\n  a:\n    auth:\n      username: u\n  b: {auth_type: v3token}\n";

    /// Returns the error of a load with this clouds file and these variables.
    fn error(file: Option<&'static str>, variables: &[(&str, &str)]) -> String {
        let read = move |path: &Path| match file {
            Some(text) if path == Path::new("/etc/openstack/clouds.yaml") => Ok(text.as_bytes().to_vec()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let variables = variables.iter().map(|(name, value)| (*name, *value));
        CloudConfig::builder().environment(variables).read_files_with(read).build().unwrap_err().to_string()
    }

    #[test]
    fn a_cloud_of_a_file_is_located() {
        assert_eq!(
            error(Some(TWO), &[("OS_CLOUD", "b")]),
            "/etc/openstack/clouds.yaml:5:3: clouds.b: the auth type v3token requires auth_url and token"
        );
        // A setting that requires another one has a location of its own.
        let named = "clouds: {a: {auth_type: v3password, password: p, auth_url: 'http://k', username: u}}";
        assert!(error(Some(named), &[]).starts_with("/etc/openstack/clouds.yaml:1:72: username: "));
    }

    #[test]
    fn it_is_said_why_no_cloud_is_in_use() {
        assert_eq!(
            error(None, &[("HOME", "/home/a")]),
            "no cloud is configured: no clouds.yaml was found in the working directory, /home/a/.config/openstack, \
             /etc/xdg/openstack, /etc/openstack; write a clouds.yaml, or set the OS_* variables"
        );
        let without_files = CloudConfig::builder().environment([("HOME", "/home/a")]).load_files(false);
        assert_eq!(
            without_files.build().unwrap_err().to_string(),
            "no cloud is configured; write a clouds.yaml, or set the OS_* variables"
        );
        assert_eq!(error(Some(TWO), &[]), "no cloud is selected; set OS_CLOUD to one of a, b");
        assert_eq!(
            error(Some("cloud: {a: {}}"), &[]),
            "no cloud is configured: /etc/openstack/clouds.yaml has the member `cloud` instead of `clouds`; write a \
             clouds.yaml, or set the OS_* variables"
        );
    }

    #[test]
    fn missing_variables_are_named() {
        let missing = "the auth type password requires OS_AUTH_URL and OS_PASSWORD";
        assert_eq!(error(None, &[("OS_USERNAME", "u")]), missing);
        assert_eq!(
            error(Some(TWO), &[("OS_USERNAME", "u")]),
            format!("{missing}; for a cloud of a file, set OS_CLOUD to one of a, b")
        );
        assert_eq!(
            error(None, &[("OS_USERNAME", "u"), ("OS_PASSWORD", "")]),
            format!("{missing}; OS_PASSWORD is empty")
        );
        assert_eq!(
            error(None, &[("OS_AUTH_URL", "https://k"), ("OS_APPLICATION_CREDENTIAL_ID", "x")]),
            "the auth type v3applicationcredential requires OS_APPLICATION_CREDENTIAL_SECRET"
        );
        assert_eq!(
            error(None, &[("OS_AUTH_URL", "https://k"), ("OS_APPLICATION_CREDENTIAL_SECRET", "x")]),
            "the auth type v3applicationcredential requires OS_APPLICATION_CREDENTIAL_ID or \
             OS_APPLICATION_CREDENTIAL_NAME"
        );
    }

    #[test]
    fn variables_that_are_ignored_for_a_cloud_of_a_file_are_named() {
        let start =
            "/etc/openstack/clouds.yaml:2:3: clouds.a: the auth type password requires auth_url and password";
        let end = "ignored for a cloud of a file; set";
        let place = "in clouds.yaml or secure.yaml";
        let password = ("OS_PASSWORD", "canary");
        assert_eq!(
            error(Some(TWO), &[("OS_CLOUD", "a"), password]),
            format!("{start}; OS_PASSWORD is {end} it {place}")
        );
        assert_eq!(
            error(Some(TWO), &[("OS_CLOUD", "a"), password, ("OS_AUTH_URL", "canary")]),
            format!("{start}; OS_AUTH_URL and OS_PASSWORD are {end} them {place}")
        );
        assert_eq!(error(Some(TWO), &[("OS_CLOUD", "a"), ("OS_PASSWORD", ""), ("OS_USERNAME", "u")]), start);
    }

    #[test]
    fn another_hint_is_kept() {
        let missing = "the auth type password requires";
        let hint = "for an application credential, set";
        assert_eq!(
            error(None, &[("OS_PASSWORD", "p"), ("OS_APPLICATION_CREDENTIAL_ID", "x")]),
            format!("{missing} OS_AUTH_URL; {hint} OS_AUTH_TYPE=v3applicationcredential")
        );
        let arguments = CloudConfig::builder().environment::<&str, &str>([]).load_files(false);
        let arguments = arguments.set("password", "p").set("application_credential_id", "x");
        assert_eq!(
            arguments.build().unwrap_err().to_string(),
            format!("{missing} auth_url; {hint} auth_type: v3applicationcredential")
        );
    }

    #[test]
    fn a_misspelt_setting_that_is_not_missing_is_no_reason() {
        let misspelt = "clouds: {a: {regoin_name: x, auth: {auth_url: 'https://k', username: u}}}";
        assert_eq!(
            error(Some(misspelt), &[]),
            "/etc/openstack/clouds.yaml:1:10: clouds.a: the auth type password requires password"
        );
    }

    #[test]
    fn a_misspelt_setting_is_named_as_the_reason() {
        let misspelt = "clouds:\n  a:\n    auht: {auth_url: 'https://k', username: u, password: p}\n";
        assert_eq!(
            error(Some(misspelt), &[]),
            "/etc/openstack/clouds.yaml:2:3: clouds.a: the auth type password requires auth_url and password; did you \
             mean auth instead of auht (/etc/openstack/clouds.yaml:3:5)?"
        );
        let variables = [("OS_AUTH_URL", "https://k"), ("OS_USERNAME", "u"), ("OS_PASWORD", "canary")];
        assert_eq!(
            error(None, &variables),
            "the auth type password requires OS_PASSWORD; did you mean OS_PASSWORD instead of OS_PASWORD?"
        );
    }
}
