//! The service catalog as the token document spells it, v2.0 and v3.

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::tolerant::{self, List, Read, Text, Tolerant};
use crate::Interface;

/// How endpoints are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One object an endpoint, with `interface` and `url`.
    V3,
    /// One object for all interfaces, with `publicURL`, `internalURL` and so on.
    V2,
}

/// A service with all its endpoints.
pub(super) struct RawService {
    pub(super) service_type: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
    pub(super) id: Option<Box<str>>,
    pub(super) endpoints: Vec<RawEndpoint>,
}

pub(super) struct RawEndpoint {
    pub(super) interface: Option<Interface>,
    pub(super) region_name: Option<Box<str>>,
    pub(super) id: Option<Box<str>>,
    pub(super) url: Option<Box<str>>,
}

/// The value of `catalog` or `serviceCatalog`.
#[derive(Default)]
pub(super) struct CatalogDocument(List<ServiceDocument>);

impl<'de> Tolerant<'de> for CatalogDocument {
    fn from_seq<A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        List::from_seq(seq).map(Self)
    }
}

impl CatalogDocument {
    /// The services with their endpoints as v3 has them, one interface each.
    pub(super) fn services(self, form: Form) -> Vec<RawService> {
        let CatalogDocument(List(services)) = self;
        services
            .into_iter()
            .map(|service| RawService {
                service_type: service.service_type.0,
                name: service.name.0,
                id: service.id.0,
                endpoints: match form {
                    Form::V3 => service.endpoints.0.into_iter().map(EndpointDocument::v3).collect(),
                    Form::V2 => service.endpoints.0.into_iter().flat_map(EndpointDocument::v2).collect(),
                },
            })
            .collect()
    }
}

#[derive(Default)]
struct ServiceDocument {
    service_type: Text,
    name: Text,
    id: Text,
    endpoints: List<EndpointDocument>,
}

impl<'de> Tolerant<'de> for ServiceDocument {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut service = Self::default();
        while let Some(Read(member)) = map.next_key()? {
            match member {
                Member::Type => service.service_type = tolerant::value(&mut map)?,
                Member::Name => service.name = tolerant::value(&mut map)?,
                Member::Id => service.id = tolerant::value(&mut map)?,
                Member::Endpoints => service.endpoints = tolerant::value(&mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(service)
    }
}

#[derive(Default)]
struct EndpointDocument {
    id: Text,
    region: Text,
    region_id: Text,
    interface: ReadInterface,
    url: Text,
    /// The members that end in `URL`, in the order of the document.
    urls: Vec<(Interface, Text)>,
}

impl EndpointDocument {
    fn v3(self) -> RawEndpoint {
        RawEndpoint {
            interface: self.interface.0,
            region_name: self.region_id.0.or(self.region.0),
            id: self.id.0,
            url: self.url.0,
        }
    }

    fn v2(self) -> impl Iterator<Item = RawEndpoint> {
        let region_name = self.region_id.0.or(self.region.0);
        let id = self.id.0;
        self.urls.into_iter().map(move |(interface, Text(url))| RawEndpoint {
            interface: Some(interface),
            region_name: region_name.clone(),
            id: id.clone(),
            url,
        })
    }
}

impl<'de> Tolerant<'de> for EndpointDocument {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut endpoint = Self::default();
        while let Some(Read(member)) = map.next_key()? {
            match member {
                Member::Id => endpoint.id = tolerant::value(&mut map)?,
                Member::Region => endpoint.region = tolerant::value(&mut map)?,
                Member::RegionId => endpoint.region_id = tolerant::value(&mut map)?,
                Member::Interface => endpoint.interface = tolerant::value(&mut map)?,
                Member::Url => endpoint.url = tolerant::value(&mut map)?,
                Member::InterfaceUrl(interface) => {
                    let url = tolerant::value(&mut map)?;
                    match endpoint.urls.iter_mut().find(|(seen, _)| *seen == interface) {
                        Some((_, seen)) => *seen = url,
                        None => endpoint.urls.push((interface, url)),
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(endpoint)
    }
}

#[derive(Default)]
struct ReadInterface(Option<Interface>);

impl Tolerant<'_> for ReadInterface {
    fn from_text(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
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

impl Tolerant<'_> for Member {
    fn from_text(text: &str) -> Self {
        match text {
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
