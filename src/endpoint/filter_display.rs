use std::fmt;

use super::{EndpointFilter, wanted_versions::WantedVersions};
use crate::error::escaped;

/// Writes part of a sentence: `service type compute, interface public, region RegionOne`.
impl fmt::Display for EndpointFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        match &parts.service_type {
            Some(service_type) => write!(f, "service type {}", escaped(service_type))?,
            None => f.write_str("any service type")?,
        }
        write!(f, ", {}", parts.interfaces)?;
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
        let WantedVersions { version, min, max, .. } = &parts.versions;
        for (name, version) in [("version", version), ("min_version", min), ("max_version", max)] {
            if let Some(version) = version {
                write!(f, ", {name} {version}")?;
            }
        }
        Ok(())
    }
}

/// Writes the `Display` text, the microversion, and whether there is an endpoint override. The URL of the override may
/// contain a password, so it is redacted.
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
