use crate::{
    Interface,
    config::{
        settings::Settings,
        value::{Data, Value},
    },
    error::ConfigError,
};

/// Returns the interfaces of endpoints, in order of preference: `public` if none is configured.
///
/// `endpoint_type` is the old name of `interface`. It takes precedence, as in openstacksdk.
pub(crate) fn interfaces(settings: &Settings) -> Result<Vec<Interface>, ConfigError> {
    let configured = configured_interfaces(settings, &["endpoint_type", "interface"])?;
    Ok(configured.unwrap_or_else(|| vec![Interface::Public]))
}

/// Returns the interfaces of the first of these settings that is set.
pub(crate) fn configured_interfaces(
    settings: &Settings,
    names: &[impl AsRef<str>],
) -> Result<Option<Vec<Interface>>, ConfigError> {
    let Some((name, value)) = settings.first(names) else { return Ok(None) };
    let interfaces = read_interfaces(value).map_err(|error| error.member(name))?;
    Ok(Some(interfaces).filter(|interfaces| !interfaces.is_empty()))
}

fn read_interfaces(value: &Value) -> Result<Vec<Interface>, ConfigError> {
    let values = match &value.data {
        Data::Sequence(values) => values.as_slice(),
        Data::Mapping(_) => {
            return Err(ConfigError::invalid_value("an interface or a list of them").at(&value.location));
        }
        Data::Null | Data::Scalar(_) => std::slice::from_ref(value),
    };
    let names = values.iter().filter_map(|value| value.text().transpose());
    names.map(|name| Ok(Interface::from(name?.text.expose()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::testing::{argument, file, list, null, settings};

    fn names(settings: &Settings) -> Vec<String> {
        interfaces(settings).unwrap().iter().map(|interface| interface.as_str().to_owned()).collect()
    }

    #[test]
    fn the_default_is_public() {
        for members in [vec![], vec![("interface", null())], vec![("interface", file(""))]] {
            assert_eq!(names(&settings(members)), ["public"]);
        }
        let empty = [("interface", list([])), ("endpoint_type", list([null(), file("")]))];
        assert_eq!(names(&settings(empty)), ["public"]);
    }

    #[test]
    fn a_list_is_in_order_of_preference() {
        let preferred = [("interface", list([file("internalURL"), null(), file("public")]))];
        assert_eq!(names(&settings(preferred)), ["internal", "public"]);
    }

    #[test]
    fn the_old_name_takes_precedence_but_not_over_an_argument() {
        let both = [("interface", file("internal")), ("endpoint_type", file("adminURL"))];
        assert_eq!(names(&settings(both)), ["admin"]);
        let with_argument = [("interface", argument("internal")), ("endpoint_type", file("adminURL"))];
        assert_eq!(names(&settings(with_argument)), ["internal"]);
    }

    #[test]
    fn a_number_is_a_name_and_a_mapping_is_an_error() {
        assert_eq!(names(&settings([("interface", file("1"))])), ["1"]);
        let nested = [("interface", list([list([file("secret")])]))];
        let error = interfaces(&settings(nested)).unwrap_err();
        assert_eq!(error.member.as_deref(), Some("interface"));
        assert!(error.location.is_some() && !error.to_string().contains("secret"), "{error}");

        let mapping = Value { data: Data::Mapping(Default::default()), ..null() };
        let error = interfaces(&settings([("interface", mapping)])).unwrap_err();
        assert_eq!(error.to_string(), "/clouds.yaml:3:5: interface: expected an interface or a list of them");
    }
}
