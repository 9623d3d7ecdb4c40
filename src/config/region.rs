//! The regions of a cloud, and the choice of one.

use tracing::warn;

use super::{
    settings::Settings,
    value::{Data, Mapping, Value},
};
use crate::{
    Secret,
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// A region of a cloud.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) name: Secret,
    pub(super) location: ConfigLocation,
    /// The settings that apply in this region.
    pub(super) values: Settings,
}

/// Returns the regions that the cloud, or else its profile, names. It is empty if neither names one.
pub(super) fn regions(cloud: &Settings, profile: Option<&Settings>) -> Result<Vec<Region>, ConfigError> {
    for settings in std::iter::once(cloud).chain(profile) {
        let regions = match (settings.top.get("regions"), settings.top.get("region_name")) {
            (Some(Value { data: Data::Null, .. }) | None, Some(name)) => split_names(name),
            (Some(regions), _) => list(regions).map_err(|error| error.member("regions")),
            (None, None) => continue,
        }?;
        if !regions.is_empty() {
            return Ok(regions);
        }
    }
    Ok(Vec::new())
}

/// Returns the requested region, or the first one if none is requested.
///
/// If the cloud names no region, any can be requested.
pub(super) fn select(
    mut regions: Vec<Region>,
    requested: Option<Value>,
    cloud: Option<&str>,
) -> Result<Option<Region>, ConfigError> {
    let requested = requested.map(|requested| requested.text()).transpose()?.flatten();
    let Some(requested) = requested else {
        return Ok((!regions.is_empty()).then(|| regions.swap_remove(0)));
    };
    let (name, location) = (requested.text, requested.location);
    if regions.is_empty() {
        return Ok(Some(Region { name, location, values: Settings::default() }));
    }
    match regions.iter().position(|region| region.name == name) {
        Some(index) => Ok(Some(regions.swap_remove(index))),
        None => Err(ConfigError::new(ConfigErrorKind::RegionNotFound {
            region: name.expose().into(),
            cloud: cloud.unwrap_or_default().into(),
            known: regions.iter().map(|region| region.name.expose().to_owned()).collect(),
        })
        .at(&location)),
    }
}

/// Reads `regions`: a list of names, or of mappings with a name and values.
fn list(regions: &Value) -> Result<Vec<Region>, ConfigError> {
    match &regions.data {
        Data::Sequence(regions) => regions.iter().map(entry).collect(),
        Data::Null => Ok(Vec::new()),
        Data::Scalar { .. } | Data::Mapping(_) => {
            Err(ConfigError::invalid_value("a list of regions").at(&regions.location))
        }
    }
}

fn entry(region: &Value) -> Result<Region, ConfigError> {
    let invalid = || {
        let expected = "the name of a region, or a mapping with the members name and values only";
        ConfigError::invalid_value(expected).at(&region.location)
    };
    let (name, values) = match &region.data {
        Data::Scalar { text, .. } => (text.clone(), Mapping::default()),
        Data::Mapping(members) => {
            if members.iter().any(|(name, _)| !matches!(name, "name" | "values")) {
                return Err(invalid());
            }
            let Some(Value { data: Data::Scalar { text, .. }, .. }) = members.get("name") else {
                return Err(invalid());
            };
            let values = members.get("values").cloned().map(Value::into_mapping).transpose();
            (text.clone(), values.map_err(|error| error.member("regions.values"))?.unwrap_or_default())
        }
        Data::Null | Data::Sequence(_) => return Err(invalid()),
    };
    let values = Settings::from_mapping(values)?.without_null();
    Ok(Region { name, location: region.location.clone(), values })
}

/// Reads `region_name`: a name, or the deprecated list of names, in one text with commas or in YAML.
fn split_names(names: &Value) -> Result<Vec<Region>, ConfigError> {
    let regions = match &names.data {
        Data::Null => Vec::new(),
        Data::Sequence(_) => list(names).map_err(|error| error.member("region_name"))?,
        Data::Scalar { text, .. } if text.expose().is_empty() => Vec::new(),
        Data::Scalar { text, .. } => text
            .expose()
            .split(',')
            .map(|name| Region {
                name: Secret::new(name),
                location: names.location.clone(),
                values: Settings::default(),
            })
            .collect(),
        Data::Mapping(_) => {
            let error = ConfigError::invalid_value("the name of a region").at(&names.location);
            return Err(error.member("region_name"));
        }
    };
    if regions.len() > 1 {
        warn!(location = %names.location, "a list in `region_name` is deprecated; use `regions`");
    }
    Ok(regions)
}
