use std::time::Duration;

use crate::{
    config::{
        settings::{Settings, Text},
        value::Value,
    },
    error::ConfigError,
};

/// Returns the timeout of a request (`api_timeout`), which is in seconds.
///
/// Its old names end with `_timeout`, such as `http_timeout` and `compute_timeout`. As in openstacksdk, they take
/// precedence, and the last one is used. A plain `timeout` is ignored.
pub(crate) fn api_timeout(settings: &Settings) -> Result<Option<Duration>, ConfigError> {
    let names = names(settings);
    let Some((name, value)) = settings.first(&names) else { return Ok(None) };
    seconds(value).map_err(|error| error.member(name))
}

/// Adds to an error which setting is the timeout of a request, and where it was written.
#[cfg(feature = "rustls")]
pub(crate) fn at_api_timeout(error: ConfigError, settings: &Settings) -> ConfigError {
    match settings.first(&names(settings)) {
        Some((name, value)) => error.at(&value.location).member(name),
        None => error.member("api_timeout"),
    }
}

/// Returns the names of the timeout in the order of precedence.
fn names(settings: &Settings) -> Vec<&str> {
    let is_old_name = |name: &str| name.ends_with("timeout") && !matches!(name, "timeout" | "api_timeout");
    let mut names: Vec<_> =
        settings.top.iter().map(|(name, _)| name).filter(|name| is_old_name(name)).collect();
    names.reverse();
    names.push("api_timeout");
    names
}

/// Reads a number of seconds, which may have a fraction.
pub(crate) fn seconds(value: &Value) -> Result<Option<Duration>, ConfigError> {
    let Some(Text { text, location }) = value.text()? else { return Ok(None) };
    let duration =
        text.expose().trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let invalid = || ConfigError::invalid_value("a number of seconds, such as 30 or 2.5").at(&location);
    Ok(Some(duration.ok_or_else(invalid)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::testing::{argument, file, list, null, settings};

    #[test]
    fn seconds_may_be_a_number_or_a_text_with_a_fraction() {
        for (text, expected) in [("30", 30.0), ("2.5", 2.5), ("0", 0.0), ("1e3", 1000.0), (" 7 ", 7.0)] {
            let found = api_timeout(&settings([("api_timeout", file(text))])).unwrap();
            assert_eq!(found, Some(Duration::from_secs_f64(expected)), "{text}");
        }
        for unset in [
            vec![],
            vec![("api_timeout", null())],
            vec![("api_timeout", file(""))],
            vec![("timeout", file("5"))],
        ] {
            assert_eq!(api_timeout(&settings(unset)).unwrap(), None);
        }
    }

    #[test]
    fn anything_else_is_an_error_without_the_value() {
        for text in ["soon", "-1", "-0.5", "nan", "inf", "1e300", "99999999999999999999999", "30s", "true"] {
            let error = api_timeout(&settings([("api_timeout", file(text))])).unwrap_err();
            assert_eq!(error.member.as_deref(), Some("api_timeout"), "{text}");
            assert!(error.location.is_some(), "{text}");
            let shown = error.to_string();
            assert!(shown.ends_with("expected a number of seconds, such as 30 or 2.5"), "{shown}");
        }
        assert!(api_timeout(&settings([("api_timeout", list([file("1")]))])).is_err());
    }

    #[test]
    fn the_last_old_name_takes_precedence_but_not_over_an_argument() {
        let seconds =
            |members: Vec<_>| api_timeout(&settings(members)).unwrap().map(|timeout| timeout.as_secs());
        let both =
            vec![("http_timeout", file("4")), ("compute_timeout", file("8")), ("api_timeout", file("2"))];
        assert_eq!(seconds(both), Some(8));
        let null_is_unset = vec![("http_timeout", file("4")), ("compute_timeout", null())];
        assert_eq!(seconds(null_is_unset), Some(4));
        let with_argument = vec![("http_timeout", file("4")), ("api_timeout", argument("2"))];
        assert_eq!(seconds(with_argument), Some(2));
    }
}
