use std::sync::Arc;

use super::{
    Allow, EndpointFilter, Interface, VersionRange,
    endpoint_override::EndpointOverride,
    filter_parts::{FilterKind, Parts},
    microversion_headers::MicroversionHeaders,
    wanted_interfaces::WantedInterfaces,
    wanted_microversion::{MicroversionRange, WantedMicroversion},
    wanted_versions::{WantedVersions, WantsDiscovery},
};
use crate::Error;

/// What the layer, discovery and the catalog read from a filter.
impl EndpointFilter {
    #[inline]
    pub(crate) fn wanted_service_type(&self) -> Option<&str> {
        self.0.service_type.as_deref()
    }

    /// Returns the official name of the service type, if the type is listed.
    pub(crate) fn official_type(&self) -> Option<&'static str> {
        self.0.official_type
    }

    pub(crate) fn wanted_service_name(&self) -> Option<&str> {
        self.0.service_name.as_deref()
    }

    pub(crate) fn wanted_service_id(&self) -> Option<&str> {
        self.0.service_id.as_deref()
    }

    pub(crate) fn wanted_region(&self) -> Option<&str> {
        self.0.region_name.as_deref()
    }

    pub(crate) fn wanted_endpoint_id(&self) -> Option<&str> {
        self.0.endpoint_id.as_deref()
    }

    pub(crate) fn wanted_interfaces(&self) -> &WantedInterfaces {
        &self.0.interfaces
    }

    /// Returns the first interface that the filter names, if it names any.
    #[inline]
    pub(crate) fn preferred_interface(&self) -> Option<&Interface> {
        self.0.interfaces.first()
    }

    #[inline]
    pub(crate) fn wanted_override(&self) -> Option<&EndpointOverride> {
        self.0.endpoint_override.as_ref()
    }

    /// Returns the microversion, if the filter requests a particular one.
    #[inline]
    pub(crate) fn wanted_microversion(&self) -> Option<&MicroversionHeaders> {
        match self.0.microversion.as_ref()? {
            WantedMicroversion::Exact(microversion) => Some(microversion),
            WantedMicroversion::Newest(_) => None,
        }
    }

    /// Returns the range of microversions, if the filter requests the newest one in a range.
    #[inline]
    pub(crate) fn wanted_microversion_range(&self) -> Option<&MicroversionRange> {
        match self.0.microversion.as_ref()? {
            WantedMicroversion::Exact(_) => None,
            WantedMicroversion::Newest(range) => Some(range),
        }
    }

    /// Returns the range of versions that the endpoint must have.
    pub(crate) fn version_range(&self) -> Result<VersionRange, Error> {
        self.0.version_range()
    }

    /// Returns which support statuses a version of the endpoint may have.
    pub(crate) fn allowed_statuses(&self) -> Allow {
        self.0.versions.allow
    }

    /// Returns whether discovery may look for a version document at the endpoint's URL without its version.
    pub(crate) fn allows_version_hack(&self) -> bool {
        !self.0.versions.no_version_hack && (self.uses_auth_url() || self.wanted_override().is_none())
    }

    /// Returns whether the catalog alone is enough to find the endpoint.
    #[inline]
    pub(crate) fn is_catalog_only(&self) -> bool {
        self.0.kind == FilterKind::CatalogOnly
    }

    /// Returns whether requests go to Keystone at the `auth_url`.
    #[inline]
    pub(crate) fn uses_auth_url(&self) -> bool {
        self.preferred_interface() == Some(&Interface::Auth)
    }

    /// Returns whether requests go to the URL of an endpoint override.
    #[inline]
    pub(crate) fn is_overridden(&self) -> bool {
        !self.uses_auth_url() && self.wanted_override().is_some()
    }

    /// Returns whether requests with this filter need version discovery.
    ///
    /// If the access has a fixed endpoint, that endpoint is used for every version, so only a microversion range needs
    /// discovery.
    #[inline]
    pub(crate) fn wants_discovery(&self, has_fixed_endpoint: bool) -> WantsDiscovery {
        let WantedVersions { version, min, max, is_implied, .. } = &self.0.versions;
        match version.or(*min).or(*max) {
            _ if self.wanted_microversion_range().is_some() => WantsDiscovery::Yes,
            _ if has_fixed_endpoint => WantsDiscovery::No,
            Some(_) => WantsDiscovery::Yes,
            // An override is used as it is, even if the service type implies another version.
            None if *is_implied && self.wanted_override().is_none() => WantsDiscovery::IfConfigured,
            None => WantsDiscovery::No,
        }
    }

    /// Returns an error if no endpoint can satisfy the filter, such as one for `volumev3` with a minimum of 2.0.
    ///
    /// The filter was checked when it was built. If it is valid, this only compares its kind.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVersionRange`], [`Error::ImpliedVersionMismatch`] or [`Error::InvalidMicroversion`].
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.kind == FilterKind::Invalid { self.0.check() } else { Ok(()) }
    }

    /// Returns whether the two filters share their data. Equal filters need not share it.
    #[inline]
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether a version, a minimum or a maximum is set.
    pub(crate) fn has_version_limits(&self) -> bool {
        self.0.versions.has_limits()
    }

    /// Returns whether the service type stands for a major version, as `volumev3` does.
    #[cfg(feature = "config")]
    pub(crate) fn implies_version(&self) -> bool {
        self.0.versions.is_implied
    }

    /// Returns whether both filters are for the same service type, by any of its names.
    pub(super) fn has_same_service(&self, other: &Self) -> bool {
        self.0.canonical_type() == other.0.canonical_type()
    }

    /// Returns whether both filters select the same endpoint of a catalog. Versions and overrides are not compared.
    pub(crate) fn selects_same_endpoint(&self, other: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*other.0);
        ours.service_type == theirs.service_type
            && ours.region_name == theirs.region_name
            && ours.interfaces == theirs.interfaces
            && ours.service_name == theirs.service_name
            && ours.service_id == theirs.service_id
            && ours.endpoint_id == theirs.endpoint_id
    }

    /// Returns the filter, with the public interface if it sets none.
    pub(crate) fn public_by_default(self) -> Self {
        if self.0.interfaces == WantedInterfaces::Default { self.interface(Interface::Public) } else { self }
    }

    /// Returns the approximate size of the filter in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let Parts { service_type, service_name, service_id, region_name, endpoint_id, .. } = &*self.0;
        let texts = [service_type, service_name, service_id, region_name, endpoint_id];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let interfaces =
            self.0.interfaces.by_preference().iter().map(|name| size_of_val(name) + name.as_str().len());
        let endpoint_override = self.0.endpoint_override.as_ref().map_or(0, EndpointOverride::weight);
        size_of::<Parts>() + texts.chain(interfaces).sum::<usize>() + endpoint_override
    }
}
