use http::{HeaderMap, HeaderName, HeaderValue};

use super::service_types;
use crate::{
    Error,
    version::{LATEST, Version},
};

const OPENSTACK: HeaderName = HeaderName::from_static("openstack-api-version");

const MALFORMED: &str = "it is neither two numbers with a dot between them, such as `2.79`, nor `latest`";

/// A service with microversions, and the headers in which it expects one.
struct Service {
    official_type: &'static str,
    /// The service name in `OpenStack-API-Version`.
    name: &'static str,
    /// The header that the service had before `OpenStack-API-Version`.
    legacy_header: Option<HeaderName>,
}

/// The services with microversions. Each comment names the file of the service's repository that has the name or the
/// header.
static SERVICES: [Service; 14] = [
    // cyborg/api/controllers/base.py
    Service { official_type: "accelerator", name: "accelerator", legacy_header: None },
    // zun/api/controllers/versions.py
    Service { official_type: "application-container", name: "container", legacy_header: None },
    // ironic/api/controllers/base.py, api-ref/source/baremetal-api-versions.inc
    Service {
        official_type: "baremetal",
        name: "baremetal",
        legacy_header: Some(HeaderName::from_static("x-openstack-ironic-api-version")),
    },
    // ironic_inspector/conf/opts.py; its API reference has the legacy header
    Service {
        official_type: "baremetal-introspection",
        name: "baremetal-introspection",
        legacy_header: Some(HeaderName::from_static("x-openstack-ironic-inspector-api-version")),
    },
    // cinder/api/openstack/wsgi.py
    Service { official_type: "block-storage", name: "volume", legacy_header: None },
    // senlin/api/openstack/history.rst
    Service { official_type: "clustering", name: "clustering", legacy_header: None },
    // nova/api/openstack/wsgi.py
    Service {
        official_type: "compute",
        name: "compute",
        legacy_header: Some(HeaderName::from_static("x-openstack-nova-api-version")),
    },
    // magnum/api/controllers/versions.py
    Service {
        official_type: "container-infrastructure-management",
        name: "container-infra",
        legacy_header: None,
    },
    // sahara/api/microversion.py
    Service { official_type: "data-processing", name: "data-processing", legacy_header: None },
    // masakari/api/openstack/wsgi.py
    Service { official_type: "instance-ha", name: "instance-ha", legacy_header: None },
    // placement/microversion.py
    Service { official_type: "placement", name: "placement", legacy_header: None },
    // blazar/api/v1/api_version_request.py
    Service { official_type: "reservation", name: "reservation", legacy_header: None },
    // watcher/api/controllers/base.py
    Service { official_type: "resource-optimization", name: "infra-optim", legacy_header: None },
    // manila/api/openstack/wsgi.py; Manila reads only the legacy header
    Service {
        official_type: "shared-file-system",
        name: "shared-file-system",
        legacy_header: Some(HeaderName::from_static("x-openstack-manila-api-version")),
    },
];

/// A requested microversion and the headers for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MicroversionHeaders {
    microversion: Box<str>,
    /// The headers, built once for all requests, or the reason why there are none.
    headers: Result<Headers, &'static str>,
    /// Whether the service type was given with the microversion, rather than taken from the filter.
    has_own_service_type: bool,
}

/// The values of the headers for a microversion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Headers {
    openstack: HeaderValue,
    legacy: Option<(HeaderName, HeaderValue)>,
}

impl MicroversionHeaders {
    pub(super) fn new(service_type: Option<&str>, microversion: &str) -> Self {
        let headers = Headers::new(service_type, microversion);
        Self { microversion: microversion.into(), headers, has_own_service_type: false }
    }

    /// Builds the headers for this service type. [`set_service_type`](Self::set_service_type) does not change them.
    pub(super) fn for_service(service_type: &str, microversion: &str) -> Self {
        let service_type = Some(service_type).filter(|service_type| !service_type.is_empty());
        Self { has_own_service_type: true, ..Self::new(service_type, microversion) }
    }

    /// Rebuilds the headers for the service type of the filter, unless the microversion has a service type of its own.
    pub(super) fn set_service_type(&mut self, service_type: Option<&str>) {
        if !self.has_own_service_type {
            self.headers = Headers::new(service_type, &self.microversion);
        }
    }

    /// Returns the microversion as it was given.
    pub(super) fn microversion(&self) -> &str {
        &self.microversion
    }

    /// Returns an error if the microversion cannot be sent to any service.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.headers.as_ref().map(drop).map_err(|reason| invalid_microversion(&self.microversion, reason))
    }

    /// Inserts the headers that the request does not have already.
    pub(crate) fn insert(&self, into: &mut HeaderMap) -> Result<(), Error> {
        let Headers { openstack, legacy } =
            self.headers.as_ref().map_err(|reason| invalid_microversion(&self.microversion, reason))?;
        into.entry(OPENSTACK).or_insert_with(|| openstack.clone());
        if let Some((name, value)) = legacy {
            into.entry(name).or_insert_with(|| value.clone());
        }
        Ok(())
    }
}

impl Headers {
    /// Builds the headers, or returns why there are none.
    pub(super) fn new(service_type: Option<&str>, microversion: &str) -> Result<Self, &'static str> {
        let version = parse(microversion)?;
        if version.minor == LATEST && version != Version::latest() {
            return Err("`latest` cannot follow a major version; use `latest` alone");
        }
        let service_type = service_type
            .ok_or("the EndpointFilter has no service type; set one, or name it with microversion_for")?;
        let (name, legacy_header) = header_names(service_type);
        let value = |text: String| {
            HeaderValue::try_from(text)
                .map_err(|_| "the service type has a character that a header cannot contain")
        };
        let legacy = match legacy_header {
            Some(header) => Some((header.clone(), value(version.to_string())?)),
            None => None,
        };
        Ok(Self { openstack: value(format!("{name} {version}"))?, legacy })
    }
}

/// Parses a microversion, or returns why it is malformed.
pub(super) fn parse(microversion: &str) -> Result<Version, &'static str> {
    microversion.parse().map_err(|_| MALFORMED)
}

/// Returns the service name for `OpenStack-API-Version`, and the legacy header of the service.
///
/// If [`SERVICES`] has no entry for the service, its name is the official service type, as in the API guidelines. If
/// the type is neither an official type nor an alias, the name is the type itself, with two exceptions as in
/// keystoneauth: a type that begins with `volume` is Cinder's, and one that begins with `share` is Manila's.
fn header_names(service_type: &str) -> (&str, Option<&'static HeaderName>) {
    let official_type = match service_types::official(service_type) {
        Some(official) => official,
        None if service_type.starts_with("volume") => "block-storage",
        None if service_type.starts_with("share") => "shared-file-system",
        None => service_type,
    };
    match SERVICES.iter().find(|service| service.official_type == official_type) {
        Some(service) => (service.name, service.legacy_header.as_ref()),
        None => (official_type, None),
    }
}

pub(super) fn invalid_microversion(microversion: &str, reason: &'static str) -> Error {
    Error::InvalidMicroversion { microversion: microversion.chars().take(40).collect(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(service_type: &str, microversion: &str) -> Result<(String, Option<String>), Error> {
        let mut headers = HeaderMap::new();
        MicroversionHeaders::new(Some(service_type), microversion).insert(&mut headers)?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let legacy = headers.iter().find(|(name, _)| **name != OPENSTACK);
        Ok((text(&headers[OPENSTACK]), legacy.map(|(name, value)| format!("{name}: {}", text(value)))))
    }

    #[test]
    fn each_service_gets_the_headers_that_it_expects() {
        for (service_type, microversion, openstack, legacy) in [
            ("compute", "2.79", "compute 2.79", Some("nova-api-version: 2.79")),
            ("compute", "latest", "compute latest", Some("nova-api-version: latest")),
            ("compute", "v2.1", "compute 2.1", Some("nova-api-version: 2.1")),
            ("compute", "2", "compute 2.0", Some("nova-api-version: 2.0")),
            ("baremetal", "1.58", "baremetal 1.58", Some("ironic-api-version: 1.58")),
            ("bare-metal", "1.5", "baremetal 1.5", Some("ironic-api-version: 1.5")),
            ("bare_metal", "1.5", "baremetal 1.5", Some("ironic-api-version: 1.5")),
            (
                "baremetal-introspection",
                "1.1",
                "baremetal-introspection 1.1",
                Some("ironic-inspector-api-version: 1.1"),
            ),
            ("volumev2", "2.0", "volume 2.0", None),
            ("volumev3", "3.70", "volume 3.70", None),
            ("block-storage", "3.1", "volume 3.1", None),
            ("block-store", "3.1", "volume 3.1", None),
            ("volume", "3.1", "volume 3.1", None),
            ("volumev9", "9.1", "volume 9.1", None),
            ("sharev2", "2.51", "shared-file-system 2.51", Some("manila-api-version: 2.51")),
            ("share", "2.1", "shared-file-system 2.1", Some("manila-api-version: 2.1")),
            ("shared-file-system", "2.78", "shared-file-system 2.78", Some("manila-api-version: 2.78")),
            ("placement", "1.30", "placement 1.30", None),
            ("container-infra", "1.9", "container-infra 1.9", None),
            ("container-infrastructure", "1.9", "container-infra 1.9", None),
            ("container-infrastructure-management", "latest", "container-infra latest", None),
            ("container", "1.40", "container 1.40", None),
            ("application-container", "1.40", "container 1.40", None),
            ("infra-optim", "1.4", "infra-optim 1.4", None),
            ("resource-optimization", "1.4", "infra-optim 1.4", None),
            ("instance-ha", "1.2", "instance-ha 1.2", None),
            ("ha", "1.2", "instance-ha 1.2", None),
            ("cluster", "1.14", "clustering 1.14", None),
            ("resource-cluster", "1.14", "clustering 1.14", None),
            ("accelerator", "2.1", "accelerator 2.1", None),
            ("reservation", "1.0", "reservation 1.0", None),
            ("data-processing", "2.0", "data-processing 2.0", None),
            ("workflowv2", "2.1", "workflow 2.1", None),
            ("rca", "1.0", "root-cause-analysis 1.0", None),
            ("my-own", "1.0", "my-own 1.0", None),
            ("my_own", "1.0", "my_own 1.0", None),
        ] {
            let legacy = legacy.map(|legacy| format!("x-openstack-{legacy}"));
            assert_eq!(headers(service_type, microversion).unwrap(), (openstack.to_owned(), legacy));
        }
    }

    #[test]
    fn every_alias_of_a_service_gets_the_same_headers() {
        assert!(SERVICES.is_sorted_by_key(|service| service.official_type));
        for Service { official_type, .. } in &SERVICES {
            assert_eq!(service_types::official(official_type), Some(*official_type));
            let expected = headers(official_type, "1.2").unwrap();
            for alias in service_types::all_types(official_type) {
                assert_eq!(headers(alias, "1.2").unwrap(), expected, "{alias}");
            }
        }
    }

    #[test]
    fn a_malformed_microversion_or_service_type_is_an_error() {
        for (service_type, microversion, reason) in [
            ("compute", "2.latest", "use `latest` alone"),
            ("compute", "abc", "neither"),
            ("compute", "", "neither"),
            ("compute", "2.79\r\nx: y", "neither"),
            ("com\npute", "2.79", "service type"),
        ] {
            let error = headers(service_type, microversion).unwrap_err();
            assert!(matches!(error, Error::InvalidMicroversion { .. }));
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
