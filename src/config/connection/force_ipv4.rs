use crate::{config::settings::Settings, error::ConfigError};

/// Returns whether connections use IPv4 only: `force_ipv4`, or `prefer_ipv6: false`.
///
/// `client` has the settings of all clouds: the member `client` of the file, and `OS_FORCE_IPV4` and `OS_PREFER_IPV6`.
pub(crate) fn force_ipv4(settings: &Settings, client: &Settings) -> Result<bool, ConfigError> {
    if settings.boolean("prefer_ipv6")? == Some(false) {
        return Ok(true);
    }
    if let Some(force_ipv4) = settings.boolean("force_ipv4")? {
        return Ok(force_ipv4);
    }
    let force_ipv4 = client.boolean("force_ipv4")?.or(client.boolean("broken_ipv6")?);
    Ok(client.boolean("prefer_ipv6")? == Some(false) || force_ipv4.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::testing::{file, settings};

    #[test]
    fn the_setting_of_the_cloud_takes_precedence() {
        for (cloud, client, expected) in [
            (vec![], vec![], false),
            (vec![], vec![("force_ipv4", "yes")], true),
            (vec![], vec![("prefer_ipv6", "false")], true),
            (vec![], vec![("broken_ipv6", "true")], true),
            (vec![], vec![("prefer_ipv6", "true")], false),
            (vec![("force_ipv4", "true")], vec![], true),
            (vec![("force_ipv4", "false")], vec![("force_ipv4", "true")], false),
            (vec![("prefer_ipv6", "no")], vec![], true),
            (vec![("force_ipv4", "false"), ("prefer_ipv6", "false")], vec![], true),
        ] {
            let read = |members: &[(&'static str, &str)]| {
                settings(members.iter().map(|(name, text)| (*name, file(text))))
            };
            assert_eq!(force_ipv4(&read(&cloud), &read(&client)).unwrap(), expected, "{cloud:?} {client:?}");
        }
        let error = force_ipv4(&settings([("force_ipv4", file("1"))]), &Settings::default()).unwrap_err();
        assert_eq!(error.member.as_deref(), Some("force_ipv4"));
    }
}
