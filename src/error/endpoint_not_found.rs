use std::{error::Error as StdError, fmt};

use super::{escaped, truncate};

/// What was asked of the service catalog, and what came close: keystoneauth's `EndpointNotFound`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointNotFound {
    /// The requested endpoint, as text.
    pub requested: String,
    /// The endpoints of the service type that were not taken, 64 at most.
    pub near_misses: Vec<NearMiss>,
    /// The service types that the catalog lists instead, if the one asked for is not among them; 64 at most.
    pub service_types: Vec<Box<str>>,
    /// How many more there are of either.
    left_out: usize,
}

/// An endpoint of the right service type that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearMiss {
    /// The endpoint, in words.
    pub endpoint: String,
    /// Why it is not the one.
    pub reason: String,
}

impl EndpointNotFound {
    pub(crate) fn new(requested: String) -> Self {
        Self { requested, near_misses: Vec::new(), service_types: Vec::new(), left_out: 0 }
    }

    pub(crate) fn add_near_miss(&mut self, endpoint: impl fmt::Display, reason: String) {
        if self.near_misses.len() < KEPT {
            self.near_misses.push(NearMiss { endpoint: endpoint.to_string(), reason });
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn add_service_type(&mut self, service_type: &str) {
        if self.service_types.len() < KEPT {
            self.service_types.push(truncate(service_type).into());
        } else {
            self.left_out += 1;
        }
    }
}

/// How many near misses or types are kept.
const KEPT: usize = 64;

/// How many of them a message names.
const NAMED: usize = 8;

impl fmt::Display for EndpointNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service catalog has no endpoint for {}", self.requested)?;
        for (index, miss) in self.near_misses.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "; near misses: " } else { ", " };
            write!(f, "{before}{} ({})", miss.endpoint, miss.reason)?;
        }
        for (index, listed) in self.service_types.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "; it lists " } else { ", " };
            write!(f, "{before}{}", escaped(listed))?;
        }
        let more = self.left_out + self.near_misses.len().max(self.service_types.len()).saturating_sub(NAMED);
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        Ok(())
    }
}

impl StdError for EndpointNotFound {}
