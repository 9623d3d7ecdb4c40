use std::{fmt, time::Duration};

use http::StatusCode;

use super::{
    api_version::ApiVersion,
    endpoint_setting::with_override,
    interfaces::configured_interfaces,
    retries::Retries,
    service_settings::{NamedText, ServiceSettings},
};
use crate::{
    EndpointFilter, Interface, RetryPolicy, config::settings::Settings, error::ConfigError,
    service_types::official_with_rank,
};

/// The settings of one service.
///
/// The name of a setting begins with the service type, as in `compute_endpoint_override`, or with an alias of the type,
/// as in `volumev3_endpoint_override`.
#[derive(Clone)]
pub struct ServiceConfig {
    endpoint: EndpointFilter,
    /// For requests that choose a version: it has no microversion that belongs to `api_version`.
    without_version: EndpointFilter,
    api_version: Option<Box<str>>,
    default_microversion: Option<Box<str>>,
    retries: Retries,
}

impl ServiceConfig {
    /// Reads the settings of a service. `auth_type` is the one in use, after old names were replaced.
    pub(in crate::config) fn new(
        settings: &Settings,
        auth_type: &str,
        region_name: Option<&str>,
        interfaces: &[Interface],
        service_type: &str,
    ) -> Result<Self, ConfigError> {
        let service = ServiceSettings::new(settings, service_type);
        let service_type = &*listed_name(service_type);
        let catalog_type = service.text(&["service_type"])?;
        let catalog_type = catalog_type.as_ref().map(NamedText::as_str);

        let mut endpoint = EndpointFilter::new(catalog_type.unwrap_or(service_type))
            .interfaces(service_interfaces(&service)?.unwrap_or_else(|| interfaces.to_vec()));
        if let Some(service_name) = service.text(&["service_name"])? {
            endpoint = endpoint.service_name(service_name.as_str());
        }
        let service_region = service.text(&["region_name"])?;
        if let Some(region_name) = service_region.as_ref().map(NamedText::as_str).or(region_name) {
            endpoint = endpoint.region(region_name);
        }
        endpoint = with_override(endpoint, &service, service_type, auth_type)?;

        let version = ApiVersion::read(&service, service_type)?;
        let stands_for_version = catalog_type.is_none() && endpoint.implies_version();
        let mut implied = None;
        if let Some(version) = &version {
            let versioned = endpoint.clone().version(version.major, 0);
            match versioned.check() {
                // A type such as `volumev3` stands for its own version.
                Ok(()) if stands_for_version => implied = version.microversion(),
                Ok(()) => (endpoint, implied) = (versioned, version.microversion()),
                Err(_) if stands_for_version || version.is_default() => {}
                Err(_) => {
                    let reason =
                        "the version is not that of the service type; remove one of the two settings";
                    return Err(version.locate(ConfigError::conflict(reason)));
                }
            }
        }

        let default = service.text(&["default_microversion"])?;
        if let (Some(implied), Some(default)) = (implied, &default)
            && implied.as_str() != default.as_str()
        {
            let reason = format!("{} has another microversion; remove one of the two", implied.name());
            return Err(default.locate(ConfigError::conflict(reason)));
        }
        let with_microversion = |setting: Option<&NamedText>| {
            let Some(setting) = setting else { return Ok(endpoint.clone()) };
            let endpoint = match catalog_type {
                Some(_) => endpoint.clone().microversion_for(service_type, setting.as_str()),
                None => endpoint.clone().microversion(setting.as_str()),
            };
            let expected = "a microversion, such as 2.79 or latest";
            endpoint.check().map_err(|_| setting.locate(ConfigError::invalid_value(expected)))?;
            Ok(endpoint)
        };

        Ok(Self {
            endpoint: with_microversion(default.as_ref().or(implied))?,
            without_version: with_microversion(default.as_ref())?,
            api_version: version.map(|version| version.as_str().into()),
            default_microversion: default.as_ref().map(|text| text.as_str().into()),
            retries: Retries::new(&service, service_type)?,
        })
    }

    /// Returns the endpoint filter of the service.
    ///
    /// Insert it into the extensions of a request, or pass it to [`AuthLayer::endpoint`](crate::AuthLayer::endpoint).
    /// The filter requests a version if `<type>_api_version` is set. By default, it requests version 2 of `network` and
    /// version 1 of `object-store`, and no version of other services, which then need no version discovery.
    ///
    /// With a version, request paths do not contain it: `/networks`. Without one, they are relative to the URL in the
    /// catalog. Some clouds have the version in this URL, and others do not: the path is `/images` or `/v2/images`. For
    /// a path that works in all clouds, set `image_api_version` to 2, or the version in the filter of the request.
    pub fn endpoint(&self) -> EndpointFilter {
        self.endpoint.clone()
    }

    /// Returns what completes the filter of a request.
    pub(crate) fn defaults_for(&self, filter: &EndpointFilter) -> &EndpointFilter {
        if filter.has_version_limits() { &self.without_version } else { &self.endpoint }
    }

    /// Returns the version of the API (`api_version`), such as `3`. `None` if it is not a number.
    ///
    /// A version with a dot, such as `2.79`, is the microversion 2.79 of version 2.
    pub fn api_version(&self) -> Option<&str> {
        self.api_version.as_deref()
    }

    /// Returns the microversion of requests that do not choose one (`default_microversion`), such as `2.79`.
    pub fn default_microversion(&self) -> Option<&str> {
        self.default_microversion.as_deref()
    }

    /// Returns how often a request is retried after a failure to connect (`connect_retries`).
    pub fn connect_retries(&self) -> Option<u32> {
        self.retries.connect_retries
    }

    /// Returns the delay before a retry after a failure to connect (`connect_retry_delay`, in seconds).
    pub fn connect_retry_delay(&self) -> Option<Duration> {
        self.retries.connect_retry_delay
    }

    /// Returns how often a request is retried because of the status of its response (`status_code_retries`).
    ///
    /// The default of `baremetal`, `baremetal-introspection` and `image` is 5.
    pub fn status_code_retries(&self) -> Option<u32> {
        self.retries.status_code_retries
    }

    /// Returns the delay before a retry because of a status (`status_code_retry_delay`, in seconds).
    pub fn status_code_retry_delay(&self) -> Option<Duration> {
        self.retries.status_code_retry_delay
    }

    /// Returns the statuses after which a request is retried (`retriable_status_codes`).
    pub fn retriable_status_codes(&self) -> Option<&[StatusCode]> {
        self.retries.retriable_status_codes.as_deref()
    }

    /// Returns whether a setting says how often requests are retried.
    pub(crate) fn has_retries(&self) -> bool {
        self.retries != Retries::default()
    }

    /// Returns a retry policy with these settings, and otherwise the defaults of [`RetryPolicy::new`].
    pub fn retry_policy<B: Clone>(&self) -> RetryPolicy<B> {
        self.set_retries(RetryPolicy::new())
    }

    /// Applies these settings to a retry policy. Its other values stay as they are.
    ///
    /// Use it for request bodies that are not `Clone`, or for a policy with a [budget](RetryPolicy::budget).
    pub fn set_retries<B>(&self, policy: RetryPolicy<B>) -> RetryPolicy<B> {
        self.retries.set(policy)
    }
}

/// Shows no setting.
impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig").finish_non_exhaustive()
    }
}

/// Returns the name of the service type with the hyphens of its official name or alias: `block-storage` for
/// `block_storage`.
fn listed_name(service_type: &str) -> Box<str> {
    match official_with_rank(service_type) {
        Some((_, usize::MAX)) => service_type.replace('_', "-").into(),
        _ => service_type.into(),
    }
}

/// Returns the interfaces of this service. `<type>_endpoint_type` takes precedence over `<type>_interface`.
fn service_interfaces(service: &ServiceSettings<'_>) -> Result<Option<Vec<Interface>>, ConfigError> {
    let pairs = service.names("endpoint_type").into_iter().zip(service.names("interface"));
    let names: Vec<_> = pairs.flat_map(|(old_name, name)| [old_name, name]).collect();
    configured_interfaces(service.settings, &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        settings::testing::{argument, file, list, null, settings},
        value::Value,
    };

    fn try_read(
        service_type: &str,
        members: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<ServiceConfig, ConfigError> {
        ServiceConfig::new(&settings(members), "password", Some("R"), &[Interface::Public], service_type)
    }

    fn read(service_type: &str, members: impl IntoIterator<Item = (&'static str, Value)>) -> ServiceConfig {
        try_read(service_type, members).unwrap()
    }

    fn filter(service_type: &str) -> EndpointFilter {
        EndpointFilter::new(service_type).interface("public").region("R")
    }

    #[test]
    fn a_service_without_settings_has_the_region_and_interfaces_of_the_cloud() {
        let compute = read("compute", []);
        assert_eq!(compute.endpoint(), filter("compute"));
        assert_eq!((compute.api_version(), compute.default_microversion()), (None, None));
        let retries =
            (compute.connect_retries(), compute.status_code_retries(), compute.retriable_status_codes());
        assert_eq!(retries, (None, None, None));
        let everywhere = [Interface::Internal, Interface::Public];
        let compute =
            ServiceConfig::new(&Settings::default(), "password", None, &everywhere, "compute").unwrap();
        assert_eq!(compute.endpoint(), EndpointFilter::new("compute").interfaces(everywhere));
    }

    #[test]
    fn every_setting_of_the_endpoint_is_read() {
        let compute = read(
            "compute",
            [
                ("compute_service_name", file("nova")),
                ("compute_region_name", file("R2")),
                ("compute_interface", list([file("internalURL"), file("public")])),
                ("compute_endpoint_override", file("https://h/%(project_id)s")),
                ("compute_api_version", file("2")),
                ("compute_default_microversion", file("2.60")),
                ("image_service_name", file("glance")),
            ],
        );
        let expected = EndpointFilter::new("compute")
            .service_name("nova")
            .region("R2")
            .interfaces(["internal", "public"])
            .endpoint_override("https://h/%(project_id)s")
            .version(2, 0)
            .microversion("2.60");
        assert_eq!(compute.endpoint(), expected);
        assert_eq!((compute.api_version(), compute.default_microversion()), (Some("2"), Some("2.60")));
    }

    #[test]
    fn the_official_type_comes_before_its_aliases_and_an_argument_before_both() {
        let names = |members: Vec<_>| read("volumev2", members).endpoint();
        let volume = filter("volumev2");
        let both = vec![("volume_service_name", file("a")), ("block_storage_service_name", file("b"))];
        assert_eq!(names(both), volume.clone().service_name("b"));
        let null_is_unset = vec![("volume_service_name", file("a")), ("block_storage_service_name", null())];
        assert_eq!(names(null_is_unset), volume.clone().service_name("a"));
        let with_argument =
            vec![("volume_service_name", argument("a")), ("block_storage_service_name", file("b"))];
        assert_eq!(names(with_argument), volume.service_name("a"));
        let hyphens = read("block_storage", [("volumev3_service_name", file("c"))]);
        assert_eq!(hyphens.endpoint(), filter("block-storage").service_name("c"));
        assert_eq!(read("application_deployment", []).endpoint(), filter("application_deployment"));
    }

    #[test]
    fn old_names_are_read() {
        let members = [
            ("volume_endpoint", file("https://old")),
            ("volume_endpoint_type", file("internalURL")),
            ("block_storage_interface", file("public")),
        ];
        let volume = read("block-storage", members.clone()).endpoint();
        assert_eq!(volume, filter("block-storage").endpoint_override("https://old"));
        let newer = members.into_iter().chain([
            ("volumev2_endpoint_override", file("https://new")),
            ("block_storage_endpoint_type", file("admin")),
        ]);
        let expected = filter("block-storage").interface("admin").endpoint_override("https://new");
        assert_eq!(read("block-storage", newer).endpoint(), expected);
    }

    #[test]
    fn a_version_with_a_dot_is_a_microversion() {
        let version = |text| read("compute", [("compute_api_version", file(text))]);
        let minor = version("2.79");
        assert_eq!(minor.endpoint(), filter("compute").version(2, 0).microversion("2.79"));
        assert_eq!((minor.api_version(), minor.default_microversion()), (Some("2.79"), None));
        assert_eq!(version("2.0").endpoint(), filter("compute").version(2, 0));
        for other in ["v2", "latest", "2.latest", ""] {
            let other = version(other);
            assert_eq!((other.endpoint(), other.api_version()), (filter("compute"), None));
        }
    }

    #[test]
    fn two_different_microversions_are_an_error() {
        let twice = |implied, default| {
            let members =
                [("compute_api_version", file(implied)), ("compute_default_microversion", file(default))];
            try_read("compute", members)
        };
        let error = twice("2.53", "2.60").unwrap_err();
        assert_eq!(error.member.as_deref(), Some("compute_default_microversion"));
        assert!(error.location.is_some());
        assert!(error.to_string().contains("compute_api_version has another microversion"), "{error}");
        assert_eq!(
            twice("2.53", "2.53").unwrap().endpoint(),
            filter("compute").version(2, 0).microversion("2.53")
        );
        assert_eq!(
            twice("2", "2.60").unwrap().endpoint(),
            filter("compute").version(2, 0).microversion("2.60")
        );
    }

    #[test]
    fn a_request_that_chooses_a_version_has_the_microversion_of_its_own_setting_only() {
        let chosen = EndpointFilter::new("compute").version(3, 0);
        let defaults = |name, version| read("compute", [(name, file(version))]).defaults_for(&chosen).clone();
        assert_eq!(defaults("compute_api_version", "2.53"), filter("compute").version(2, 0));
        let expected = filter("compute").microversion("2.60");
        assert_eq!(defaults("compute_default_microversion", "2.60"), expected);
    }

    #[test]
    fn a_malformed_microversion_is_an_error_without_the_value() {
        let error = try_read("compute", [("compute_default_microversion", file("canary"))]).unwrap_err();
        assert_eq!(error.member.as_deref(), Some("compute_default_microversion"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn only_network_and_object_store_have_a_default_version() {
        assert_eq!(read("network", []).endpoint(), filter("network").version(2, 0));
        assert_eq!(read("network", []).api_version(), Some("2"));
        assert_eq!(read("object-store", []).endpoint(), filter("object-store").version(1, 0));
        for none in [null(), file(""), file("latest")] {
            assert_eq!(read("network", [("network_api_version", none)]).endpoint(), filter("network"));
        }
    }

    #[test]
    fn the_catalog_can_have_another_type() {
        let compute = read(
            "compute",
            [("compute_service_type", file("custom")), ("compute_default_microversion", file("2.60"))],
        );
        assert_eq!(compute.endpoint(), filter("custom").microversion_for("compute", "2.60"));
        let mismatch = [("compute_service_type", file("volumev3")), ("compute_api_version", file("2"))];
        let error = try_read("compute", mismatch).unwrap_err();
        assert_eq!(error.member.as_deref(), Some("compute_api_version"));
    }

    #[test]
    fn a_default_version_gives_way_to_a_type_that_stands_for_another() {
        let network = read("network", [("network_service_type", file("volumev3"))]);
        assert_eq!(network.endpoint(), filter("volumev3"));
        let network = read("network", [("network_service_type", file("custom"))]);
        assert_eq!(network.endpoint(), filter("custom").version(2, 0));
    }

    #[test]
    fn a_type_that_stands_for_a_version_keeps_it() {
        let members = [("block_storage_api_version", file("2")), ("volume_region_name", file("R2"))];
        let volume = read("volumev3", members).endpoint();
        assert_eq!(volume, filter("volumev3").region("R2"));
        assert!(volume.check().is_ok());
        let minor = [("block_storage_api_version", file("3.60"))];
        assert_eq!(read("volumev3", minor.clone()).endpoint(), filter("volumev3").microversion("3.60"));
        assert_eq!(read("volumev2", minor).endpoint(), filter("volumev2"));
    }

    #[test]
    fn an_unusable_override_is_an_error_without_the_url() {
        for url in [
            "canary",
            "ftp://canary",
            "https://u:canary@h/",
            "https://h/%(canary)s",
            "https://h/%(canary",
            "https://h/?canary",
        ] {
            let error = try_read("volumev3", [("volume_endpoint_override", file(url))]).unwrap_err();
            assert_eq!(error.member.as_deref(), Some("volume_endpoint_override"), "{url}");
            assert!(error.location.is_some() && !error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn identity_without_a_scope_is_at_the_auth_url() {
        let endpoint = |service_type, auth_type, members: Vec<(&'static str, Value)>| {
            let mut settings = settings(members);
            settings.auth.insert("auth_url", file("https://keystone/v3"));
            ServiceConfig::new(&settings, auth_type, Some("R"), &[Interface::Public], service_type)
                .unwrap()
                .endpoint()
        };
        let keystone = filter("identity").endpoint_override("https://keystone/v3");
        assert_eq!(endpoint("identity", "password", vec![]), keystone);
        assert_eq!(endpoint("compute", "password", vec![]), filter("compute"));
        assert_eq!(endpoint("identity", "none", vec![]), keystone);
        for scope in SCOPES {
            assert_eq!(endpoint("identity", "password", vec![(scope, file("x"))]), filter("identity"));
            assert_eq!(endpoint("identity", "password", vec![(scope, null())]), keystone);
        }
        assert_eq!(endpoint("identity", "v2password", vec![("tenant_name", file("x"))]), keystone);
        let own = vec![("identity_endpoint", file("https://own"))];
        assert_eq!(
            endpoint("identity", "password", own),
            filter("identity").endpoint_override("https://own")
        );
    }

    const SCOPES: [&str; 7] = [
        "domain_id",
        "domain_name",
        "project_id",
        "project_name",
        "system_scope",
        "tenant_id",
        "tenant_name",
    ];

    #[test]
    fn a_setting_that_is_no_text_is_an_error_with_its_name() {
        let read = |name| {
            let settings = settings([(name, list([file("canary")]))]);
            ServiceConfig::new(&settings, "none", None, &[Interface::Public], "compute").unwrap_err()
        };
        for name in ["compute_service_name", "endpoint"] {
            assert_eq!(read(name).to_string(), format!("/clouds.yaml:3:5: {name}: expected a text"));
        }
    }

    #[test]
    fn without_authentication_the_endpoint_is_for_every_service() {
        let mut settings = settings([("endpoint", file("https://outside"))]);
        let compute = |settings: &Settings, auth_type| {
            ServiceConfig::new(settings, auth_type, Some("R"), &[Interface::Public], "compute")
                .unwrap()
                .endpoint()
        };
        let at = |url| filter("compute").endpoint_override(url);
        assert_eq!(compute(&settings, "none"), at("https://outside"));
        settings.auth.insert("endpoint", file("https://inside"));
        assert_eq!(compute(&settings, "none"), at("https://inside"));
        settings.top.insert("endpoint", argument("https://argument"));
        assert_eq!(compute(&settings, "none"), at("https://argument"));
        assert_eq!(compute(&settings, "password"), filter("compute"));
        settings.top.insert("compute_endpoint_override", file("https://own"));
        assert_eq!(compute(&settings, "none"), at("https://own"));
    }

    #[test]
    fn retries_of_the_service_come_before_those_of_all_services() {
        let image = read(
            "image",
            [
                ("connect_retries", file("4")),
                ("connect_retry_delay", file("0.5")),
                ("image_connect_retries", file(" 1 ")),
                ("status_code_retries", file("9")),
                ("image_status_code_retry_delay", file("2")),
                ("image_retriable_status_codes", file("502, 503")),
            ],
        );
        assert_eq!(image.connect_retries(), Some(1));
        assert_eq!(image.connect_retry_delay(), Some(Duration::from_millis(500)));
        assert_eq!(image.status_code_retries(), Some(5), "the default of this service");
        assert_eq!(image.status_code_retry_delay(), Some(Duration::from_secs(2)));
        let codes = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
        assert_eq!(image.retriable_status_codes(), Some(&codes[..]));
        let own =
            [("bare_metal_status_code_retries", file("0")), ("retriable_status_codes", list([file("500")]))];
        let baremetal = read("baremetal", own);
        assert_eq!(baremetal.status_code_retries(), Some(0));
        assert_eq!(baremetal.retriable_status_codes(), Some(&[StatusCode::INTERNAL_SERVER_ERROR][..]));
        assert_eq!(read("compute", [("status_code_retries", file("9"))]).status_code_retries(), Some(9));
        assert_eq!(read("baremetal-introspection", []).status_code_retries(), Some(5));

        let policy = format!("{:?}", image.retry_policy::<()>());
        assert!(policy.contains("connect_retries: 1, status_code_retries: 5"), "{policy}");
        assert!(policy.contains("502"), "{policy}");
        let policy = format!("{:?}", read("compute", []).retry_policy::<()>());
        assert_eq!(policy, format!("{:?}", RetryPolicy::<()>::new()));
    }

    #[test]
    fn malformed_retries_are_errors_without_the_value() {
        for (name, value) in [
            ("compute_connect_retries", file("-1")),
            ("connect_retries", file("canary")),
            ("compute_status_code_retries", file("1.5")),
            ("compute_connect_retry_delay", file("-1")),
            ("status_code_retry_delay", file("canary")),
            ("compute_retriable_status_codes", file("502,canary")),
            ("compute_retriable_status_codes", file("99")),
            ("retriable_status_codes", list([list([file("500")])])),
        ] {
            let error = try_read("compute", [(name, value)]).unwrap_err();
            assert_eq!(error.member.as_deref(), Some(name));
            assert!(error.location.is_some() && !error.to_string().contains("canary"), "{error}");
        }
    }
}
