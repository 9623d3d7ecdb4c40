//! Completes the filter of a request from the layer's filter.

use super::{
    Allow, EndpointFilter, filter_parts::Parts, wanted_interfaces::WantedInterfaces,
    wanted_versions::WantedVersions,
};

impl EndpointFilter {
    /// Returns whether [`with_defaults`](Self::with_defaults) may change this filter.
    #[inline]
    pub(crate) fn needs_defaults(&self, default: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*default.0);
        ours.region_name.is_none() && theirs.region_name.is_some()
            || ours.interfaces == WantedInterfaces::Default && theirs.interfaces != WantedInterfaces::Default
            || ours.service_type.is_none()
            || ours.official_type == theirs.official_type && theirs.has_service_properties()
    }

    /// Returns the filter, with properties that are not set taken from `default`.
    ///
    /// The region is always taken, and so are the interfaces unless [`Interface::Auth`](super::Interface::Auth) is one
    /// of them. Such interfaces and all other properties are taken only if both filters are for the same service, or if
    /// this filter has no service type. keystoneauth's `Adapter` fills in the filters of its requests, too.
    pub(crate) fn with_defaults(self, default: &Self) -> Self {
        let same_service = self.wanted_service_type().is_none() || self.has_same_service(default);
        self.with(|ours| ours.fill_in(&default.0, same_service))
    }

    /// Returns the filter, with properties that are not set taken from the settings of its service.
    ///
    /// If the service has another type in the catalog, the filter gets that type. A microversion keeps its headers.
    #[cfg(feature = "config")]
    pub(crate) fn with_service_settings(self, service: &Self) -> Self {
        let has_other_type = self.wanted_service_type() != service.wanted_service_type();
        self.with(|ours| {
            if has_other_type {
                let microversion = ours.microversion.take();
                ours.set_service_type_from(&service.0);
                ours.microversion = microversion;
            }
            ours.fill_in(&service.0, true);
        })
    }
}

impl Parts {
    /// Returns whether a property is set that applies to one service only.
    fn has_service_properties(&self) -> bool {
        self.service_name.is_some()
            || self.service_id.is_some()
            || self.endpoint_id.is_some()
            || self.endpoint_override.is_some()
            || self.microversion.is_some()
            || self.versions
                != WantedVersions { is_implied: self.versions.is_implied, ..WantedVersions::default() }
    }

    fn fill_in(&mut self, default: &Self, same_service: bool) {
        fill_in(&mut self.region_name, &default.region_name);
        // `Interface::Auth` stands for Keystone. It is not an interface of another service.
        if self.interfaces == WantedInterfaces::Default && (same_service || !default.interfaces.has_auth()) {
            self.interfaces.clone_from(&default.interfaces);
        }
        if !same_service {
            return;
        }
        if self.service_type.is_none() {
            self.set_service_type_from(default);
        }
        fill_in(&mut self.service_name, &default.service_name);
        fill_in(&mut self.service_id, &default.service_id);
        fill_in(&mut self.endpoint_id, &default.endpoint_id);
        fill_in(&mut self.endpoint_override, &default.endpoint_override);
        fill_in(&mut self.microversion, &default.microversion);
        self.versions.fill_in(&default.versions);
    }
}

impl WantedVersions {
    /// Fills in the properties that are not set.
    ///
    /// Version, minimum and maximum are taken from `default` only if none of them is set here. A version and a minimum
    /// from different filters would contradict each other.
    fn fill_in(&mut self, default: &Self) {
        if !self.has_limits() {
            (self.version, self.min, self.max) = (default.version, default.min, default.max);
        }
        if self.allow == Allow::default() {
            self.allow = default.allow;
        }
        self.no_version_hack |= default.no_version_hack;
    }
}

fn fill_in<T: Clone>(ours: &mut Option<T>, default: &Option<T>) {
    if ours.is_none() {
        ours.clone_from(default);
    }
}
