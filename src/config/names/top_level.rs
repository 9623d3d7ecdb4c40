//! The settings outside `auth`.

/// Settings that belong outside `auth`, one level up.
pub(crate) const NAMES: &[&str] = &[
    "api_timeout",
    "auth_plugin",
    "auth_type",
    "cacert",
    "cert",
    "cloud",
    "endpoint_type",
    "force_ipv4",
    "insecure",
    "interface",
    "key",
    "networks",
    "prefer_ipv6",
    "profile",
    "region_name",
    "regions",
    "verify",
];

/// The ends of the settings of a service, such as `compute_api_version`, which belong outside `auth`, too.
pub(crate) const SERVICE_ENDS: &[&str] = &[
    "_api_version",
    "_connect_retries",
    "_connect_retry_delay",
    "_default_microversion",
    "_endpoint_override",
    "_endpoint_type",
    "_interface",
    "_region_name",
    "_retriable_status_codes",
    "_service_name",
    "_service_type",
    "_status_code_retries",
    "_status_code_retry_delay",
];

/// Returns whether a setting belongs outside `auth`.
pub(crate) fn contains(name: &str) -> bool {
    NAMES.contains(&name) || SERVICE_ENDS.iter().any(|end| name.ends_with(end))
}
