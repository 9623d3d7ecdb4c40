use std::{fmt, sync::Arc};

use super::{Version, VersionData, VersionDocument, VersionStatus};
use crate::{EndpointData, EndpointFilter, Error, Interface, ServiceAccess};

/// An endpoint of a service, with its version if discovery found one: keystoneauth's `EndpointData`.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Endpoint {
    /// The URL in the catalog or of the endpoint override.
    pub catalog_url: Option<Box<str>>,
    /// The URL that discovery found, the `auth_url` or the endpoint override. It takes precedence over `catalog_url`.
    pub service_url: Option<Box<str>>,
    /// The service type in the catalog.
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
    /// The version that discovery found. Without it, [`api_version`](Self::api_version) returns the one in the URL.
    pub version: Option<VersionData>,
    /// The version document in which discovery found the version.
    pub(super) document: Option<Arc<VersionDocument>>,
    /// The project id at the end of the endpoint's URL. Version documents list URLs without it.
    pub(super) project_suffix: Option<Box<str>>,
}

impl Endpoint {
    /// Creates an endpoint from its URL alone.
    pub fn new(catalog_url: impl Into<Box<str>>) -> Self {
        Self { catalog_url: Some(catalog_url.into()), ..Self::default() }
    }

    /// Returns the endpoint that a filter selects, without a request to the service.
    ///
    /// Its URL is the first of these that applies: the `auth_url` if the filter requests
    /// [`Interface::Auth`](crate::Interface::Auth), the endpoint override of the filter, the endpoint of an access
    /// without a catalog ([`ServiceAccess::fixed`]), or the URL in the catalog. Catalog endpoints with an unusable URL
    /// are skipped.
    ///
    /// # Errors
    ///
    /// The errors of [`ServiceCatalog::endpoint_data_for`](crate::ServiceCatalog::endpoint_data_for);
    /// [`Error::InvalidEndpoint`] or [`Error::MissingOverrideValue`] if the override cannot be used;
    /// [`Error::NoAuthUrl`] if there is no `auth_url`; [`Error::NoEndpointFilter`] if the filter names no service or
    /// there is no access.
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
                url.resolve(|| access.map(ServiceAccess::ids).unwrap_or_default())?.url().to_string().into();
            return Ok(Self {
                service_url: Some(url.clone()),
                region_name: filter.wanted_region().map(Into::into),
                service_name: filter.wanted_service_name().map(Into::into),
                interface: filter.preferred_interface().cloned(),
                ..Self::new(url)
            });
        }
        let access = access.ok_or(Error::NoEndpointFilter)?;
        match access.fixed_endpoint_for(filter) {
            Some(endpoint) => Ok(Self::new(endpoint.to_string())),
            None if filter.wanted_service_type().is_none() => Err(Error::NoEndpointFilter),
            None => {
                let auth_ref = access.auth_ref().ok_or(Error::NoEndpoint)?;
                auth_ref.service_catalog().usable_endpoint_for(filter).map(Self::from)
            }
        }
    }

    /// Returns the URL that relative request URIs are joined to.
    pub fn url(&self) -> &str {
        self.service_url.as_deref().or(self.catalog_url.as_deref()).unwrap_or_default()
    }

    /// Returns the version that discovery found, or else the one that the URL names.
    pub fn api_version(&self) -> Option<Version> {
        self.version.as_ref().map_or_else(|| Version::from_url(self.url()), |data| data.version)
    }

    /// Returns the oldest supported microversion, if discovery found one.
    pub fn min_microversion(&self) -> Option<Version> {
        self.version.as_ref()?.min_microversion
    }

    /// Returns the newest supported microversion, if discovery found one.
    pub fn max_microversion(&self) -> Option<Version> {
        self.version.as_ref()?.max_microversion
    }

    /// Returns the support status of the version, if discovery found one.
    pub fn status(&self) -> Option<VersionStatus> {
        self.version.as_ref().map(|data| data.status)
    }
}

impl From<EndpointData<'_>> for Endpoint {
    fn from(data: EndpointData<'_>) -> Self {
        Self {
            service_type: Some(data.service_type().into()),
            service_name: data.service_name().map(Into::into),
            service_id: data.service_id().map(Into::into),
            interface: data.interface().cloned(),
            region_name: data.region_name().map(Into::into),
            endpoint_id: data.endpoint_id().map(Into::into),
            ..Self::new(data.url())
        }
    }
}

/// Shows the service type, interface, region and version. The URL is redacted because it can contain a password.
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
