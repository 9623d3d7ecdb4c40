use std::sync::Arc;

use super::{
    Allow, Interface,
    endpoint_override::EndpointOverride,
    filter_parts::{Parts, non_empty},
    microversion_headers::MicroversionHeaders,
    wanted_interfaces::WantedInterfaces,
    wanted_microversion::{MicroversionRange, WantedMicroversion},
};
use crate::version::Version;

/// Selects the endpoint that a request goes to: keystoneauth's `endpoint_filter`.
///
/// A property that is not set does not restrict the selection, except that the interface defaults to
/// [`Interface::Public`]. An empty string counts as not set. Cloning is cheap, because clones share their data.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct EndpointFilter(pub(super) Arc<Parts>);

impl EndpointFilter {
    /// Creates a filter for a service type.
    ///
    /// The type can be an official one or an alias, such as `compute`, `block-storage` or `volumev3` (see
    /// [`service_types`](super::service_types)), or any other type in the catalog.
    pub fn new(service_type: impl AsRef<str>) -> Self {
        Self::default().service_type(service_type)
    }

    /// Sets the service type.
    ///
    /// If the filter had no service type, or another name of the same type, it keeps all other properties.
    ///
    /// If the filter was for another service, it keeps the region, and the interfaces unless [`Interface::Auth`] is one
    /// of them. Everything else applies to one service only and is removed: names, ids, versions, the microversion and
    /// the endpoint override.
    ///
    /// ```
    /// use tower_keystone::EndpointFilter;
    ///
    /// let compute = EndpointFilter::new("compute").region("RegionTwo").interface("internal").microversion("2.79");
    /// let image = compute.clone().service_type("image");
    /// assert_eq!(image, EndpointFilter::new("image").region("RegionTwo").interface("internal"));
    /// ```
    #[must_use]
    pub fn service_type(self, service_type: impl AsRef<str>) -> Self {
        let requested = Self(Arc::new(Parts::for_service_type(service_type.as_ref())));
        if self.wanted_service_type().is_none() || self.has_same_service(&requested) {
            return self.with(|parts| parts.set_service_type_from(&requested.0));
        }
        requested.with_defaults(&self)
    }

    /// Selects only services with this name.
    ///
    /// A service that has no name in the catalog is selected too. Old catalogs have no service names.
    #[must_use]
    pub fn service_name(self, name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_name = non_empty(name))
    }

    /// Selects only the service with this id.
    ///
    /// A service that has no id in the catalog is selected too. v2.0 catalogs have no service ids.
    #[must_use]
    pub fn service_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_id = non_empty(id))
    }

    /// Selects only endpoints with this interface.
    #[must_use]
    pub fn interface(self, interface: impl Into<Interface>) -> Self {
        self.interfaces([interface])
    }

    /// Selects endpoints with one of these interfaces, in order of preference.
    ///
    /// If no matching endpoint has the first interface of the list, the second one is tried, and so on. An empty list
    /// has the same effect as [`any_interface`](Self::any_interface).
    #[must_use]
    pub fn interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Interface>,
    {
        let mut preferred: Vec<Interface> = interfaces.into_iter().map(Into::into).collect();
        let is_empty = preferred.is_empty();
        preferred.retain(|interface| !interface.as_str().is_empty());
        self.with(|parts| {
            parts.interfaces = match preferred.is_empty() {
                _ if is_empty => WantedInterfaces::Any,
                true => WantedInterfaces::Default,
                false => WantedInterfaces::Preferred(preferred),
            };
        })
    }

    /// Selects endpoints with any interface. The first one in the catalog is used.
    #[must_use]
    pub fn any_interface(self) -> Self {
        self.with(|parts| parts.interfaces = WantedInterfaces::Any)
    }

    /// Selects only endpoints in this region.
    #[must_use]
    pub fn region(self, region_name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.region_name = non_empty(region_name))
    }

    /// Selects only the endpoint with this id.
    #[must_use]
    pub fn endpoint_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_id = non_empty(id))
    }

    /// Sends requests to this URL instead of an endpoint of the catalog.
    ///
    /// The catalog is not searched, and the token may be sent to the origin of this URL. `%(project_id)s` and
    /// `%(user_id)s` are replaced with the project id and the user id of the token, and `%%` with `%`.
    ///
    /// Errors are reported when a request needs the URL. The request fails with
    /// [`Error::InvalidEndpoint`](crate::Error::InvalidEndpoint) if the URL cannot be used, and with
    /// [`Error::MissingOverrideValue`](crate::Error::MissingOverrideValue) if the token does not have the id.
    ///
    /// If the filter also requests a [`version`](Self::version), discovery reads the version document at this URL. If
    /// there is no such document, or no version is requested, requests go to the URL as it is. If the document only
    /// cannot be fetched for now, they fail with a transient error.
    #[must_use]
    pub fn endpoint_override(self, url: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_override = non_empty(url).map(EndpointOverride::new))
    }

    /// Requests this version of the API, or a newer one with the same major part: keystoneauth's `version`.
    ///
    /// Either part can be [`LATEST`](crate::discovery::LATEST). A filter that requests a version needs
    /// [`AuthLayer::discovery`](crate::AuthLayer::discovery); see [`discovery`](crate::discovery).
    ///
    /// If the service has a version document that does not list such a version, the request fails with
    /// [`Error::DiscoveryFailure`](crate::Error::DiscoveryFailure). If it has no version document, the request goes to
    /// the URL in the catalog, as in keystoneauth, unless [`no_version_hack`](Self::no_version_hack) is set. If the
    /// document only cannot be fetched for now, the request fails with a transient error.
    #[must_use]
    pub fn version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.version = Some(Version::new(major, minor)))
    }

    /// Requests this version of the API or any newer one: keystoneauth's `min_version`.
    ///
    /// [`max_version`](Self::max_version) sets an upper limit.
    #[must_use]
    pub fn min_version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.min = Some(Version::new(major, minor)))
    }

    /// Requests this version of the API or any older one: keystoneauth's `max_version`.
    ///
    /// [`min_version`](Self::min_version) sets a lower limit. If `minor` is [`LATEST`](crate::discovery::LATEST), the
    /// limit is the newest version with this major part.
    #[must_use]
    pub fn max_version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.max = Some(Version::new(major, minor)))
    }

    /// Sets which support statuses a version may have: keystoneauth's `allow`.
    #[must_use]
    pub fn allow(self, allow: Allow) -> Self {
        self.with(|parts| parts.versions.allow = allow)
    }

    /// Looks for versions only at the URL in the catalog: keystoneauth's `allow_version_hack=False`.
    ///
    /// By default, discovery also removes the version from the URL in the catalog, and looks for a version document at
    /// the shorter URL: at `https://h/` if the catalog contains `https://h/v2`. With this setting it does not.
    ///
    /// The setting also applies if there is no version document. By default, the request then goes to the URL in the
    /// catalog. With this setting, it does so only if that URL contains a version that the filter accepts.
    /// Otherwise, it fails with [`Error::DiscoveryFailure`](crate::Error::DiscoveryFailure).
    ///
    /// This setting has no effect on an endpoint override: discovery never removes the version from its URL.
    #[must_use]
    pub fn no_version_hack(self) -> Self {
        self.with(|parts| parts.versions.no_version_hack = true)
    }

    /// Requests this microversion of the service's API, such as `2.79` or `latest`.
    ///
    /// The layer adds a header such as `OpenStack-API-Version: compute 2.79`. The name before the microversion is the
    /// one that the service expects. It can differ from the service type of the filter: Magnum expects
    /// `container-infra`, for every alias of its type. The services compute, baremetal, baremetal-introspection and
    /// shared-file-system also have an older header, such as `X-OpenStack-Nova-API-Version`. The layer adds that too.
    /// A header that the request already has is kept.
    ///
    /// If the microversion is malformed, such as `2.latest`, requests fail with
    /// [`Error::InvalidMicroversion`](crate::Error::InvalidMicroversion). The layer does not check whether the service
    /// supports the microversion. If it does not, the service responds with 406.
    #[must_use]
    pub fn microversion(self, microversion: impl AsRef<str>) -> Self {
        self.with(|parts| {
            let service_type = parts.service_type.as_deref();
            parts.microversion = non_empty(microversion).map(|microversion| {
                WantedMicroversion::Exact(MicroversionHeaders::new(service_type, &microversion))
            });
        })
    }

    /// Requests the newest microversion from `min` to `max` that the service supports.
    ///
    /// The layer reads from the service's version document which microversions the service supports. It does so even if
    /// the filter requests no version. This needs [`AuthLayer::discovery`](crate::AuthLayer::discovery). `max` may be
    /// `latest`.
    ///
    /// If the service supports none of these microversions, or its version document does not list them, the request
    /// fails with [`Error::UnsupportedMicroversion`](crate::Error::UnsupportedMicroversion). If there is no version
    /// document, it fails with that error or with [`Error::DiscoveryFailure`](crate::Error::DiscoveryFailure).
    #[must_use]
    pub fn newest_microversion(self, min: impl AsRef<str>, max: impl AsRef<str>) -> Self {
        self.with(|parts| {
            let service_type = parts.service_type.as_deref();
            let range = MicroversionRange::new(service_type, min.as_ref(), max.as_ref());
            parts.microversion = Some(WantedMicroversion::Newest(range));
        })
    }

    /// Requests a microversion, with the headers of this service type: keystoneauth's `microversion_service_type`.
    ///
    /// Use it instead of [`microversion`](Self::microversion) if the filter has no service type, or if the headers must
    /// be those of a different service type.
    #[must_use]
    pub fn microversion_for(self, service_type: impl AsRef<str>, microversion: impl AsRef<str>) -> Self {
        let microversion = non_empty(microversion)
            .map(|microversion| MicroversionHeaders::for_service(service_type.as_ref(), &microversion));
        self.with(|parts| parts.microversion = microversion.map(WantedMicroversion::Exact))
    }

    /// Changes the parts of the filter, and updates its kind.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        change(parts);
        parts.kind = parts.find_kind();
        self
    }
}
