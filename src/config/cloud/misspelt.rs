//! Finds settings outside `auth` that are unknown, but close to a known one.
//!
//! Unknown settings are allowed there, because other programs have settings in the same files and variables. So an
//! unknown name is reported only if it is close to a known one.

use tracing::warn;

use crate::{
    config::{
        identity,
        names::{
            closest::closest,
            top_level::{self, SERVICE_ENDS},
        },
        settings::Settings,
    },
    error::{ConfigLocation, escaped},
    service_types,
};

/// Maximum number of settings that are compared with the known ones.
const MAX_COMPARED: usize = 1000;

/// Maximum length of a name that is compared, in bytes. The known ones are shorter.
const MAX_LENGTH: usize = 80;

/// Maximum number of misspelt settings that are reported.
const MAX_REPORTED: usize = 20;

/// A setting that is probably misspelt.
#[derive(Clone, Debug)]
pub(crate) struct Misspelt {
    /// The name as it was written, but with `_`.
    name: Box<str>,
    location: ConfigLocation,
    /// The setting that is probably meant.
    pub(crate) meant: Box<str>,
}

/// Returns the settings that are probably misspelt.
pub(crate) fn find(settings: &Settings) -> Vec<Misspelt> {
    let known = KnownNames::new();
    let set = settings.top.iter().filter(|(_, value)| value.is_set()).take(MAX_COMPARED);
    let misspelt = set.filter_map(|(name, value)| {
        let meant = known.suggestion(name)?.into();
        Some(Misspelt { name: name.into(), location: value.location.clone(), meant })
    });
    misspelt.take(MAX_REPORTED).collect()
}

/// Returns whether this crate knows the setting, and does not ignore it.
pub(crate) fn is_known(name: &str) -> bool {
    !IGNORED.contains(&name) && KnownNames::new().contains(name)
}

impl Misspelt {
    /// Logs that the setting is ignored.
    pub(crate) fn warn(&self) {
        let name = escaped(&self.name);
        warn!(
            "{}: the setting {name} is unknown, so it is ignored; did you mean {}?",
            self.location,
            self.meant()
        );
    }

    /// Returns what to write instead, for an error about the setting that is meant.
    pub(crate) fn hint(&self) -> String {
        let meant = self.meant();
        match &self.location {
            ConfigLocation::Variable(variable) => {
                format!("did you mean {meant} instead of {}?", escaped(variable))
            }
            location => format!("did you mean {meant} instead of {} ({location})?", escaped(&self.name)),
        }
    }

    /// Returns the setting that is meant, or its variable.
    fn meant(&self) -> String {
        match &self.location {
            ConfigLocation::Variable(variable) => {
                let prefix = variable.len().checked_sub(self.name.len()).and_then(|end| variable.get(..end));
                format!("{}{}", escaped(prefix.unwrap_or("OS_")), self.meant.to_ascii_uppercase())
            }
            _ => self.meant.to_string(),
        }
    }
}

/// Settings of other programs, and of auth types that this crate does not support. They are ignored.
const IGNORED: &[&str] = &[
    "access_key",
    "access_secret",
    "access_token",
    "access_token_endpoint",
    "access_token_type",
    "app_name",
    "app_version",
    "auth_strategy",
    "auth_system",
    "auth_version",
    "authorization_code",
    "cache",
    "client",
    "client_id",
    "client_secret",
    "code",
    "code_challenge_method",
    "consumer_key",
    "consumer_secret",
    "debug",
    "default_domain",
    "device_authorization_endpoint",
    "disable_vendor_agent",
    "discovery_endpoint",
    "external_network",
    "floating_ip_source",
    "has_network",
    "identity_provider",
    "identity_provider_url",
    "image_format",
    "internal_network",
    "message",
    "metrics",
    "mutual_auth",
    "network",
    "networks",
    "oauth2_client_id",
    "oauth2_client_secret",
    "oauth2_endpoint",
    "openid_scope",
    "protocol",
    "redirect_host",
    "redirect_port",
    "redirect_uri",
    "scope",
    "secgroup_source",
    "service_provider_endpoint",
    "service_provider_entity_id",
    "status",
    "use_direct_get",
    "use_external_network",
    "use_internal_network",
    "vendor_hook",
];

/// Names that other programs have for a setting, and incomplete names.
const ALIASES: &[(&str, &str)] = &[
    ("auth_method", "auth_type"),
    ("ca", "cacert"),
    ("ca_bundle", "cacert"),
    ("ca_file", "cacert"),
    ("cafile", "cacert"),
    ("client_cert", "cert"),
    ("client_key", "key"),
    ("domain", "domain_name"),
    ("endpoint_interface", "interface"),
    ("project", "project_name"),
    ("project_domain", "project_domain_name"),
    ("region", "region_name"),
    ("region_id", "region_name"),
    ("ssl_verify", "verify"),
    ("tenant", "project_name"),
    ("timeout", "api_timeout"),
    ("tls_verify", "verify"),
    ("user", "username"),
    ("user_domain", "user_domain_name"),
    ("verify_ssl", "verify"),
];

/// Names that other programs have for the ends of the settings of a service, and incomplete ends.
const END_ALIASES: &[(&str, &str)] = &[
    ("_microversion", "_default_microversion"),
    ("_override", "_endpoint_override"),
    ("_region", "_region_name"),
    ("_version", "_api_version"),
];

/// Further ends of settings of a service that are known.
const FURTHER_ENDS: &[&str] = &["_endpoint", "_timeout"];

/// The names of settings that can be written outside `auth`.
struct KnownNames {
    settings: Vec<&'static str>,
    /// Service types, with `_`.
    services: Vec<String>,
}

impl KnownNames {
    fn new() -> Self {
        let common = SERVICE_ENDS.iter().filter_map(|end| end.strip_prefix('_'));
        let settings = ["auth"].into_iter().chain(top_level::NAMES.iter().copied()).chain(common);
        let settings = settings.filter(|name| !IGNORED.contains(name));
        Self {
            settings: settings.chain(identity::setting_names()).collect(),
            services: service_types::all().map(|service| service.replace('-', "_")).collect(),
        }
    }

    /// Returns the setting that an unknown name may be meant for.
    fn suggestion(&self, name: &str) -> Option<String> {
        if name.len() > MAX_LENGTH || self.contains(name) {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        let spelt = lower.strip_prefix("os_").unwrap_or(&lower);
        if self.contains(spelt) {
            return Some(spelt.to_owned());
        }
        let alias = ALIASES.iter().find(|(alias, _)| *alias == spelt).map(|(_, meant)| *meant);
        let setting = || closest(spelt, self.settings.iter().copied()).map(|(_, meant)| meant);
        alias.or_else(setting).map(str::to_owned).or_else(|| self.service_setting(spelt))
    }

    fn contains(&self, name: &str) -> bool {
        let is_of_service = || ends().any(|end| name.strip_suffix(end).is_some_and(|it| self.is_service(it)));
        self.settings.contains(&name) || IGNORED.contains(&name) || is_of_service()
    }

    fn is_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service == name)
    }

    /// Returns the setting of a service that is closest.
    fn service_setting(&self, name: &str) -> Option<String> {
        let candidates = name.match_indices('_').filter_map(|(index, _)| {
            let (service, end) = name.split_at_checked(index)?;
            let (one, service) = closest(service, self.services.iter().map(String::as_str))?;
            let alias = END_ALIASES.iter().find(|(alias, _)| *alias == end).map(|(_, meant)| (0, *meant));
            let (other, end) = alias.or_else(|| closest(end, ends()))?;
            Some((one + other, format!("{service}{end}")))
        });
        candidates.min_by_key(|(distance, _)| *distance).map(|(_, setting)| setting)
    }
}

fn ends() -> impl Iterator<Item = &'static str> {
    SERVICE_ENDS.iter().chain(FURTHER_ENDS).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::testing::{file, null, settings};

    fn suggestion(name: &str) -> Option<String> {
        KnownNames::new().suggestion(name)
    }

    #[test]
    fn misspelt_settings_are_close_to_known_ones() {
        for (name, meant) in [
            ("region_nmae", "region_name"),
            ("regoin_name", "region_name"),
            ("region", "region_name"),
            ("verfy", "verify"),
            ("cacret", "cacert"),
            ("ca_cert", "cacert"),
            ("auht", "auth"),
            ("Auth", "auth"),
            ("insecrue", "insecure"),
            ("projet_name", "project_name"),
            ("project", "project_name"),
            ("pasword", "password"),
            ("auth_uri", "auth_url"),
            ("os_auth_url", "auth_url"),
            ("REGION_NAME", "region_name"),
            ("timeout", "api_timeout"),
            ("compute_endpoint_overide", "compute_endpoint_override"),
            ("compue_endpoint_override", "compute_endpoint_override"),
            ("compue_endpoint_overide", "compute_endpoint_override"),
            ("block_storge_api_version", "block_storage_api_version"),
            ("compute_version", "compute_api_version"),
            ("compute_region", "compute_region_name"),
            ("api_timout", "api_timeout"),
            ("volumev3_servce_type", "volumev3_service_type"),
        ] {
            assert_eq!(suggestion(name).as_deref(), Some(meant), "{name}");
        }
    }

    #[test]
    fn known_settings_and_those_of_other_programs_are_not_misspelt() {
        for name in [
            "auth",
            "verify",
            "username",
            "user_name",
            "tenant_name",
            "url",
            "passcode",
            "auth_methods",
            "status_code_retries",
            "compute_api_version",
            "volume_api_version",
            "object_store_endpoint",
            "my_service_endpoint_override",
            "default_domain",
            "access_token_endpoint",
            "discovery_endpoint",
            "client_secret",
            "image_format",
            "external_network",
            "network",
            "networks",
            "message",
            "cache",
            "type",
            "name",
            "version",
            "arch",
            "color",
            "",
            "_",
            "é_endpoint",
        ] {
            assert_eq!(suggestion(name), None, "{name}");
        }
    }

    #[test]
    fn many_or_long_names_are_bounded() {
        assert_eq!(suggestion(&"_".repeat(1_000_000)), None);
        let top = settings([("verfy", file("x")), ("cacret", null())]);
        assert_eq!(find(&top).len(), 1);
        let mut top = settings([]);
        for index in 0..50_000 {
            top.top.insert(&format!("{}verify", "_".repeat(index % 2)), file("x"));
            top.top.insert(&format!("verify{index}"), file("x"));
        }
        assert_eq!(find(&top).len(), MAX_REPORTED);
    }
    #[test]
    fn built_in_profiles_are_spelt_right() {
        for members in crate::config::cloud::vendors::all_members() {
            let settings = Settings::from_mapping(members).unwrap();
            assert!(find(&settings).is_empty(), "{:?}", find(&settings));
        }
    }
}
