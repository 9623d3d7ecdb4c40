use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::service_types;
use crate::{
    Error,
    version::{LATEST, Version},
};

const OPENSTACK: HeaderName = HeaderName::from_static("openstack-api-version");

/// The service that an official service type stands for: the name that it compares `OpenStack-API-Version` with, and
/// the header of its own that it had before.
struct Service {
    official_type: &'static str,
    name: &'static str,
    own: Option<HeaderName>,
}

/// Services with microversions, each with the file of its repository that has the name or the header.
static SERVICES: [Service; 14] = [
    // cyborg/api/controllers/base.py
    Service { official_type: "accelerator", name: "accelerator", own: None },
    // zun/api/controllers/versions.py
    Service { official_type: "application-container", name: "container", own: None },
    // ironic/api/controllers/base.py, api-ref/source/baremetal-api-versions.inc
    Service {
        official_type: "baremetal",
        name: "baremetal",
        own: Some(HeaderName::from_static("x-openstack-ironic-api-version")),
    },
    // ironic_inspector/conf/opts.py, and its API reference for the other header
    Service {
        official_type: "baremetal-introspection",
        name: "baremetal-introspection",
        own: Some(HeaderName::from_static("x-openstack-ironic-inspector-api-version")),
    },
    // cinder/api/openstack/wsgi.py
    Service { official_type: "block-storage", name: "volume", own: None },
    // senlin/api/openstack/history.rst
    Service { official_type: "clustering", name: "clustering", own: None },
    // nova/api/openstack/wsgi.py
    Service {
        official_type: "compute",
        name: "compute",
        own: Some(HeaderName::from_static("x-openstack-nova-api-version")),
    },
    // magnum/api/controllers/versions.py
    Service { official_type: "container-infrastructure-management", name: "container-infra", own: None },
    // sahara/api/microversion.py
    Service { official_type: "data-processing", name: "data-processing", own: None },
    // masakari/api/openstack/wsgi.py
    Service { official_type: "instance-ha", name: "instance-ha", own: None },
    // placement/microversion.py
    Service { official_type: "placement", name: "placement", own: None },
    // blazar/api/v1/api_version_request.py
    Service { official_type: "reservation", name: "reservation", own: None },
    // watcher/api/controllers/base.py
    Service { official_type: "resource-optimization", name: "infra-optim", own: None },
    // manila/api/openstack/wsgi.py, which looks at its own header only
    Service {
        official_type: "shared-file-system",
        name: "shared-file-system",
        own: Some(HeaderName::from_static("x-openstack-manila-api-version")),
    },
];

/// Returns the name that a service compares `OpenStack-API-Version` with, and the header of its own.
///
/// The name of a listed type without such a service is the official type, as the API guidelines have it, and that of
/// another type is the type itself. Types that begin with `volume` and `share` are Cinder's and Manila's, as in
/// keystoneauth.
fn header_names(service_type: &str) -> (&str, Option<&'static HeaderName>) {
    let official_type = match service_types::official(service_type) {
        Some(official) => official,
        None if service_type.starts_with("volume") => "block-storage",
        None if service_type.starts_with("share") => "shared-file-system",
        None => service_type,
    };
    match SERVICES.iter().find(|service| service.official_type == official_type) {
        Some(service) => (service.name, service.own.as_ref()),
        None => (official_type, None),
    }
}

/// What is asked of the microversion of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// This one.
    This(MicroversionHeaders),
    /// The newest one of a range that the service has too.
    Newest(Range),
}

impl Wanted {
    /// Refuses what no service can be asked for.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::This(MicroversionHeaders { wanted, headers, .. }) => {
                headers.as_ref().map(drop).map_err(|reason| invalid(wanted, reason))
            }
            Self::Newest(range) => range.check(),
        }
    }

    /// Makes it one of this service, unless it was made for a service of its own.
    pub(crate) fn set_service_type(&mut self, service_type: Option<&str>) {
        match self {
            Self::This(microversion) if !microversion.is_for_own_service => {
                microversion.headers = Headers::new(service_type, &microversion.wanted);
            }
            Self::This(_) => {}
            Self::Newest(range) => range.service_type = service_type.map(Into::into),
        }
    }
}

/// A microversion, and the headers that ask for it, made once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MicroversionHeaders {
    wanted: Box<str>,
    headers: Result<Headers, &'static str>,
    /// The service type was given with it, and is not that of the filter.
    is_for_own_service: bool,
}

/// Microversions of which one is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    service_type: Option<Box<str>>,
    min: Box<str>,
    max: Box<str>,
}

/// The header of all services, and the older one that some have besides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Headers {
    openstack: HeaderValue,
    legacy: Option<(HeaderName, HeaderValue)>,
}

impl MicroversionHeaders {
    pub(crate) fn new(service_type: Option<&str>, wanted: &str) -> Self {
        let headers = Headers::new(service_type, wanted);
        Self { wanted: wanted.into(), headers, is_for_own_service: false }
    }

    /// The same for a service type that stays when the filter gets another one.
    pub(crate) fn for_service(service_type: &str, wanted: &str) -> Self {
        let service_type = Some(service_type).filter(|service_type| !service_type.is_empty());
        Self { is_for_own_service: true, ..Self::new(service_type, wanted) }
    }

    /// Puts the headers in, as far as the request does not have them of its own.
    pub(crate) fn insert(&self, into: &mut HeaderMap) -> Result<(), Error> {
        let Headers { openstack, legacy } =
            self.headers.as_ref().map_err(|reason| invalid(&self.wanted, reason))?;
        into.entry(OPENSTACK).or_insert_with(|| openstack.clone());
        if let Some((name, value)) = legacy {
            into.entry(name).or_insert_with(|| value.clone());
        }
        Ok(())
    }
}

impl Range {
    pub(crate) fn new(service_type: Option<&str>, min: &str, max: &str) -> Self {
        Self { service_type: service_type.map(Into::into), min: min.into(), max: max.into() }
    }

    fn check(&self) -> Result<(), Error> {
        let (min, max) = self.ends()?;
        let refused = |reason| Err(invalid(&format!("{} to {}", self.min, self.max), reason));
        if max < min {
            return refused("the newest is older than the oldest");
        }
        Headers::new(self.service_type.as_deref(), "latest").map(drop).or_else(refused)
    }

    fn ends(&self) -> Result<(Version, Version), Error> {
        let parse = |text: &str| text.parse::<Version>().map_err(|_| invalid(text, NO_MICROVERSION));
        Ok((parse(&self.min)?, parse(&self.max)?))
    }

    /// The newest of these that is among those of the service, whose oldest and newest are given.
    pub(crate) fn newest_supported(
        &self,
        supported: (Option<Version>, Option<Version>),
    ) -> Result<MicroversionHeaders, Error> {
        let (min, max) = self.ends()?;
        let unsupported = || Error::UnsupportedMicroversion {
            service_type: self.service_type.as_deref().unwrap_or("the service").into(),
            requested: (min, max),
            supported: supported.0.zip(supported.1),
        };
        let newest = max.min(supported.1.ok_or_else(unsupported)?);
        if newest < min || supported.0.is_some_and(|oldest| newest < oldest) {
            return Err(unsupported());
        }
        Ok(MicroversionHeaders::new(self.service_type.as_deref(), &newest.to_string()))
    }
}

fn invalid(wanted: &str, reason: &'static str) -> Error {
    Error::InvalidMicroversion { microversion: wanted.chars().take(40).collect(), reason }
}

const NO_MICROVERSION: &str = "it is neither two numbers with a dot between them nor `latest`";

/// As a sentence part: `2.79`, `2.60 to latest`.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::This(MicroversionHeaders { wanted, .. }) => write!(f, "{}", wanted.escape_debug()),
            Self::Newest(Range { min, max, .. }) => {
                write!(f, "{} to {}", min.escape_debug(), max.escape_debug())
            }
        }
    }
}

impl Headers {
    fn new(service_type: Option<&str>, wanted: &str) -> Result<Self, &'static str> {
        let version: Version = wanted.parse().map_err(|_| NO_MICROVERSION)?;
        if version.minor == LATEST && version != Version::latest() {
            return Err("`latest` stands alone: no service takes the latest of one major version");
        }
        let service_type = service_type.ok_or(
            "no service type is named; make the EndpointFilter with one, or say it by microversion_for",
        )?;
        let (name, own) = header_names(service_type);
        let value = |text: String| {
            HeaderValue::try_from(text).map_err(|_| "its service type is not made for headers")
        };
        let legacy = match own {
            Some(header) => Some((header.clone(), value(version.to_string())?)),
            None => None,
        };
        Ok(Self { openstack: value(format!("{name} {version}"))?, legacy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(service_type: &str, wanted: &str) -> Result<(String, Option<String>), Error> {
        let mut headers = HeaderMap::new();
        MicroversionHeaders::new(Some(service_type), wanted).insert(&mut headers)?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let legacy = headers.iter().find(|(name, _)| **name != OPENSTACK);
        Ok((text(&headers[OPENSTACK]), legacy.map(|(name, value)| format!("{name}: {}", text(value)))))
    }

    #[test]
    fn each_service_gets_the_headers_that_it_knows() {
        for (service_type, wanted, openstack, legacy) in [
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
            assert_eq!(headers(service_type, wanted).unwrap(), (openstack.to_owned(), legacy));
        }
    }

    #[test]
    fn every_name_of_a_service_asks_it_in_the_same_words() {
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
    fn the_newest_microversion_that_both_know_is_taken() {
        let version = |text: &str| text.parse::<Version>().ok();
        for (min, max, oldest, newest, expected) in [
            ("2.1", "2.60", "2.1", "2.90", Some("2.60")),
            ("2.60", "2.95", "2.1", "2.90", Some("2.90")),
            ("2.60", "latest", "2.1", "2.90", Some("2.90")),
            ("2.90", "2.90", "2.90", "2.90", Some("2.90")),
            ("2.91", "latest", "2.1", "2.90", None),
            ("2.1", "2.9", "2.10", "2.90", None),
            ("2.60", "2.50", "2.1", "2.90", None),
            ("2.1", "latest", "", "", None),
            ("2.1", "latest", "", "2.90", Some("2.90")),
        ] {
            let found =
                Range::new(Some("compute"), min, max).newest_supported((version(oldest), version(newest)));
            match (found, expected) {
                (Ok(found), Some(expected)) => assert_eq!(&*found.wanted, expected),
                (Err(Error::UnsupportedMicroversion { .. }), None) => {}
                (found, _) => panic!("{min} to {max} of {oldest} to {newest}: {found:?}"),
            }
        }
        let error = Range::new(None, "2.x", "latest").newest_supported((None, None)).unwrap_err();
        assert!(matches!(error, Error::InvalidMicroversion { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_asked_for_is_an_error() {
        for (service_type, wanted, said) in [
            ("compute", "2.latest", "stands alone"),
            ("compute", "abc", "neither"),
            ("compute", "", "neither"),
            ("compute", "2.79\r\nx: y", "neither"),
            ("com\npute", "2.79", "service type"),
        ] {
            let error = headers(service_type, wanted).unwrap_err();
            assert!(matches!(error, Error::InvalidMicroversion { .. }));
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
