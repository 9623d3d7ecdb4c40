use std::collections::HashMap;

use crate::{Secret, config::options::Options};

/// The variables from which an HTTPS client reads its proxies.
const NAMES: [&str; 9] = [
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// The proxies of an environment that replaces the one of the process.
#[derive(Clone)]
pub(crate) struct ProxyVariables(HashMap<String, Secret>);

impl ProxyVariables {
    /// Reads the variables. `None` if the environment is that of the process, which the HTTPS client reads itself.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let variables = options.environment.as_ref()?.iter().filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| NAMES.contains(name))?;
            Some((name.to_owned(), value.to_string_lossy().into_owned().into()))
        });
        Some(Self(variables.collect()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.expose().to_owned())
    }
}
