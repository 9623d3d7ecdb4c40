//! Errors about missing settings: which cloud lacks them, and how another one is selected.

use super::clouds::Clouds;
use crate::error::{ConfigError, ConfigErrorKind, Names};

/// Adds to an error about missing settings where the cloud is written, or how a cloud is selected.
pub(crate) fn explain(mut error: ConfigError, clouds: &Clouds, cloud: Option<&str>) -> ConfigError {
    let ConfigErrorKind::MissingSettings { hint, .. } = &mut error.kind else { return error };
    let documents = || clouds.clouds.iter().chain(&clouds.secure);
    let written = cloud.and_then(|name| {
        let entry = documents().find_map(|document| document.entries.get(name))?;
        Some((format!("clouds.{name}"), entry.location.clone()))
    });
    match written {
        Some((member, location)) => error.at(&location).member(&member),
        None => {
            hint.get_or_insert_with(|| selection(clouds, cloud).into());
            error
        }
    }
}

/// Returns which cloud is in use, and how to select another one.
fn selection(clouds: &Clouds, cloud: Option<&str>) -> String {
    let mut others = clouds.names().unwrap_or_default();
    others.retain(|name| Some(&**name) != cloud);
    let others = (!others.is_empty()).then_some(Names(&others));
    match (cloud, others) {
        (Some(_), None) => "the OS_* variables do not contain them".into(),
        (Some(_), Some(others)) => {
            format!(
                "the OS_* variables do not contain them; unset these variables, or set OS_CLOUD to one of {others}"
            )
        }
        (None, None) => "no cloud is configured; write a clouds.yaml, or set the OS_* variables".into(),
        (None, Some(others)) => format!("no cloud is selected; set OS_CLOUD to one of {others}"),
    }
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
            "/etc/openstack/clouds.yaml:5:3: clouds.b: the auth type v3token requires auth_url, and token"
        );
        // A setting that requires another one has a location of its own.
        let named = "clouds: {a: {auth_type: v3password, password: p, auth_url: 'http://k', username: u}}";
        assert!(error(Some(named), &[]).starts_with("/etc/openstack/clouds.yaml:1:72: username: "));
    }

    #[test]
    fn it_is_said_how_to_select_a_cloud() {
        let missing = "the auth type password requires auth_url, and password; ";
        let text = |rest: &str| format!("{missing}{rest}");
        assert_eq!(
            error(None, &[]),
            text("no cloud is configured; write a clouds.yaml, or set the OS_* variables")
        );
        assert_eq!(error(Some(TWO), &[]), text("no cloud is selected; set OS_CLOUD to one of a, b"));
        assert_eq!(error(None, &[("OS_USERNAME", "u")]), text("the OS_* variables do not contain them"));
        assert_eq!(
            error(Some(TWO), &[("OS_USERNAME", "u")]),
            text(
                "the OS_* variables do not contain them; unset these variables, or set OS_CLOUD to one of a, b"
            )
        );
    }
}
