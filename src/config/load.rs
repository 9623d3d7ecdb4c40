//! Loads a configuration: from files, variables and arguments to the [`CloudConfig`].

use super::{
    CloudConfig, CloudConfigBuilder, TlsConfig,
    arguments::Arguments,
    cloud_config::Inner,
    clouds::{Cloud, Clouds},
    expand::{expand, is_secret},
    force_ipv4::force_ipv4,
    identity::ConfiguredIdentity,
    interfaces::interfaces,
    profile::{self, Profile},
    region::{self, Region},
    settings::Settings,
    timeout::api_timeout,
    trust,
    value::{Data, Value},
};
use crate::{Error, Transport, error::ConfigError};

/// Loads the configuration of the selected cloud.
pub(super) fn build(builder: &CloudConfigBuilder) -> Result<CloudConfig, ConfigError> {
    let arguments = Arguments::new(builder)?;
    let clouds = Clouds::load(builder)?;
    let cloud = clouds.select(arguments.cloud)?;
    let profile = profile::find(builder, &clouds, &cloud, arguments.profile)?;
    check_trust(&cloud, profile.as_ref(), &arguments.settings)?;

    let regions = region::regions(&cloud.settings, profile.as_ref().map(|profile| &profile.settings))?;
    let region = region::select(regions, arguments.region_name, cloud.name.as_deref())?;
    let region_name = region.as_ref().map(|region| region.name.expose()).filter(|name| !name.is_empty());
    let region_name = region_name.map(Box::from);

    let layers = [
        profile.map(|profile| profile.settings),
        Some(cloud.settings),
        region.map(Region::into_settings),
        Some(arguments.settings),
    ];
    let mut settings = Settings::default();
    layers.into_iter().flatten().for_each(|layer| settings.put_over(layer));
    for name in ["cloud", "profile", "regions"] {
        settings.top.remove(name);
    }
    expand(&mut settings)?;

    let identity = ConfiguredIdentity::new(&settings, builder.prompt.as_ref())?;
    let tls = TlsConfig::new(&settings, clouds.environment.home(), &clouds.working_directory)?;
    let force_ipv4 = force_ipv4(&settings, &clouds.client()?)?;
    Ok(CloudConfig::new(Inner {
        name: cloud.name,
        region_name,
        config_file: clouds.clouds.map(|document| document.source.path.to_path_buf()),
        secure_file: clouds.secure.map(|document| document.source.path.to_path_buf()),
        identity,
        interfaces: interfaces(&settings)?,
        tls,
        api_timeout: api_timeout(&settings)?,
        force_ipv4,
        settings,
    }))
}

/// Returns the names of the clouds.
pub(super) fn names(builder: &CloudConfigBuilder) -> Result<Vec<String>, ConfigError> {
    Clouds::load(builder)?.names()
}

/// Returns the names of the regions of the selected cloud.
pub(super) fn region_names(builder: &CloudConfigBuilder) -> Result<Vec<String>, ConfigError> {
    let arguments = Arguments::new(builder)?;
    let clouds = Clouds::load(builder)?;
    let cloud = clouds.select(arguments.cloud)?;
    let profile = profile::find(builder, &clouds, &cloud, arguments.profile)?;
    let regions = region::regions(&cloud.settings, profile.as_ref().map(|profile| &profile.settings))?;
    let names = regions.into_iter().map(|region| region.name.expose().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// Fetches the profile of the selected cloud, if it has to be fetched.
pub(super) async fn fetch_profile(
    builder: &CloudConfigBuilder,
    transport: &Transport,
) -> Result<CloudConfigBuilder, Error> {
    let mut builder = builder.clone();
    if let Some(remote) = remote_profile(&builder)? {
        builder.fetched_profiles.push(profile::fetch(transport, remote).await?);
    }
    Ok(builder)
}

fn remote_profile(builder: &CloudConfigBuilder) -> Result<Option<profile::RemoteProfile>, ConfigError> {
    let arguments = Arguments::new(builder)?;
    let clouds = Clouds::load(builder)?;
    let cloud = clouds.select(arguments.cloud)?;
    profile::remote(builder, &clouds, &cloud, arguments.profile)
}

/// Refuses files that others can write to if secrets of the cloud come from elsewhere.
fn check_trust(cloud: &Cloud, profile: Option<&Profile>, arguments: &Settings) -> Result<(), ConfigError> {
    let mut files = cloud.sources.clone();
    files.extend(profile.and_then(|profile| profile.source.clone()));
    let has_secret = arguments.auth.iter().chain(arguments.top.iter()).any(|(name, _)| is_secret(name));
    let elsewhere =
        if cloud.is_environment { Some("the environment") } else { has_secret.then_some("the program") };
    trust::check(&files, elsewhere)
}

impl Region {
    /// Returns the settings that apply in this region, with its name.
    fn into_settings(self) -> Settings {
        let mut settings = self.values;
        let data = Data::Scalar { text: self.name, plain: false };
        settings.top.insert("region_name", Value { data, location: self.location });
        settings
    }
}
