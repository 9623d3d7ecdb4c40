//! Loads a [`CloudConfig`] from files, variables and arguments.

use std::{io, sync::Arc};

#[cfg(feature = "rustls")]
use super::connection::proxy_variables::ProxyVariables;
use super::{
    CloudConfig,
    cloud::{
        arguments::Arguments,
        clouds::{Cloud, Clouds},
        expand::{expand, is_secret},
        ignored_variables, missing_settings,
        misspelt::{self, Misspelt},
        profile::{self, Profile, RemoteProfile},
        region::{self, Region},
    },
    cloud_config::Inner,
    connection::{force_ipv4::force_ipv4, timeout::api_timeout, tls::TlsConfig},
    identity::{ConfiguredIdentity, Prompt},
    options::Options,
    service::interfaces::interfaces,
    settings::Settings,
    sources::trust::{self, SourceFile},
    stored_tokens,
    value::{Data, Value},
};
use crate::{Error, Transport, error::ConfigError};

/// Loads the configuration of the selected cloud.
pub(super) fn build(options: &Options) -> Result<CloudConfig, ConfigError> {
    let Merged { clouds, name, is_environment, region_name, settings, user_trust } = merge(options)?;
    let prompt = options.prompt.as_ref().map(|prompt| trusted_prompt(prompt, &user_trust));
    let misspelt = misspelt::find(&settings);
    misspelt.iter().for_each(Misspelt::warn);
    let identity = ConfiguredIdentity::new(&settings, prompt.as_ref(), &options.http_hosts);
    let identity = identity.map_err(|error| {
        missing_settings::explain(error, &clouds, name.as_deref(), is_environment, &misspelt)
    })?;
    let tls = TlsConfig::new(&settings, clouds.environment.home(), &clouds.working_directory)?;
    #[cfg(feature = "federation")]
    if identity.needs_certificate() {
        user_trust.clone()?;
    }
    let force_ipv4 = force_ipv4(&settings, &clouds.client()?)?;
    #[cfg(feature = "store")]
    let shared_tokens = stored_tokens::stored_tokens(options, &clouds, &settings, &identity)?;
    #[cfg(feature = "store")]
    let identity = identity.store(shared_tokens.as_ref());
    #[cfg(not(feature = "store"))]
    stored_tokens::warn_if_enabled(&clouds, &settings, &identity)?;
    Ok(CloudConfig::new(Inner {
        name,
        region_name,
        config_file: clouds
            .clouds
            .filter(|_| options.clouds_yaml.is_none())
            .map(|document| document.source.path.to_path_buf()),
        secure_file: clouds.secure.map(|document| document.source.path.to_path_buf()),
        identity,
        #[cfg(feature = "federation")]
        user_trust,
        interfaces: interfaces(&settings)?,
        tls,
        api_timeout: api_timeout(&settings)?,
        force_ipv4,
        #[cfg(feature = "store")]
        shared_tokens,
        #[cfg(feature = "rustls")]
        proxy_variables: ProxyVariables::new(options),
        settings,
    }))
}

/// The selected cloud and region, with the merged settings.
pub(super) struct Merged {
    clouds: Clouds,
    name: Option<Box<str>>,
    is_environment: bool,
    region_name: Option<Box<str>>,
    pub(super) settings: Settings,
    /// The error if secrets of the user must not be used with the files.
    user_trust: Result<(), ConfigError>,
}

/// Selects the cloud and the region, and merges their settings.
pub(super) fn merge(options: &Options) -> Result<Merged, ConfigError> {
    let (arguments, clouds, cloud) = select(options)?;
    ignored_variables::log(&clouds, &cloud);
    let profile = profile::find(options, &clouds, &cloud, arguments.profile)?;
    let sources = sources(&cloud, profile.as_ref());
    trust::check(&sources, other_secret_source(&cloud, &arguments.settings))?;
    let user_trust = trust::check(&sources, Some("the user"));

    let regions = region::regions(&cloud.settings, profile.as_ref().map(|profile| &profile.settings))?;
    let region = region::select(regions, arguments.region_name, cloud.name.as_deref())?;
    let region_name = region.as_ref().map(|region| region.name.expose()).filter(|name| !name.is_empty());
    let region_name = region_name.map(Box::from);

    let by_precedence = [
        profile.map(|profile| profile.settings),
        Some(cloud.settings),
        region.map(Region::into_settings),
        Some(arguments.settings),
    ];
    let mut settings = Settings::default();
    by_precedence.into_iter().flatten().for_each(|higher| settings.put_over(higher));
    for name in ["cloud", "profile", "regions"] {
        settings.top.remove(name);
    }
    expand(&mut settings)?;
    Ok(Merged {
        clouds,
        name: cloud.name,
        is_environment: cloud.is_environment,
        region_name,
        settings,
        user_trust,
    })
}

/// Reads the arguments and the files, and selects the cloud.
fn select(options: &Options) -> Result<(Arguments, Clouds, Cloud), ConfigError> {
    let mut arguments = Arguments::new(options)?;
    let clouds = Clouds::load(options)?;
    let cloud = clouds.select(arguments.cloud.take())?;
    Ok((arguments, clouds, cloud))
}

/// Returns the names of the clouds.
pub(super) fn names(options: &Options) -> Result<Vec<String>, ConfigError> {
    Clouds::load(options)?.names()
}

/// Returns the names of the regions of the selected cloud.
pub(super) fn region_names(options: &Options) -> Result<Vec<String>, ConfigError> {
    let (arguments, clouds, cloud) = select(options)?;
    let profile = profile::find(options, &clouds, &cloud, arguments.profile)?;
    let regions = region::regions(&cloud.settings, profile.as_ref().map(|profile| &profile.settings))?;
    let names = regions.into_iter().map(|region| region.name.expose().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// Fetches the profile of the selected cloud, if necessary, and returns the options with the profile.
pub(super) async fn fetch_profile(options: &Options, transport: &Transport) -> Result<Options, Error> {
    let mut options = options.clone();
    if let Some(remote) = remote_profile(&options)? {
        options.fetched_profiles.push(profile::fetch(transport, remote).await?);
    }
    Ok(options)
}

fn remote_profile(options: &Options) -> Result<Option<RemoteProfile>, ConfigError> {
    let (arguments, clouds, cloud) = select(options)?;
    profile::remote(options, &clouds, &cloud, arguments.profile)
}

/// Returns the files that settings of the cloud come from.
fn sources(cloud: &Cloud, profile: Option<&Profile>) -> Vec<SourceFile> {
    let profile = profile.and_then(|profile| profile.source.as_ref());
    cloud.sources.iter().chain(profile).cloned().collect()
}

/// Returns the name of a source of secrets that is not a file.
fn other_secret_source(cloud: &Cloud, arguments: &Settings) -> Option<&'static str> {
    let is_argument = |(name, _): (&str, &Value)| is_secret(name);
    if cloud.is_environment {
        Some("the environment")
    } else if arguments.auth.iter().chain(arguments.top.iter()).any(is_argument) {
        Some("the program")
    } else {
        None
    }
}

/// Returns a prompt that fails if secrets of the user must not be used with the files.
fn trusted_prompt(prompt: &Prompt, user_trust: &Result<(), ConfigError>) -> Prompt {
    match user_trust.clone() {
        Ok(()) => Arc::clone(prompt),
        Err(error) => Arc::new(move |_| Err(io::Error::other(error.clone()))),
    }
}

impl Region {
    /// Returns the settings that apply in this region, with its name.
    fn into_settings(self) -> Settings {
        let mut settings = self.values;
        let data = Data::Scalar(self.name);
        settings.top.insert("region_name", Value { data, location: self.location });
        settings
    }
}
