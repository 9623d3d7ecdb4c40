use super::{
    Interface, VersionRange, endpoint_override::EndpointOverride, service_types,
    version_range::implied_version, wanted_interfaces::WantedInterfaces,
    wanted_microversion::WantedMicroversion, wanted_versions::WantedVersions,
};
use crate::Error;

/// The properties of an [`EndpointFilter`](super::EndpointFilter).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Parts {
    pub(super) service_type: Option<Box<str>>,
    /// The official name of `service_type`, if the type is listed.
    pub(super) official_type: Option<&'static str>,
    pub(super) service_name: Option<Box<str>>,
    pub(super) service_id: Option<Box<str>>,
    pub(super) interfaces: WantedInterfaces,
    pub(super) region_name: Option<Box<str>>,
    pub(super) endpoint_id: Option<Box<str>>,
    pub(super) endpoint_override: Option<EndpointOverride>,
    pub(super) versions: WantedVersions,
    pub(super) microversion: Option<WantedMicroversion>,
    /// Computed when the filter is built, so that requests only read it.
    pub(super) kind: FilterKind,
}

/// What is needed to find the endpoint of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum FilterKind {
    /// The catalog alone is enough. Most filters are of this kind.
    #[default]
    CatalogOnly,
    /// The filter has an endpoint override, a version or a microversion, or uses the `auth_url`.
    BeyondCatalog,
    /// The filter contradicts itself, or its microversion is malformed. Requests fail.
    Invalid,
}

impl Parts {
    pub(super) fn for_service_type(service_type: &str) -> Self {
        let mut parts = Self { service_type: non_empty(service_type), ..Self::default() };
        parts.official_type = service_types::official(service_type);
        parts.versions.is_implied = implied_version(service_type).is_some();
        parts
    }

    /// Copies the service type of `other`, and updates what depends on it.
    pub(super) fn set_service_type_from(&mut self, other: &Self) {
        self.service_type.clone_from(&other.service_type);
        self.official_type = other.official_type;
        self.versions.is_implied = other.versions.is_implied;
        if let Some(microversion) = &mut self.microversion {
            microversion.set_service_type(self.service_type.as_deref());
        }
    }

    /// Returns the official service type, or the service type itself if it is not listed.
    pub(super) fn canonical_type(&self) -> Option<&str> {
        self.official_type.or(self.service_type.as_deref())
    }

    /// Returns the versions that the filter requests.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVersionRange`] or [`Error::ImpliedVersionMismatch`] if no API can have such a version.
    pub(super) fn version_range(&self) -> Result<VersionRange, Error> {
        let WantedVersions { version, min, max, .. } = self.versions;
        VersionRange::new(version, min, max)?
            .for_service_type(self.service_type.as_deref().unwrap_or_default())
    }

    /// Returns an error if the filter contradicts itself or its microversion is malformed.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.version_range()?;
        self.microversion.as_ref().map_or(Ok(()), WantedMicroversion::check)
    }

    /// Computes the kind of the filter, to be stored in `kind`.
    pub(super) fn find_kind(&self) -> FilterKind {
        if self.check().is_err() {
            FilterKind::Invalid
        } else if self.interfaces.first() == Some(&Interface::Auth)
            || self.versions.is_implied
            || self.versions.has_limits()
            || self.endpoint_override.is_some()
            || self.microversion.is_some()
        {
            FilterKind::BeyondCatalog
        } else {
            FilterKind::CatalogOnly
        }
    }
}

/// Returns the text, or `None` if it is empty.
pub(super) fn non_empty(text: impl AsRef<str>) -> Option<Box<str>> {
    Some(text.as_ref()).filter(|text| !text.is_empty()).map(Into::into)
}
