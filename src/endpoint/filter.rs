use std::{fmt, sync::Arc};

use super::{
    Allow, Interface, VersionRange,
    endpoint_override::Override,
    microversion_headers::{self as microversion, MicroversionHeaders},
    service_types,
    version_range::implied_version,
};
use crate::{Error, error::escaped, version::Version};

/// Which endpoint a request is for: keystoneauth's `endpoint_filter`.
///
/// What is not said does not restrict, but for the interface, whose default is
/// [`Interface::Public`]. An empty text says nothing. Clones share their parts.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct EndpointFilter(Arc<Parts>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Parts {
    service_type: Option<Box<str>>,
    official_type: Option<&'static str>,
    service_name: Option<Box<str>>,
    service_id: Option<Box<str>>,
    interface: WantedInterfaces,
    region_name: Option<Box<str>>,
    endpoint_id: Option<Box<str>>,
    endpoint_override: Option<Override>,
    versions: Versions,
    microversion: Option<microversion::Wanted>,
    /// Kept with the parts, so that no request has to find it out.
    asks: Asks,
}

/// What a filter asks for, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Asks {
    /// An endpoint of the catalog and nothing else, as most do.
    #[default]
    Simple,
    More,
    /// What no API can have.
    Contradiction,
}

impl Parts {
    /// The versions that are asked for, unless no API can have them.
    fn range(&self) -> Result<VersionRange, Error> {
        let Versions { version, min, max, .. } = self.versions;
        VersionRange::new(version, min, max)?
            .for_service_type(self.service_type.as_deref().unwrap_or_default())
    }

    fn asks(&self) -> Asks {
        let Versions { version, min, max, implied, .. } = self.versions;
        let is_auth = matches!(&self.interface, WantedInterfaces::Preferred(all) if all.first() == Some(&Interface::Auth));
        if self.check().is_err() {
            Asks::Contradiction
        } else if is_auth
            || implied
            || version.or(min).or(max).is_some()
            || self.endpoint_override.is_some()
            || self.microversion.is_some()
        {
            Asks::More
        } else {
            Asks::Simple
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.range()?;
        self.microversion.as_ref().map_or(Ok(()), microversion::Wanted::check)
    }
}

/// What is asked of the versions of an endpoint, as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Versions {
    version: Option<Version>,
    min: Option<Version>,
    max: Option<Version>,
    /// The one that the service type stands for.
    implied: bool,
    allow: Allow,
    no_version_hack: bool,
}

/// Whether a filter wants something that takes discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantsDiscovery {
    No,
    /// Its service type does, such as `volumev3`; the catalog's endpoint of that type will do.
    IfConfigured,
    Yes,
}

/// The interfaces that will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum WantedInterfaces {
    #[default]
    Default,
    Any,
    /// In order of preference, at least one.
    Preferred(Vec<Interface>),
}

impl WantedInterfaces {
    /// The interfaces that will do, the most wanted first; none if any will do.
    pub(crate) fn by_preference(&self) -> &[Interface] {
        match self {
            Self::Any => &[],
            Self::Default => &[Interface::Public],
            Self::Preferred(preferred) => preferred,
        }
    }
}

impl EndpointFilter {
    /// The endpoint of the service of this type, by its official name or an alias:
    /// `compute`, `block-storage`, `volumev3`.
    pub fn new(service_type: impl AsRef<str>) -> Self {
        Self::default().service_type(service_type)
    }

    /// The same for the service of this type.
    ///
    /// For another service only the region and the interfaces stay: names, ids, versions, the microversion and the
    /// endpoint override are those of one service. They stay if the filter had no service type, or the same one by
    /// another name.
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
        let asked = Self(Arc::new(Parts::of_type(service_type.as_ref())));
        if self.wanted_service_type().is_none() || self.has_same_service(&asked) {
            return self.with(|parts| {
                let Parts { service_type, official_type, .. } = &*asked.0;
                parts.service_type.clone_from(service_type);
                parts.official_type = *official_type;
                parts.versions.implied = asked.0.versions.implied;
                if let Some(microversion) = &mut parts.microversion {
                    microversion.set_service_type(service_type.as_deref());
                }
            });
        }
        asked.with_defaults(&self)
    }

    /// Only services of this name, as far as the catalog names its services (old ones do not).
    #[must_use]
    pub fn service_name(self, name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_name = said(name))
    }

    /// Only the service with this id, as far as the catalog has service ids (v2.0 has none).
    #[must_use]
    pub fn service_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.service_id = said(id))
    }

    /// Only this interface.
    #[must_use]
    pub fn interface(self, interface: impl Into<Interface>) -> Self {
        self.interfaces([interface])
    }

    /// These interfaces, the most wanted first: the first one that any matching endpoint has is
    /// taken. An empty list is [`any_interface`](Self::any_interface).
    #[must_use]
    pub fn interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Interface>,
    {
        let preferred: Vec<_> = interfaces.into_iter().map(Into::into).collect();
        self.with(|parts| {
            parts.interface = if preferred.is_empty() {
                WantedInterfaces::Any
            } else {
                WantedInterfaces::Preferred(preferred)
            };
        })
    }

    /// Any interface, whichever comes first in the catalog.
    #[must_use]
    pub fn any_interface(self) -> Self {
        self.with(|parts| parts.interface = WantedInterfaces::Any)
    }

    /// Only endpoints in this region.
    #[must_use]
    pub fn region(self, region_name: impl AsRef<str>) -> Self {
        self.with(|parts| parts.region_name = said(region_name))
    }

    /// Only the endpoint with this id.
    #[must_use]
    pub fn endpoint_id(self, id: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_id = said(id))
    }

    /// This URL in place of any endpoint of the catalog, which is not asked.
    ///
    /// `%(project_id)s` and `%(user_id)s` stand for the ids of the access in use. A URL that cannot
    /// be used is reported when a request needs it ([`Error::InvalidEndpoint`]), and so is an id
    /// that the access does not have ([`Error::MissingOverrideValue`]). The URL's origin gets the token.
    ///
    /// A [`version`](Self::version) that is asked for besides is looked for at this URL and below it; without one,
    /// requests go to the URL as it is.
    #[must_use]
    pub fn endpoint_override(self, url: impl AsRef<str>) -> Self {
        self.with(|parts| parts.endpoint_override = said(url).map(Override::new))
    }

    /// This version of the API, or a newer one with the same major part: keystoneauth's `version`.
    ///
    /// For either part [`LATEST`](crate::discovery::LATEST) can stand. A filter that asks for versions
    /// needs [`AuthLayer::discovery`](crate::AuthLayer::discovery); see [`discovery`](crate::discovery).
    ///
    /// A version document that lists no such version refuses the request
    /// ([`Error::DiscoveryFailure`]). Where no document can be had, the request goes to the URL of the catalog, as in
    /// keystoneauth, unless [`no_version_hack`](Self::no_version_hack) refuses that.
    #[must_use]
    pub fn version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.version = Some(Version::new(major, minor)))
    }

    /// This version of the API or any newer one, up to [`max_version`](Self::max_version) if that is
    /// said: keystoneauth's `min_version`.
    #[must_use]
    pub fn min_version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.min = Some(Version::new(major, minor)))
    }

    /// This version of the API or any older one, down to [`min_version`](Self::min_version) if that is
    /// said: keystoneauth's `max_version`. With `LATEST` for the minor part, the newest of that major one.
    #[must_use]
    pub fn max_version(self, major: u32, minor: u32) -> Self {
        self.with(|parts| parts.versions.max = Some(Version::new(major, minor)))
    }

    /// Which versions count by their status: keystoneauth's `allow`.
    #[must_use]
    pub fn allow(self, allow: Allow) -> Self {
        self.with(|parts| parts.versions.allow = allow)
    }

    /// Takes only a version that is below the URL in the catalog, and not one found by cutting a version
    /// off that URL: keystoneauth's `allow_version_hack=False`. Where no version document can be had, a request that
    /// asks for a version is refused then ([`Error::DiscoveryFailure`]), and does not go to the URL of the catalog.
    ///
    /// With an endpoint override the override's own URL is used in both cases.
    #[must_use]
    pub fn no_version_hack(self) -> Self {
        self.with(|parts| parts.versions.no_version_hack = true)
    }

    /// Asks the service for this microversion of its API, such as `2.79` or `latest`, by the headers that a
    /// service of this type knows: `OpenStack-API-Version`, with the name that the service expects there whichever
    /// alias is asked for (`container-infra` for Magnum), and for compute, baremetal, baremetal-introspection and
    /// shared-file-system their own older ones. A request that has such a header keeps it.
    ///
    /// One that cannot be asked for, such as `2.latest`, is reported when a request needs it
    /// ([`Error::InvalidMicroversion`]). Whether the service has it is not asked; it answers 406 if not.
    #[must_use]
    pub fn microversion(self, microversion: impl AsRef<str>) -> Self {
        self.with(|parts| {
            let microversion = MicroversionHeaders::new(parts.service_type.as_deref(), microversion.as_ref());
            parts.microversion = Some(microversion::Wanted::This(microversion));
        })
    }

    /// Asks the service for the newest microversion from `min` to `max` that it has, by what its version
    /// document says; `max` may be `latest`. This needs
    /// [`AuthLayer::discovery`](crate::AuthLayer::discovery), and a document even where the URL would do.
    ///
    /// Where the service has none of them, a request gets [`Error::UnsupportedMicroversion`].
    #[must_use]
    pub fn newest_microversion(self, min: impl AsRef<str>, max: impl AsRef<str>) -> Self {
        self.with(|parts| {
            let service_type = parts.service_type.as_deref();
            let range = microversion::Range::new(service_type, min.as_ref(), max.as_ref());
            parts.microversion = Some(microversion::Wanted::Newest(range));
        })
    }

    /// The same as [`microversion`](Self::microversion), for a service whose type the filter does not say or that
    /// goes by another one: keystoneauth's `microversion_service_type`.
    #[must_use]
    pub fn microversion_for(self, service_type: impl AsRef<str>, microversion: impl AsRef<str>) -> Self {
        let microversion = MicroversionHeaders::for_service(service_type.as_ref(), microversion.as_ref());
        self.with(|parts| parts.microversion = Some(microversion::Wanted::This(microversion)))
    }

    /// The microversion that is to be asked for whatever the service has.
    #[inline]
    pub(crate) fn wanted_microversion(&self) -> Option<&MicroversionHeaders> {
        match self.0.microversion.as_ref()? {
            microversion::Wanted::This(microversion) => Some(microversion),
            microversion::Wanted::Newest(_) => None,
        }
    }

    /// The microversions of which the newest is to be found.
    #[inline]
    pub(crate) fn wanted_microversion_range(&self) -> Option<&microversion::Range> {
        match self.0.microversion.as_ref()? {
            microversion::Wanted::This(_) => None,
            microversion::Wanted::Newest(range) => Some(range),
        }
    }

    /// Whether an endpoint of the catalog is all that it asks for.
    #[inline]
    pub(crate) fn is_catalog_only(&self) -> bool {
        self.0.asks == Asks::Simple
    }

    /// Whether the two are one filter. Others may be equal all the same.
    #[inline]
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the two name one service type, by whichever of its names.
    fn has_same_service(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }

    /// Whether this filter leaves something open that `default` says.
    #[inline]
    pub(crate) fn needs_defaults(&self, default: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*default.0);
        ours.region_name.is_none() && theirs.region_name.is_some()
            || ours.interface == WantedInterfaces::Default && theirs.interface != WantedInterfaces::Default
            || ours.service_type.is_none()
            || ours.official_type == theirs.official_type && theirs.says_more()
    }

    /// Takes what this filter leaves open from `default`: the region and the interfaces always, all else only if both
    /// mean the same service. keystoneauth's `Adapter` does the same for the requests that it sends.
    pub(crate) fn with_defaults(self, default: &Self) -> Self {
        let same_service = self.wanted_service_type().is_none() || self.has_same_service(default);
        self.with(|ours| ours.fill_in(&default.0, same_service))
    }

    /// Whether the two mean the same endpoint of a catalog, whatever else they ask for.
    pub(crate) fn selects_same_endpoint(&self, other: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*other.0);
        ours.service_type == theirs.service_type
            && ours.region_name == theirs.region_name
            && ours.interface == theirs.interface
            && ours.service_name == theirs.service_name
            && ours.service_id == theirs.service_id
            && ours.endpoint_id == theirs.endpoint_id
    }

    #[inline]
    pub(crate) fn wanted_service_type(&self) -> Option<&str> {
        self.0.service_type.as_deref()
    }

    /// The official name of the service type asked for, if it is known.
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
        &self.0.interface
    }

    #[inline]
    pub(crate) fn wanted_override(&self) -> Option<&Override> {
        self.0.endpoint_override.as_ref()
    }

    /// The interface that is wanted most, if the filter says one.
    #[inline]
    pub(crate) fn preferred_interface(&self) -> Option<&Interface> {
        match &self.0.interface {
            WantedInterfaces::Preferred(preferred) => preferred.first(),
            WantedInterfaces::Default | WantedInterfaces::Any => None,
        }
    }

    /// The same filter, but for the interface, which is public if it says none.
    pub(crate) fn public_by_default(self) -> Self {
        if self.0.interface == WantedInterfaces::Default { self.interface(Interface::Public) } else { self }
    }

    /// Whether requests with this filter need discovery. An endpoint that is fixed serves whatever
    /// version is asked for.
    #[inline]
    pub(crate) fn wants_discovery(&self, fixed: bool) -> WantsDiscovery {
        let Versions { version, min, max, implied, .. } = &self.0.versions;
        match version.or(*min).or(*max) {
            _ if self.wanted_microversion_range().is_some() => WantsDiscovery::Yes,
            _ if fixed => WantsDiscovery::No,
            Some(_) => WantsDiscovery::Yes,
            // An override is where the service is, by whichever name it was asked for.
            None if *implied && self.wanted_override().is_none() => WantsDiscovery::IfConfigured,
            None => WantsDiscovery::No,
        }
    }

    /// Returns the range of versions that the endpoint must have.
    pub(crate) fn version_range(&self) -> Result<VersionRange, Error> {
        self.0.range()
    }

    /// Returns which statuses a version of the endpoint may have.
    pub(crate) fn allowed_statuses(&self) -> Allow {
        self.0.versions.allow
    }

    /// Returns whether the version may be at a URL that is not below that of the catalog.
    pub(crate) fn allows_version_hack(&self) -> bool {
        !self.0.versions.no_version_hack && (self.uses_auth_url() || self.wanted_override().is_none())
    }

    /// Refuses a filter that no endpoint can satisfy, such as one for `volumev3` with a minimum of 2.0.
    ///
    /// It was decided when the filter was made: for all others this is a look at a flag.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVersionRange`], [`Error::ImpliedVersionMismatch`] or [`Error::InvalidMicroversion`].
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.asks == Asks::Contradiction { self.0.check() } else { Ok(()) }
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let Parts { service_type, service_name, service_id, region_name, endpoint_id, .. } = &*self.0;
        let texts = [service_type, service_name, service_id, region_name, endpoint_id];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let interfaces =
            self.0.interface.by_preference().iter().map(|name| size_of_val(name) + name.as_str().len());
        let endpoint_override = self.0.endpoint_override.as_ref().map_or(0, Override::weight);
        size_of::<Parts>() + texts.chain(interfaces).sum::<usize>() + endpoint_override
    }

    /// Whether an endpoint override says where requests go.
    #[inline]
    pub(crate) fn is_overridden(&self) -> bool {
        !self.uses_auth_url() && self.wanted_override().is_some()
    }

    /// Whether Keystone at the `auth_url` is meant.
    #[inline]
    pub(crate) fn uses_auth_url(&self) -> bool {
        self.preferred_interface() == Some(&Interface::Auth)
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        change(parts);
        parts.asks = parts.asks();
        self
    }
}

impl Parts {
    fn of_type(service_type: &str) -> Self {
        let mut parts = Self { service_type: said(service_type), ..Self::default() };
        parts.official_type = service_types::official(service_type);
        parts.versions.implied = implied_version(service_type).is_some();
        parts
    }

    /// One name for all the names of a service type.
    fn name(&self) -> Option<&str> {
        self.official_type.or(self.service_type.as_deref())
    }

    /// Whether it says something that counts for its own service only.
    fn says_more(&self) -> bool {
        self.service_name.is_some()
            || self.service_id.is_some()
            || self.endpoint_id.is_some()
            || self.endpoint_override.is_some()
            || self.microversion.is_some()
            || self.versions != Versions { implied: self.versions.implied, ..Versions::default() }
    }

    fn fill_in(&mut self, default: &Self, same_service: bool) {
        fill_in(&mut self.region_name, &default.region_name);
        // Keystone at its `auth_url` is no interface that another service could have.
        let is_auth =
            matches!(&default.interface, WantedInterfaces::Preferred(all) if all.contains(&Interface::Auth));
        if self.interface == WantedInterfaces::Default && (same_service || !is_auth) {
            self.interface.clone_from(&default.interface);
        }
        if !same_service {
            return;
        }
        if self.service_type.is_none() {
            self.service_type.clone_from(&default.service_type);
            self.official_type = default.official_type;
            self.versions.implied = default.versions.implied;
            if let Some(microversion) = &mut self.microversion {
                microversion.set_service_type(self.service_type.as_deref());
            }
        }
        fill_in(&mut self.service_name, &default.service_name);
        fill_in(&mut self.service_id, &default.service_id);
        fill_in(&mut self.endpoint_id, &default.endpoint_id);
        fill_in(&mut self.endpoint_override, &default.endpoint_override);
        fill_in(&mut self.microversion, &default.microversion);
        self.versions.fill_in(&default.versions);
    }
}

impl Versions {
    /// Takes the versions as a whole, since a minimum beside a version would contradict it.
    fn fill_in(&mut self, default: &Self) {
        if self.version.or(self.min).or(self.max).is_none() {
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

fn said(text: impl AsRef<str>) -> Option<Box<str>> {
    Some(text.as_ref()).filter(|text| !text.is_empty()).map(Into::into)
}

/// As a sentence part: `service type compute, interface public, region RegionOne`.
impl fmt::Display for EndpointFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        match &parts.service_type {
            Some(service_type) => write!(f, "service type {}", escaped(service_type))?,
            None => f.write_str("any service type")?,
        }
        match &parts.interface {
            WantedInterfaces::Default => f.write_str(", interface public")?,
            WantedInterfaces::Any => f.write_str(", any interface")?,
            WantedInterfaces::Preferred(preferred) => {
                for (index, interface) in preferred.iter().enumerate() {
                    let before = if index == 0 { ", interface " } else { " or " };
                    write!(f, "{before}{}", escaped(interface.as_str()))?;
                }
            }
        }
        let named = [
            ("region", &parts.region_name),
            ("service name", &parts.service_name),
            ("service id", &parts.service_id),
            ("endpoint id", &parts.endpoint_id),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                write!(f, ", {name} {}", escaped(value))?;
            }
        }
        let Versions { version, min, max, .. } = &parts.versions;
        for (name, version) in [("version", version), ("min_version", min), ("max_version", max)] {
            if let Some(version) = version {
                write!(f, ", {name} {version}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointFilter({self}")?;
        if let Some(microversion) = &self.0.microversion {
            write!(f, ", microversion {microversion}")?;
        }
        if self.0.endpoint_override.is_some() {
            f.write_str(", endpoint override")?;
        }
        f.write_str(")")
    }
}
