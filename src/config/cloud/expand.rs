//! Replaces `{name}` in settings by the setting of that name.
//!
//! It is replaced in `auth_url` and in top-level texts, by the text of a top-level setting. If there is no such
//! setting, the braces stay. Secrets, and settings that identify a user, a project or a domain, are not changed,
//! because they can contain any characters.
//!
//! A secret is never inserted, because the result can be a URL. Otherwise, a profile could have the password sent to
//! its server as a part of the host name.

use crate::{
    Secret,
    config::{
        settings::Settings,
        value::{Data, Mapping, Value},
    },
    error::ConfigError,
};

/// Maximum size of all inserted texts together, in bytes.
const MAX_INSERTED: usize = 1 << 20;

/// Expands the names in the settings.
pub(crate) fn expand(settings: &mut Settings) -> Result<(), ConfigError> {
    let (mut expanded, mut room) = (Settings::default(), MAX_INSERTED);
    for (name, value) in settings.top.iter() {
        if !is_verbatim(name) {
            expand_value(value, name, &settings.top, &mut room, |value| expanded.top.insert(name, value))?;
        }
    }
    if let Some(auth_url) = settings.auth.get("auth_url") {
        let replace = |value| expanded.auth.insert("auth_url", value);
        expand_value(auth_url, "auth.auth_url", &settings.top, &mut room, replace)?;
    }
    settings.put_over(expanded);
    Ok(())
}

/// Returns whether a setting is a secret.
///
/// The words of the name decide, because the configuration can contain secrets of other programs.
pub(crate) fn is_secret(name: &str) -> bool {
    let is_secret_word = |word| {
        matches!(word, "password" | "passwd" | "passcode" | "passphrase" | "secret" | "token" | "assertion")
    };
    // The URL and the kind of an access token are no secrets.
    let is_about_one = name.ends_with("_endpoint") || name.ends_with("_type");
    name.split('_').any(is_secret_word) && !is_about_one
        || name.ends_with("_key")
        || matches!(name, "code" | "authorization_code")
}

/// Returns whether the text of a setting is never expanded.
fn is_verbatim(name: &str) -> bool {
    let is_identity = |word: &str| {
        matches!(
            word,
            "user" | "username" | "project" | "tenant" | "domain" | "trust" | "credential" | "scope"
        )
    };
    is_secret(name) || name.split('_').any(is_identity)
}

/// Passes the expanded value to `replace`, if it differs.
fn expand_value(
    value: &Value,
    name: &str,
    top: &Mapping,
    room: &mut usize,
    replace: impl FnOnce(Value) -> Option<Value>,
) -> Result<(), ConfigError> {
    let Data::Scalar(text) = &value.data else { return Ok(()) };
    let error = |error: ConfigError| error.at(&value.location).member(name);
    if let Some(text) = expand_text(text.expose(), top, room).map_err(error)? {
        let data = Data::Scalar(text);
        replace(Value { data, location: value.location.clone() });
    }
    Ok(())
}

/// Returns the expanded text, if it contains a name to expand. `room` is how many bytes may still be inserted.
fn expand_text(text: &str, top: &Mapping, room: &mut usize) -> Result<Option<Secret>, ConfigError> {
    let (mut expanded, mut rest, mut is_changed) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        let end = after.find(['{', '}']).map(|end| after.split_at(end));
        let inserted = match end.and_then(|(name, after)| Some((name, after.strip_prefix('}')?))) {
            Some((name, after)) => setting(name, top)?.map(|inserted| (inserted, after)),
            None => None,
        };
        match inserted {
            Some((inserted, after)) => {
                let too_long = "the texts in place of names in braces are longer than 1 MiB";
                let left = room.checked_sub(inserted.expose().len());
                *room = left.ok_or_else(|| ConfigError::conflict(too_long))?;
                expanded.push_str(inserted.expose());
                (rest, is_changed) = (after, true);
            }
            None => {
                expanded.push('{');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    Ok(is_changed.then(|| Secret::new(expanded)))
}

/// Returns the text of the setting in braces.
fn setting<'a>(name: &str, top: &'a Mapping) -> Result<Option<&'a Secret>, ConfigError> {
    let spelt = name.replace('-', "_").to_ascii_lowercase();
    // A conversion, an attribute or an item of a name is not supported, but must not get by either.
    let base = spelt.split(['.', '[', '!', ':']).next().unwrap_or_default().trim();
    if is_secret(base) || base == "auth" {
        return Err(ConfigError::conflict(format!(
            "it contains {{{base}}}, but a secret is never inserted into another setting"
        )));
    }
    match top.get(name) {
        Some(Value { data: Data::Scalar(text), .. }) => Ok(Some(text)),
        None if name == "region_name" => Err(ConfigError::conflict(
            "it contains {region_name}, but no region is selected; set region_name",
        )),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::yaml;

    fn expanded(text: &str) -> Result<Settings, String> {
        let value = yaml::read(text.as_bytes(), &std::path::Path::new("f.yaml").into()).unwrap();
        let mut settings = Settings::from_mapping(value.into_mapping().unwrap()).unwrap();
        expand(&mut settings).map(|()| settings).map_err(|error| error.to_string())
    }

    fn auth_url(url: &str) -> Result<String, String> {
        let text = format!(
            "{{region_name: R1, site: '{{region_name}}', regions: [a], password: canary, token: canary, \
             api_key: canary, auth: {{auth_url: '{url}', password: canary}}}}"
        );
        let settings = expanded(&text)?;
        Ok(settings.auth.get("auth_url").unwrap().text().unwrap().unwrap().text.expose().to_owned())
    }

    #[test]
    fn settings_are_inserted_and_other_braces_stay() {
        for (url, expected) in [
            ("https://{region_name}.example.com/{region_name}", "https://R1.example.com/R1"),
            ("https://k/%(region_name)s/{{region_name}}", "https://k/%(region_name)s/{R1}"),
            ("https://k/{site}", "https://k/{region_name}"),
            ("https://k/{", "https://k/{"),
            ("https://k/}{}", "https://k/}{}"),
            ("https://k/{x}", "https://k/{x}"),
            ("https://k/{regions}", "https://k/{regions}"),
            ("https://k/{region_name[0]}", "https://k/{region_name[0]}"),
            ("https://k/{{{", "https://k/{{{"),
        ] {
            assert_eq!(auth_url(url).unwrap(), expected);
        }
    }

    #[test]
    fn a_secret_is_never_inserted() {
        for name in [
            "password",
            "token",
            "auth_token",
            "passcode",
            "passwd",
            "passphrase",
            "assertion",
            "application_credential_secret",
            "application-credential-secret",
            "PASSWORD",
            "api_key",
            "client_secret",
            "code",
            "authorization_code",
            "auth",
            "auth[password]",
            "auth.password",
            "password!r",
            "password:9",
            " password ",
        ] {
            let error = auth_url(&format!("https://{{{name}}}.example.com")).unwrap_err();
            assert!(
                error.starts_with("f.yaml:1:") && error.contains("auth.auth_url: it contains"),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn inserted_texts_are_bounded_in_all_settings_together() {
        let long = "x".repeat(MAX_INSERTED / 8);
        let with = |settings: usize, times: usize| {
            let names: String =
                (0..settings).map(|index| format!("s{index}: '{}', ", "{long}".repeat(times))).collect();
            expanded(&format!("{{{names}long: {long}}}")).map(|_| ())
        };
        assert_eq!(with(2, 4), Ok(()));
        for (settings, times) in [(1, 9), (9, 1), (2, 100)] {
            let error = with(settings, times).unwrap_err();
            assert!(
                error.ends_with("the texts in place of names in braces are longer than 1 MiB"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_ends_at_the_next_brace() {
        assert_eq!(auth_url("https://k/{{x{region_name}}").unwrap(), "https://k/{{xR1}");
        // However many braces there are, each is looked at once.
        let braces = "{".repeat(1 << 20);
        for url in [braces.clone(), format!("{braces}}}")] {
            assert!(expand_text(&url, &Mapping::default(), &mut 0).unwrap().is_none());
        }
    }

    #[test]
    fn the_error_for_a_missing_region_says_what_to_do() {
        let error = expanded("auth: {auth_url: 'https://{region_name}.example.com'}").err().unwrap();
        assert_eq!(
            error,
            "f.yaml:1:8: auth.auth_url: it contains {region_name}, but no region is selected; set region_name"
        );
    }

    #[test]
    fn top_level_settings_are_expanded_except_for_names_and_secrets() {
        let text = "{region_name: R, compute_endpoint_override: 'https://{region_name}', cacert: '/{region_name}', \
                    password: '{token}', username: '{region_name}', project_name: '{region_name}', \
                    application_credential_name: '{region_name}', trust_id: '{region_name}', \
                    user_id: '{region_name}', tenant_name: '{region_name}', domain_name: '{region_name}', \
                    system_scope: '{region_name}'}";
        let settings = expanded(text).unwrap();
        let text = |name: &str| settings.text(name).unwrap().unwrap().text.expose().to_owned();
        assert_eq!(text("compute_endpoint_override"), "https://R");
        assert_eq!(text("cacert"), "/R");
        assert_eq!(text("password"), "{token}");
        for name in [
            "username",
            "project_name",
            "application_credential_name",
            "trust_id",
            "user_id",
            "tenant_name",
            "domain_name",
            "system_scope",
        ] {
            assert_eq!(text(name), "{region_name}");
        }
    }

    #[test]
    fn paths_and_identifiers_are_no_secrets() {
        for name in [
            "key",
            "cert",
            "region_name",
            "auth_type",
            "project_id",
            "application_credential_id",
            "key_manager_endpoint_override",
            "status_code_retries",
            "compute_retriable_status_codes",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
