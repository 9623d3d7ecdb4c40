use std::{fmt, sync::Arc};

use super::{Version, VersionData, VersionDocument, VersionStatus};
use crate::{EndpointData, EndpointFilter, Error, Interface, ServiceAccess};

/// An endpoint and what is known of its versions: keystoneauth's `EndpointData`.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Endpoint {
    /// The URL that the catalog, or an endpoint override, has.
    pub catalog_url: Option<Box<str>>,
    /// The URL that discovery found, which goes before the other one.
    pub service_url: Option<Box<str>>,
    /// The service type that the endpoint is listed under.
    pub service_type: Option<Box<str>>,
    /// The name of the service.
    pub service_name: Option<Box<str>>,
    /// The id of the service.
    pub service_id: Option<Box<str>>,
    /// The interface of the endpoint.
    pub interface: Option<Interface>,
    /// The region of the endpoint.
    pub region_name: Option<Box<str>>,
    /// The id of the endpoint.
    pub endpoint_id: Option<Box<str>>,
    /// The version that discovery found. Without it, [`api_version`](Self::api_version) looks at the URL.
    pub version: Option<VersionData>,
    /// The document that was found last, and the project id that was cut off the URL for it.
    pub(super) document: Option<Arc<VersionDocument>>,
    pub(super) project_suffix: Option<Box<str>>,
}

impl Endpoint {
    /// The endpoint at this URL, of which nothing else is known.
    pub fn new(catalog_url: impl Into<Box<str>>) -> Self {
        Self { catalog_url: Some(catalog_url.into()), ..Self::default() }
    }

    /// The endpoint that a filter means, as the catalog, the filter's endpoint override or the plugin's
    /// `auth_url` have it. Nothing is asked of the service. An endpoint of the catalog that no request can be
    /// sent to is passed over.
    ///
    /// # Errors
    ///
    /// Those of [`ServiceCatalog::endpoint_data_for`](crate::ServiceCatalog::endpoint_data_for), of an
    /// override that cannot be used, and [`Error::NoAuthUrl`].
    pub fn undiscovered(
        filter: &EndpointFilter,
        access: Option<&ServiceAccess>,
        auth_url: Option<&http::Uri>,
    ) -> Result<Self, Error> {
        if filter.uses_auth_url() {
            let auth_url = auth_url.ok_or(Error::NoAuthUrl)?;
            return Ok(Self {
                service_url: Some(auth_url.to_string().into()),
                service_type: Some(filter.wanted_service_type().unwrap_or("identity").into()),
                ..Self::default()
            });
        }
        if let Some(url) = filter.wanted_override() {
            let url: Box<str> =
                url.resolve(access.map(ServiceAccess::ids).unwrap_or_default())?.url().to_string().into();
            return Ok(Self {
                service_url: Some(url.clone()),
                region_name: filter.wanted_region().map(Into::into),
                service_name: filter.wanted_service_name().map(Into::into),
                interface: filter.preferred_interface().cloned(),
                ..Self::new(url)
            });
        }
        let access = access.ok_or(Error::NoEndpointFilter)?;
        match access.fixed_endpoint() {
            Some(endpoint) => Ok(Self::new(endpoint.to_string())),
            None if filter.wanted_service_type().is_none() => Err(Error::NoEndpointFilter),
            None => {
                let auth_ref = access.auth_ref().ok_or(Error::EmptyCatalog)?;
                auth_ref.service_catalog().usable_endpoint_for(filter).map(Self::from)
            }
        }
    }

    /// The URL that requests are joined to.
    pub fn url(&self) -> &str {
        self.service_url.as_deref().or(self.catalog_url.as_deref()).unwrap_or_default()
    }

    /// The version: the one discovered, or the one that the URL names.
    pub fn api_version(&self) -> Option<Version> {
        self.version.as_ref().map_or_else(|| Version::from_url(self.url()), |found| found.version)
    }

    /// The oldest microversion, if discovery found one.
    pub fn min_microversion(&self) -> Option<Version> {
        self.version.as_ref()?.min_microversion
    }

    /// The newest microversion, if discovery found one.
    pub fn max_microversion(&self) -> Option<Version> {
        self.version.as_ref()?.max_microversion
    }

    /// The status of the version, if discovery found one.
    pub fn status(&self) -> Option<VersionStatus> {
        self.version.as_ref().map(|found| found.status)
    }
}

impl From<EndpointData<'_>> for Endpoint {
    fn from(found: EndpointData<'_>) -> Self {
        Self {
            service_type: Some(found.service_type().into()),
            service_name: found.service_name().map(Into::into),
            service_id: found.service_id().map(Into::into),
            interface: found.interface().cloned(),
            region_name: found.region_name().map(Into::into),
            endpoint_id: found.endpoint_id().map(Into::into),
            ..Self::new(found.url())
        }
    }
}

/// Service, interface, region and version; not the URL, which may have been given a password by mistake.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("service_type", &self.service_type)
            .field("interface", &self.interface)
            .field("region_name", &self.region_name)
            .field("version", &self.api_version())
            .finish_non_exhaustive()
    }
}
