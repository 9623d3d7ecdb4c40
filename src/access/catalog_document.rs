//! The service catalog as the token document spells it, v2.0 and v3.

use std::{borrow::Cow, collections::HashMap};

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::{
    ServiceCatalog,
    catalog_entry::{RawEndpoint, RawService},
    lenient::{self, Lenient, List, Read, Text},
};
use crate::Interface;

/// The value of `catalog`: one object an endpoint, with `interface` and `url`.
#[derive(Default)]
pub(super) struct V3Catalog(pub(super) ServiceCatalog);

/// The value of `serviceCatalog`: one object for all interfaces, with `publicURL`, `internalURL` and so on.
#[derive(Default)]
pub(super) struct V2Catalog(pub(super) ServiceCatalog);

impl<'de> Lenient<'de> for V3Catalog {
    fn from_seq<A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        read::<false, A>(seq).map(Self)
    }
}

impl<'de> Lenient<'de> for V2Catalog {
    fn from_seq<A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        read::<true, A>(seq).map(Self)
    }
}

/// How many members there are in a v2.0 catalog that can be URLs of endpoints.
#[derive(Default)]
pub(super) struct Urls(pub(super) usize);

impl<'de> Lenient<'de> for Urls {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut urls = 0;
        while let Some(Read(Self(more))) = seq.next_element()? {
            urls += more;
        }
        Ok(Self(urls))
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut urls = 0;
        while let Some(Read(member)) = map.next_key()? {
            let Self(more) = lenient::value(&mut map)?;
            urls += more + usize::from(matches!(member, Member::InterfaceUrl(_)));
        }
        Ok(Self(urls))
    }
}

/// Enters each service as it is read, so that no more than one is held in the form of the document.
fn read<'de, const V2: bool, A: SeqAccess<'de>>(mut seq: A) -> Result<ServiceCatalog, A::Error> {
    let mut catalog = ServiceCatalog::default();
    let mut texts = String::new();
    while let Some(Read(service)) = seq.next_element()? {
        let ServiceDocument::<V2> { service_type, name, id, endpoints } = service;
        let List(endpoints) = endpoints;
        let service = RawService { service_type: service_type.get(), name: name.get(), id: id.get() };
        if V2 {
            catalog.reserve(endpoints.iter().map(|endpoint| endpoint.urls.len()).sum());
            catalog.add(service, endpoints.iter().flat_map(EndpointDocument::v2), &mut texts);
        } else {
            catalog.add(service, endpoints.iter().map(EndpointDocument::v3), &mut texts);
        }
    }
    Ok(catalog.complete())
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
        while let Some(Read(member)) = map.next_key()? {
            match member {
                Member::Type => service.service_type = lenient::value(&mut map)?,
                Member::Name => service.name = lenient::value(&mut map)?,
                Member::Id => service.id = lenient::value(&mut map)?,
                Member::Endpoints => service.endpoints = lenient::value(&mut map)?,
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
    interface: ReadInterface,
    url: Text<'de>,
    /// The members that end in `URL`, each with its place in the document; none in v3, which has no such members.
    urls: HashMap<Interface, (usize, Text<'de>)>,
}

impl<const V2: bool> EndpointDocument<'_, V2> {
    fn region_name(&self) -> Option<&str> {
        self.region_id.get().or(self.region.get())
    }

    fn v3(&self) -> RawEndpoint<'_> {
        RawEndpoint {
            interface: self.interface.0.as_ref(),
            region_name: self.region_name(),
            id: self.id.get(),
            url: self.url.get(),
        }
    }

    fn v2(&self) -> impl Iterator<Item = RawEndpoint<'_>> {
        let mut urls: Vec<_> = self.urls.iter().collect();
        urls.sort_unstable_by_key(|(_, (place, _))| *place);
        urls.into_iter().map(|(interface, (_, url))| RawEndpoint {
            interface: Some(interface),
            region_name: self.region_name(),
            id: self.id.get(),
            url: url.get(),
        })
    }
}

impl<'de, const V2: bool> Lenient<'de> for EndpointDocument<'de, V2> {
    fn is_nothing(&self) -> bool {
        self.url.get().is_none() && self.urls.is_empty()
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut endpoint = Self::default();
        while let Some(Read(member)) = map.next_key()? {
            match member {
                Member::Id => endpoint.id = lenient::value(&mut map)?,
                Member::Region => endpoint.region = lenient::value(&mut map)?,
                Member::RegionId => endpoint.region_id = lenient::value(&mut map)?,
                Member::Interface => endpoint.interface = lenient::value(&mut map)?,
                Member::Url => endpoint.url = lenient::value(&mut map)?,
                Member::InterfaceUrl(interface) if V2 => {
                    let url = lenient::value(&mut map)?;
                    let place = endpoint.urls.len();
                    endpoint.urls.entry(interface).or_insert((place, Text::default())).1 = url;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(endpoint)
    }
}

#[derive(Default)]
struct ReadInterface(Option<Interface>);

impl<'de> Lenient<'de> for ReadInterface {
    fn from_text(text: Cow<'de, str>) -> Self {
        Self((!text.is_empty()).then(|| (&*text).into()))
    }
}

/// The name of a member of a service or an endpoint.
#[derive(Default)]
enum Member {
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

impl<'de> Lenient<'de> for Member {
    fn from_text(text: Cow<'de, str>) -> Self {
        match &*text {
            "type" => Member::Type,
            "name" => Member::Name,
            "id" => Member::Id,
            "endpoints" => Member::Endpoints,
            "region" => Member::Region,
            "region_id" => Member::RegionId,
            "interface" => Member::Interface,
            "url" => Member::Url,
            other if other.ends_with("URL") => Member::InterfaceUrl(other.into()),
            _ => Member::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_endpoint_takes_no_room() {
        let list = r#"[0, {}, {"interface": "public"}, {"url": ""}, {"url": "u"}, {"publicURL": ""}]"#;
        let Read(List(endpoints)) =
            serde_json::from_str::<Read<List<EndpointDocument<'_, true>>>>(list).unwrap();
        assert_eq!(endpoints.len(), 2);
    }
}
