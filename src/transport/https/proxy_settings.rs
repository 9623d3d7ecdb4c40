use std::{env, sync::Arc};

use super::proxies::{Proxies, ProxyUrl};
use crate::{Error, Secret};

/// Which proxies a client uses, before their URLs are read.
#[derive(Clone, Debug, Default)]
pub(super) struct ProxySettings {
    pub(super) choice: ProxyChoice,
    /// Replaces `NO_PROXY`.
    pub(super) no_proxy: Option<Box<str>>,
    /// The variables of the environment. `None` stands for those of the process, when the client is built.
    pub(super) environment: Option<ProxyEnvironment>,
}

/// Where the URL of the proxy comes from.
#[derive(Clone, Debug, Default)]
pub(super) enum ProxyChoice {
    /// The variables of the environment.
    #[default]
    Environment,
    /// This URL, for all requests.
    Url(Secret),
    /// No proxy is used.
    Direct,
}

impl ProxySettings {
    pub(super) fn build(&self) -> Result<Proxies, Error> {
        if matches!(self.choice, ProxyChoice::Direct) {
            return Ok(Proxies::none());
        }
        let process;
        let environment = match &self.environment {
            Some(environment) => environment,
            None => {
                process =
                    ProxyEnvironment::read(|name| Some(env::var_os(name)?.to_string_lossy().into_owned()));
                &process
            }
        };
        let no_proxy = self.no_proxy.as_deref().or(environment.no_proxy.as_deref()).unwrap_or_default();
        match &self.choice {
            ProxyChoice::Direct => Ok(Proxies::none()),
            ProxyChoice::Environment => {
                Proxies::new(environment.http.as_ref(), environment.https.as_ref(), no_proxy)
            }
            ProxyChoice::Url(url) => {
                let proxy = ProxyUrl { variable: None, url: url.clone() };
                Proxies::new(Some(&proxy), Some(&proxy), no_proxy)
            }
        }
    }
}

/// The proxy variables of an environment.
#[derive(Clone, Debug)]
pub(super) struct ProxyEnvironment {
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    no_proxy: Option<Arc<str>>,
}

impl ProxyEnvironment {
    /// Reads the variables. An empty one counts as not set. The lower case name takes precedence, as for curl.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|&name| {
                let url = variable(name).filter(|value| !value.trim().is_empty())?;
                Some(ProxyUrl { variable: Some(name), url: url.into() })
            })
        };
        // A CGI program gets the header `Proxy` of a request as HTTP_PROXY.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let all = || first(&["all_proxy", "ALL_PROXY"]);
        let http: &[_] = if is_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] };
        let no_proxy =
            ["no_proxy", "NO_PROXY"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        Self {
            http: first(http).or_else(all),
            https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(all),
            no_proxy: no_proxy.map(Into::into),
        }
    }
}
