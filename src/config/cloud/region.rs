//! The regions of a cloud, and the choice of one.

use tracing::warn;

use crate::{
    Secret,
    config::{
        settings::Settings,
        value::{Data, Mapping, Value},
    },
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// A region of a cloud.
#[derive(Clone)]
pub(crate) struct Region {
    pub(crate) name: Secret,
    pub(crate) location: ConfigLocation,
    /// The settings that apply in this region.
    pub(crate) values: Settings,
}

/// Returns the regions that the cloud, or else its profile, names. It is empty if neither names one.
pub(crate) fn regions(cloud: &Settings, profile: Option<&Settings>) -> Result<Vec<Region>, ConfigError> {
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
pub(crate) fn select(
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
        Data::Scalar(_) | Data::Mapping(_) => {
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
        Data::Scalar(text) => (text.clone(), Mapping::default()),
        Data::Mapping(members) => {
            if members.iter().any(|(name, _)| !matches!(name, "name" | "values")) {
                return Err(invalid());
            }
            let Some(Value { data: Data::Scalar(text), .. }) = members.get("name") else {
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
        Data::Scalar(text) if text.expose().is_empty() => Vec::new(),
        Data::Scalar(text) => text
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::yaml;

    fn settings(text: &str) -> Settings {
        let value = yaml::read(text.as_bytes(), &std::path::Path::new("f.yaml").into()).unwrap();
        Settings::from_mapping(value.into_mapping().unwrap()).unwrap()
    }

    fn names(cloud: &str, profile: Option<&str>) -> Result<Vec<String>, String> {
        let regions = regions(&settings(cloud), profile.map(settings).as_ref());
        let name = |region: Region| region.name.expose().to_owned();
        regions.map(|regions| regions.into_iter().map(name).collect()).map_err(|error| error.to_string())
    }

    fn requested(name: &str) -> Option<Value> {
        let data = Data::Scalar(Secret::new(name));
        Some(Value { data, location: ConfigLocation::Argument("region_name".into()) })
    }

    #[test]
    fn the_cloud_comes_before_its_profile() {
        let profile = Some("regions: [P1, P2]");
        for (cloud, expected) in [
            ("regions: [R1, {name: R2}]", vec!["R1", "R2"]),
            ("{regions: [R1], region_name: R2}", vec!["R1"]),
            ("region_name: R1", vec!["R1"]),
            ("region_name: ' R1,R2'", vec![" R1", "R2"]),
            ("region_name: [R1, R2]", vec!["R1", "R2"]),
            ("{regions: null, region_name: R1}", vec!["R1"]),
            ("{regions: [], interface: x}", vec!["P1", "P2"]),
            ("region_name: ''", vec!["P1", "P2"]),
            ("{}", vec!["P1", "P2"]),
        ] {
            assert_eq!(names(cloud, profile).unwrap(), expected, "{cloud}");
        }
        assert_eq!(names("{}", None).unwrap(), [""; 0]);
    }

    #[test]
    fn malformed_regions_are_errors_without_values() {
        let entry = "the name of a region, or a mapping with the members name and values only";
        for (cloud, expected) in [
            ("regions: canary", "f.yaml:1:1: regions: expected a list of regions".to_owned()),
            ("regions: {canary: x}", "f.yaml:1:1: regions: expected a list of regions".to_owned()),
            ("regions: [[canary]]", format!("f.yaml:1:11: regions: expected {entry}")),
            ("regions: [{name: R, value: canary}]", format!("f.yaml:1:11: regions: expected {entry}")),
            ("regions: [{values: {}}]", format!("f.yaml:1:11: regions: expected {entry}")),
            (
                "regions: [{name: R, values: canary}]",
                "f.yaml:1:21: regions.values: expected a mapping; indent its members below it".to_owned(),
            ),
            ("region_name: [[canary]]", format!("f.yaml:1:15: region_name: expected {entry}")),
            ("region_name: {a: canary}", "f.yaml:1:1: region_name: expected the name of a region".to_owned()),
        ] {
            assert_eq!(names(cloud, None).unwrap_err(), expected, "{cloud}");
        }
    }

    #[test]
    fn a_requested_region_must_be_one_of_the_cloud() {
        let regions = regions(&settings("regions: [R1, R2]"), None).unwrap();
        let selected = |requested| select(regions.clone(), requested, Some("one"));
        assert_eq!(selected(None).unwrap().unwrap().name.expose(), "R1");
        assert_eq!(selected(requested("")).unwrap().unwrap().name.expose(), "R1");
        assert_eq!(selected(requested("R2")).unwrap().unwrap().name.expose(), "R2");
        assert_eq!(
            selected(requested("r1")).err().unwrap().to_string(),
            "the argument region_name: the cloud \"one\" has no region \"r1\"; its regions are R1, R2"
        );
    }

    #[test]
    fn any_region_can_be_requested_if_the_cloud_names_none() {
        assert!(select(Vec::new(), None, None).unwrap().is_none());
        assert_eq!(select(Vec::new(), requested("R"), None).unwrap().unwrap().name.expose(), "R");
    }

    #[test]
    fn values_of_a_region_that_are_null_do_not_count() {
        let cloud =
            settings("regions: [{name: R, values: {interface: null, verify: no, auth: {user-id: u}}}]");
        let values = regions(&cloud, None).unwrap().swap_remove(0).values;
        assert_eq!(values.top.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["verify"]);
        assert_eq!(values.auth.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["user_id"]);
    }
}
