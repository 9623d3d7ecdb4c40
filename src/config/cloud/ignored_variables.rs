//! Logs variables that have no effect, because the cloud comes from a file.

use tracing::{debug, warn};

use super::{
    clouds::{Cloud, Clouds},
    misspelt::is_known,
};
use crate::error::{Names, escaped};

/// Variables that apply to all clouds.
const COMMON: [&str; 2] = ["force_ipv4", "prefer_ipv6"];

/// Logs which variables are ignored.
///
/// If the program selected the cloud, this is intended. Then it is logged at the debug level only.
pub(crate) fn log(clouds: &Clouds, cloud: &Cloud) {
    let (Some(name), false) = (&cloud.name, cloud.is_environment) else { return };
    let is_ignored = |setting: &str| is_known(setting) && !COMMON.contains(&setting);
    let variables = clouds.environment.cloud_variables();
    let mut ignored: Vec<_> =
        variables.filter(|(_, setting)| is_ignored(setting)).map(|(variable, _)| variable).collect();
    if ignored.is_empty() {
        return;
    }
    ignored.sort_unstable();
    let (name, ignored) = (escaped(name), Names(&ignored));
    if cloud.is_requested {
        debug!("the cloud \"{name}\" is one of a file, so these variables are ignored: {ignored}");
    } else {
        warn!(
            "the cloud \"{name}\" is one of a file, so these variables are ignored: {ignored}; set them in the file, \
             or unset them"
        );
    }
}
