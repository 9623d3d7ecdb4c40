use std::{error::Error as StdError, fmt};

use super::{escaped, truncate};

/// The service catalog does not contain the requested endpoint: keystoneauth's `EndpointNotFound`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointNotFound {
    /// The requested endpoint, as text.
    pub requested: String,
    /// The endpoints of the same service type that do not match, 64 at most.
    pub near_misses: Vec<NearMiss>,
    /// The service types of the catalog, 64 at most. Empty if the requested one is among them.
    pub service_types: Vec<Box<str>>,
    /// Properties that no endpoint of the service type has as requested.
    absent: Vec<Absent>,
    /// Number of near misses or service types above that limit.
    omitted: usize,
}

/// A property that no endpoint of the service type has as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Absent {
    /// The name of the property, such as `interface`.
    name: &'static str,
    /// The values that there are, each once, 64 at most.
    known: Vec<Box<str>>,
}

/// An endpoint of the requested service type that does not match the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearMiss {
    /// The endpoint, as text.
    pub endpoint: String,
    /// Why it does not match.
    pub reason: String,
}

impl EndpointNotFound {
    pub(crate) fn new(requested: String) -> Self {
        Self { requested, near_misses: Vec::new(), service_types: Vec::new(), absent: Vec::new(), omitted: 0 }
    }

    pub(crate) fn add_near_miss(&mut self, endpoint: impl fmt::Display, reason: String) {
        if self.near_misses.len() < MAX_LISTED {
            self.near_misses.push(NearMiss { endpoint: endpoint.to_string(), reason });
        } else {
            self.omitted += 1;
        }
    }

    /// Adds a property that no endpoint of the service type has as requested, with the values that there are. Without any
    /// value, nothing is added.
    pub(crate) fn add_absent<'a>(&mut self, name: &'static str, values: impl Iterator<Item = &'a str>) {
        let mut known: Vec<Box<str>> = Vec::new();
        for value in values.map(truncate) {
            if known.len() < MAX_LISTED && known.iter().all(|known| **known != *value) {
                known.push(value.into());
            }
        }
        if !known.is_empty() {
            self.absent.push(Absent { name, known });
        }
    }

    pub(crate) fn add_service_type(&mut self, service_type: &str) {
        if self.service_types.len() < MAX_LISTED {
            self.service_types.push(truncate(service_type).into());
        } else {
            self.omitted += 1;
        }
    }
}

/// Maximum number of near misses and of service types in the error.
const MAX_LISTED: usize = 64;

/// Maximum number of near misses and of service types in a message.
const MAX_SHOWN: usize = 8;

impl fmt::Display for EndpointNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service catalog has no endpoint for {}", self.requested)?;
        for Absent { name, known } in &self.absent {
            let shown: Vec<_> = known.iter().take(MAX_SHOWN).map(|value| escaped(value)).collect();
            write!(f, "; its endpoints have the {name} {}", shown.join(" or "))?;
            match known.len().saturating_sub(MAX_SHOWN) {
                0 => {}
                more => write!(f, " or one of {more} more")?,
            }
            write!(f, ": check the requested {name}")?;
        }
        if !self.absent.is_empty() {
            return Ok(());
        }
        for (index, miss) in self.near_misses.iter().take(MAX_SHOWN).enumerate() {
            let separator = if index == 0 { "; near misses: " } else { ", " };
            write!(f, "{separator}{} ({})", miss.endpoint, miss.reason)?;
        }
        for (index, service_type) in self.service_types.iter().take(MAX_SHOWN).enumerate() {
            let separator = if index == 0 { "; the catalog lists " } else { ", " };
            write!(f, "{separator}{}", escaped(service_type))?;
        }
        let more =
            self.omitted + self.near_misses.len().max(self.service_types.len()).saturating_sub(MAX_SHOWN);
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        f.write_str("; request an endpoint of the catalog, or a token with another scope")
    }
}

impl StdError for EndpointNotFound {}
