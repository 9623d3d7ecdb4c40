//! Deserializes the service catalog of a v3 or v2.0 token document.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    IdentityVersion,
    catalog_entry::{RawEndpoint, RawService},
    catalog_index::{CatalogBuilder, CatalogIndex},
    lenient::{self, Lenient, List, OrDefault, Text},
    memory_limits::{MEMORY_PER_BYTE, MIN_CATALOG_BUDGET, UNREADABLE_VALUE, count_objects},
};
use crate::Interface;

/// Maximum memory of one URL of a v2.0 endpoint, in bytes. The endpoint without its URLs also takes at most this much.
const URL_COST: usize = 300;

/// Reads the JSON text of a catalog. A text that is not a list is an empty catalog.
///
/// In v3, each endpoint is an object with an `interface` and a `url`. In v2.0, one object has the endpoints of all
/// interfaces: `publicURL`, `internalURL` and so on.
///
/// # Errors
///
/// The reason why the document is rejected.
pub(super) fn read(version: IdentityVersion, json: &str) -> Result<CatalogIndex, &'static str> {
    let mut catalog = CatalogBuilder::new(json);
    if json.starts_with('[') {
        let mut reader = serde_json::Deserializer::from_str(json);
        let read = match version {
            IdentityVersion::V3 => reader.deserialize_seq(CatalogVisitor::<false>(&mut catalog)),
            IdentityVersion::V2 => {
                check_url_count(json)?;
                reader.deserialize_seq(CatalogVisitor::<true>(&mut catalog))
            }
        };
        read.map_err(|_| UNREADABLE_VALUE)?;
    }
    Ok(catalog.build())
}

/// Counts the URLs of a v2.0 catalog before it is read, because an endpoint can have any number of them.
fn check_url_count(json: &str) -> Result<(), &'static str> {
    let OrDefault(UrlCount(urls)) = serde_json::from_str(json).map_err(|_| UNREADABLE_VALUE)?;
    let entries = count_objects(json);
    if entries.saturating_add(urls).saturating_mul(URL_COST)
        > MIN_CATALOG_BUDGET.max(MEMORY_PER_BYTE * json.len())
    {
        return Err("its catalog has too many URLs for its length, which would take too much memory");
    }
    Ok(())
}

/// The number of members of a v2.0 catalog whose names end in `URL`.
#[derive(Default)]
struct UrlCount(usize);

impl<'de> Lenient<'de> for UrlCount {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut urls = 0;
        while let Some(OrDefault(Self(more))) = seq.next_element()? {
            urls += more;
        }
        Ok(Self(urls))
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut urls = 0;
        while let Some(OrDefault(member)) = map.next_key()? {
            let Self(more) = lenient::next_value(&mut map)?;
            urls += more + usize::from(matches!(member, MemberName::InterfaceUrl(_)));
        }
        Ok(Self(urls))
    }
}

/// Adds each service as soon as it is read, and frees its [`ServiceDocument`] before the next one is read.
struct CatalogVisitor<'b, 'de, const V2: bool>(&'b mut CatalogBuilder<'de>);

impl<'de, const V2: bool> Visitor<'de> for CatalogVisitor<'_, 'de, V2> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let CatalogVisitor(catalog) = self;
        while let Some(OrDefault(service)) = seq.next_element()? {
            let ServiceDocument::<V2> { service_type, name, id, endpoints } = service;
            let List(endpoints) = endpoints;
            let service = RawService { service_type: service_type.get(), name: name.get(), id: id.get() };
            if V2 {
                catalog.reserve(endpoints.iter().map(|endpoint| endpoint.urls.len()).sum());
                catalog.add_service(service, endpoints.iter().flat_map(EndpointDocument::v2_endpoints));
            } else {
                catalog.add_service(service, endpoints.iter().map(EndpointDocument::v3_endpoint));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct ServiceDocument<'de, const V2: bool> {
    service_type: Text<'de>,
    name: Text<'de>,
    id: Text<'de>,
    endpoints: List<EndpointDocument<'de, V2>>,
}

impl<'de, const V2: bool> Lenient<'de> for ServiceDocument<'de, V2> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut service = Self::default();
        while let Some(OrDefault(member)) = map.next_key()? {
            match member {
                MemberName::Type => service.service_type = lenient::next_value(&mut map)?,
                MemberName::Name => service.name = lenient::next_value(&mut map)?,
                MemberName::Id => service.id = lenient::next_value(&mut map)?,
                MemberName::Endpoints => service.endpoints = lenient::next_value(&mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(service)
    }
}

#[derive(Default)]
struct EndpointDocument<'de, const V2: bool> {
    id: Text<'de>,
    region: Text<'de>,
    region_id: Text<'de>,
    interface: LenientInterface,
    url: Text<'de>,
    /// The members whose names end in `URL`, each with its position in the document. Empty in v3.
    urls: HashMap<Interface, (usize, Text<'de>)>,
}

impl<const V2: bool> EndpointDocument<'_, V2> {
    fn region_name(&self) -> Option<&str> {
        self.region_id.get().or(self.region.get())
    }

    fn v3_endpoint(&self) -> RawEndpoint<'_> {
        RawEndpoint {
            interface: self.interface.0.as_ref(),
            region_name: self.region_name(),
            id: self.id.get(),
            url: self.url.get(),
        }
    }

    fn v2_endpoints(&self) -> impl Iterator<Item = RawEndpoint<'_>> {
        let mut urls: Vec<_> = self.urls.iter().collect();
        urls.sort_unstable_by_key(|(_, (position, _))| *position);
        urls.into_iter().map(|(interface, (_, url))| RawEndpoint {
            interface: Some(interface),
            region_name: self.region_name(),
            id: self.id.get(),
            url: url.get(),
        })
    }
}

impl<'de, const V2: bool> Lenient<'de> for EndpointDocument<'de, V2> {
    fn is_empty(&self) -> bool {
        self.url.get().is_none() && self.urls.is_empty()
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut endpoint = Self::default();
        while let Some(OrDefault(member)) = map.next_key()? {
            match member {
                MemberName::Id => endpoint.id = lenient::next_value(&mut map)?,
                MemberName::Region => endpoint.region = lenient::next_value(&mut map)?,
                MemberName::RegionId => endpoint.region_id = lenient::next_value(&mut map)?,
                MemberName::Interface => endpoint.interface = lenient::next_value(&mut map)?,
                MemberName::Url => endpoint.url = lenient::next_value(&mut map)?,
                MemberName::InterfaceUrl(interface) if V2 => {
                    let url = lenient::next_value(&mut map)?;
                    let position = endpoint.urls.len();
                    endpoint.urls.entry(interface).or_insert((position, Text::default())).1 = url;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(endpoint)
    }
}

#[derive(Default)]
struct LenientInterface(Option<Interface>);

impl<'de> Lenient<'de> for LenientInterface {
    fn from_text(text: Cow<'de, str>) -> Self {
        Self((!text.is_empty()).then(|| (&*text).into()))
    }
}

/// The name of a member of a service or an endpoint.
#[derive(Default)]
enum MemberName {
    Type,
    Name,
    Id,
    Endpoints,
    Region,
    RegionId,
    Interface,
    Url,
    InterfaceUrl(Interface),
    #[default]
    Unknown,
}

impl<'de> Lenient<'de> for MemberName {
    fn from_text(text: Cow<'de, str>) -> Self {
        match &*text {
            "type" => MemberName::Type,
            "name" => MemberName::Name,
            "id" => MemberName::Id,
            "endpoints" => MemberName::Endpoints,
            "region" => MemberName::Region,
            "region_id" => MemberName::RegionId,
            "interface" => MemberName::Interface,
            "url" => MemberName::Url,
            other if other.ends_with("URL") => MemberName::InterfaceUrl(other.into()),
            _ => MemberName::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_a_url_are_left_out() {
        let list = r#"[0, {}, {"interface": "public"}, {"url": ""}, {"url": "u"}, {"publicURL": ""}]"#;
        let OrDefault(List(endpoints)) =
            serde_json::from_str::<OrDefault<List<EndpointDocument<'_, true>>>>(list).unwrap();
        assert_eq!(endpoints.len(), 2);
    }
}
