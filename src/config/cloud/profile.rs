//! The profile of a provider, over which the settings of a cloud are merged.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::{Request, Uri, header};
use tracing::warn;

use super::{
    clouds::{Cloud, Clouds},
    merge::{merge_into, spell_settings},
    vendors::{self, Status},
};
use crate::{
    Error, Transport,
    config::{
        options::{FetchedProfile, Options},
        settings::{Settings, Text},
        sources::{trust::SourceFile, yaml},
        value::{Data, Mapping, Value},
    },
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// The path of the profile on the host of a provider.
const WELL_KNOWN_PATH: &str = "/.well-known/openstack/api";

/// Maximum size of a fetched profile, in bytes.
const MAX_SIZE: usize = 64 * 1024;

/// The profile of a cloud.
pub(crate) struct Profile {
    pub(crate) settings: Settings,
    /// The file that contains the profile. `None` for a built-in or fetched profile.
    pub(crate) source: Option<SourceFile>,
}

/// The result of looking up a profile by its name.
enum Lookup {
    /// The profile is in a file or built in.
    Known(Profile),
    /// It has to be fetched from this URL.
    Remote(Uri),
    Unknown,
}

/// Returns the profile of a cloud. `None` if the cloud has none, or if no profile has the name.
pub(crate) fn find(
    options: &Options,
    clouds: &Clouds,
    cloud: &Cloud,
    requested: Option<Value>,
) -> Result<Option<Profile>, ConfigError> {
    let Some(name) = profile_name(clouds, cloud, requested)? else { return Ok(None) };
    let lookup = look_up(options, clouds, name.text.expose()).map_err(|error| error.at(&name.location))?;
    match lookup {
        Lookup::Known(profile) => Ok(Some(profile)),
        Lookup::Remote(url) => match options.fetched_profiles.iter().find(|fetched| fetched.url == url) {
            Some(fetched) => {
                let settings = Settings::from_mapping(fetched.members.clone())?;
                Ok(Some(Profile { settings, source: None }))
            }
            None => {
                let reason = format!("it has to be fetched from {url}: call fetch_profile before build");
                Err(profile_error(name.text.expose(), reason).at(&name.location))
            }
        },
        Lookup::Unknown => {
            warn!(
                profile = name.text.expose(),
                location = %name.location,
                "there is no profile of this name; the cloud is used without one"
            );
            Ok(None)
        }
    }
}

/// Fetches a profile.
pub(crate) async fn fetch(transport: &Transport, remote: RemoteProfile) -> Result<FetchedProfile, Error> {
    let RemoteProfile { name, url } = remote;
    let request = Request::get(&url).header(header::ACCEPT, "application/json").body(Bytes::new());
    let request = request.map_err(|_| profile_error(&name, "its URL cannot be requested"))?;
    let response = transport.send(request).await?;
    if !response.status().is_success() {
        let reason = format!("{url} responds with the status {}", response.status().as_u16());
        return Err(profile_error(&name, reason).into());
    }
    if response.body().len() > MAX_SIZE {
        return Err(profile_error(&name, format!("the response of {url} is longer than 64 KiB")).into());
    }
    let members = read(response.body(), &name)
        .ok_or_else(|| profile_error(&name, format!("the response of {url} is not a profile in JSON")))?;
    Ok(FetchedProfile { url, members })
}

/// A profile that has to be fetched.
pub(crate) struct RemoteProfile {
    name: String,
    url: Uri,
}

/// Returns the profile of a cloud, if it has to be fetched.
pub(crate) fn remote(
    options: &Options,
    clouds: &Clouds,
    cloud: &Cloud,
    requested: Option<Value>,
) -> Result<Option<RemoteProfile>, ConfigError> {
    let Some(name) = profile_name(clouds, cloud, requested)? else { return Ok(None) };
    match look_up(options, clouds, name.text.expose()).map_err(|error| error.at(&name.location))? {
        Lookup::Remote(url) => Ok(Some(RemoteProfile { name: name.text.expose().to_owned(), url })),
        Lookup::Known(_) | Lookup::Unknown => Ok(None),
    }
}

/// Returns the name of the profile of a cloud: that of the program, else `profile`, else its old name `cloud`.
fn profile_name(
    clouds: &Clouds,
    cloud: &Cloud,
    requested: Option<Value>,
) -> Result<Option<Text>, ConfigError> {
    let requested = requested.map(|requested| requested.text()).transpose()?.flatten();
    let name = match requested {
        Some(requested) => Some(requested),
        None => match cloud.settings.text("profile")? {
            Some(name) => Some(name),
            None => {
                let name = cloud.settings.text("cloud")?;
                if let Some(name) = &name {
                    warn!(location = %name.location, "the member `cloud` is deprecated; use `profile`");
                }
                name
            }
        },
    };
    let environment_cloud = clouds.environment.cloud_name();
    Ok(name.filter(|name| environment_cloud != Ok(name.text.expose())))
}

fn look_up(options: &Options, clouds: &Clouds, name: &str) -> Result<Lookup, ConfigError> {
    if let Some(document) = clouds.public(options)?
        && let Some(profile) = document.entries.get(name)
    {
        let settings = profile.clone().into_mapping().and_then(Settings::from_mapping);
        let settings = settings.map_err(|error| error.member(&format!("public-clouds.{name}")))?;
        return Ok(Lookup::Known(Profile { settings, source: Some(document.source) }));
    }
    if let Some(vendor) = vendors::find(name) {
        match vendor.status {
            Status::Active => {}
            Status::Deprecated(reason) => warn!(profile = name, "the profile is deprecated: {reason}"),
            Status::ShutDown(reason) => {
                return Err(profile_error(name, format!("the provider has shut down: {reason}")));
            }
            Status::Remote(url) => return Ok(Lookup::Remote(well_known(url)?)),
        }
        let settings = Settings::from_mapping(vendor.members())?;
        return Ok(Lookup::Known(Profile { settings, source: None }));
    }
    if name.contains("://") { Ok(Lookup::Remote(well_known(name)?)) } else { Ok(Lookup::Unknown) }
}

/// Returns the URL of the profile on the host of this URL.
fn well_known(url: &str) -> Result<Uri, ConfigError> {
    let invalid = || {
        // The URL can contain a password.
        let shown = url.rsplit_once('@').map_or(url, |(_, after)| after);
        profile_error(shown, "it must be an https URL with a host and without a user name")
    };
    let parts = url.parse::<Uri>().map_err(|_| invalid())?;
    let authority = parts.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let has_host = parts.host().is_some_and(|host| !host.is_empty());
    if parts.scheme_str() != Some("https") || !has_host || authority.contains('@') {
        return Err(invalid());
    }
    format!("https://{authority}{WELL_KNOWN_PATH}").parse().map_err(|_| invalid())
}

/// Reads the document of a fetched profile. A built-in profile of the same name takes precedence.
fn read(document: &[u8], name: &str) -> Option<Mapping> {
    let path: Arc<Path> = Path::new("profile.json").into();
    let mut document = yaml::read(document, &path).ok()?.into_mapping().ok()?;
    let provider = document.remove("name")?.text().ok()??;
    let mut profile = document.remove("profile")?;
    relocate(&mut profile, &ConfigLocation::Profile(name.into()));
    let mut profile = spell_settings(profile.into_mapping().ok()?);
    if let Some(vendor) = vendors::find(provider.text.expose()) {
        merge_into(&mut profile, vendor.members());
    }
    Some(profile)
}

/// Sets the location of a value and of all values in it.
fn relocate(value: &mut Value, location: &ConfigLocation) {
    value.location = location.clone();
    match &mut value.data {
        Data::Null | Data::Scalar(_) => {}
        Data::Sequence(items) => items.iter_mut().for_each(|item| relocate(item, location)),
        Data::Mapping(members) => members.values_mut().for_each(|member| relocate(member, location)),
    }
}

fn profile_error(profile: &str, reason: impl Into<Box<str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Profile { profile: profile.into(), reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use http::Response;
    use http_body_util::Full;

    use super::*;
    use crate::{
        Secret,
        config::{cloud::arguments::argument, options::testing::with_files},
    };

    const CLOUDS: &str = "/home/a/.config/openstack/clouds.yaml";
    const PUBLIC: &str = "/home/a/.config/openstack/clouds-public.yaml";

    fn profile(options: &Options, requested: Option<&str>) -> Result<Option<Profile>, ConfigError> {
        let clouds = Clouds::load(options)?;
        let cloud = clouds.select(None)?;
        let requested = requested.map(|name| argument("profile", Secret::new(name)));
        find(options, &clouds, &cloud, requested)
    }

    fn auth_url(profile: Option<&Profile>) -> Option<String> {
        let auth_url = profile?.settings.auth.get("auth_url")?.text().unwrap().unwrap();
        Some(auth_url.text.expose().to_owned())
    }

    #[test]
    fn profiles_come_from_the_file_and_then_from_the_table() {
        let public =
            (PUBLIC, "public-clouds: {acme: {auth: {auth_url: a}}, otc: {auth: {auth-url: b}}, envvars: {}}");
        for (cloud, requested, expected) in [
            ("{profile: acme}", None, Some("a")),
            ("{profile: otc}", None, Some("b")),
            ("{profile: auro}", None, Some("https://api.van2.auro.io:5000/v3")),
            ("{cloud: acme}", None, Some("a")),
            ("{profile: acme, cloud: otc}", None, Some("a")),
            ("{profile: acme}", Some("otc"), Some("b")),
            ("{profile: Acme}", None, None),
            ("{profile: envvars}", None, None),
            ("{profile: auro}", Some("envvars"), None),
            ("{}", None, None),
        ] {
            let clouds: &'static str = format!("clouds: {{one: {cloud}}}").leak();
            let options = with_files(&[(CLOUDS, clouds), public]);
            let found = profile(&options, requested).unwrap();
            assert_eq!(found.is_some(), expected.is_some(), "{cloud}");
            assert_eq!(auth_url(found.as_ref()).as_deref(), expected, "{cloud}");
            let is_from_file = matches!(expected, Some("a" | "b"));
            assert_eq!(found.and_then(|found| found.source).is_some(), is_from_file);
        }
    }

    #[test]
    fn a_malformed_profile_of_the_file_is_an_error() {
        let options = with_files(&[
            (CLOUDS, "clouds: {one: {profile: acme}}"),
            (PUBLIC, "public-clouds: {acme: canary}"),
        ]);
        assert_eq!(
            profile(&options, None).err().unwrap().to_string(),
            format!("{PUBLIC}:1:17: public-clouds.acme: expected a mapping; indent its members below it")
        );
    }

    #[test]
    fn a_provider_that_has_shut_down_is_an_error() {
        let options = with_files(&[(CLOUDS, "clouds: {one: {profile: ultimum}}")]);
        assert_eq!(
            profile(&options, None).err().unwrap().to_string(),
            format!(
                "{CLOUDS}:1:16: the profile \"ultimum\": the provider has shut down: the provider has ceased business"
            )
        );
    }

    #[test]
    fn a_profile_that_has_to_be_fetched_is_refused() {
        let options = with_files(&[(CLOUDS, "clouds: {one: {}}")]);
        for (name, url) in [
            ("ovh", "https://ovhcloud.com"),
            ("vexxhost", "https://vexxhost.com"),
            ("https://cloud.example.com:443/some/path?query", "https://cloud.example.com:443"),
        ] {
            let error = profile(&options, Some(name)).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!(
                    "the argument profile: the profile {name:?}: it has to be fetched from \
                     {url}/.well-known/openstack/api: call fetch_profile before build"
                )
            );
        }
    }

    #[test]
    fn only_https_urls_without_a_user_name_are_accepted() {
        let options = with_files(&[(CLOUDS, "clouds: {one: {}}")]);
        for name in [
            "http://h",
            "ftp://h",
            "https://",
            "https:///x",
            "https://:443",
            "https://u:canary@h",
            "https://h h",
            "://",
        ] {
            let error = profile(&options, Some(name)).err().unwrap().to_string();
            assert!(error.contains("it must be an https URL"), "{error}");
            let clouds = Clouds::load(&options).unwrap();
            let requested = Some(argument("profile", Secret::new(name)));
            let remote = remote(&options, &clouds, &clouds.select(None).unwrap(), requested);
            assert_eq!(remote.err().unwrap().to_string(), error);
            assert!(!error.contains("canary"), "{error}");
        }
    }

    fn fetched(status: u16, body: &str) -> Result<Option<String>, String> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let transport = Transport::new(tower::service_fn(move |request: Request<Full<Bytes>>| {
            assert_eq!(request.uri(), "https://cloud.example.com/.well-known/openstack/api");
            assert_eq!(request.headers().keys().collect::<Vec<_>>(), [header::ACCEPT]);
            let response = Response::builder().status(status).header("location", "https://evil/");
            std::future::ready(response.body(Full::new(body.clone())))
        }));
        let mut options = with_files(&[(CLOUDS, "clouds: {one: {profile: 'https://cloud.example.com/x'}}")]);
        let clouds = Clouds::load(&options).unwrap();
        let remote = remote(&options, &clouds, &clouds.select(None).unwrap(), None).unwrap().unwrap();
        let fetched = tokio_test::block_on(fetch(&transport, remote)).map_err(|error| error.to_string())?;
        options.fetched_profiles.push(fetched);
        Ok(auth_url(profile(&options, None).map_err(|error| error.to_string())?.as_ref()))
    }

    #[test]
    fn a_fetched_profile_is_used() {
        let document =
            r#"{"name": "example", "profile": {"auth": {"auth_url": "https://k/v3"}, "regions": ["x"]}}"#;
        assert_eq!(fetched(200, document).unwrap().as_deref(), Some("https://k/v3"));
    }

    #[test]
    fn all_values_of_a_fetched_profile_have_it_as_their_location() {
        let document = br#"{"name": "x", "profile": {"regions": ["R"], "auth": {"auth_url": "a"}}}"#;
        let profile = read(document, "acme").unwrap();
        let member = |name: &str| profile.get(name).unwrap();
        let Data::Sequence(regions) = &member("regions").data else { panic!() };
        let Data::Mapping(auth) = &member("auth").data else { panic!() };
        for value in [member("regions"), &regions[0], member("auth"), auth.get("auth_url").unwrap()] {
            assert_eq!(value.location, ConfigLocation::Profile("acme".into()));
        }
    }

    #[test]
    fn a_profile_that_was_fetched_from_elsewhere_is_not_used() {
        let mut options = with_files(&[(CLOUDS, "clouds: {one: {}}")]);
        let url = well_known("https://a").unwrap();
        options.fetched_profiles.push(FetchedProfile { url, members: Mapping::default() });
        assert!(profile(&options, Some("https://a")).is_ok());
        assert!(profile(&options, Some("https://b")).is_err());
    }

    #[test]
    fn a_built_in_profile_of_the_same_name_takes_precedence() {
        let document = r#"{"name": "zetta", "profile": {"auth": {"auth_url": "https://k/v3"}}}"#;
        assert_eq!(fetched(200, document).unwrap().as_deref(), Some("https://identity.api.zetta.io/v3"));
    }

    #[test]
    fn other_responses_are_errors() {
        let prefix = "the profile \"https://cloud.example.com/x\": ";
        let url = "https://cloud.example.com/.well-known/openstack/api";
        for status in [302, 404, 500] {
            let error = fetched(status, "{}").unwrap_err();
            assert_eq!(error, format!("{prefix}{url} responds with the status {status}"));
        }
        let too_deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for document in
            ["", "<html>", "[]", "{}", r#"{"name": "x"}"#, r#"{"name": "x", "profile": "y"}"#, &too_deep]
        {
            let error = fetched(200, document).unwrap_err();
            assert_eq!(
                error,
                format!("{prefix}the response of {url} is not a profile in JSON"),
                "{document}"
            );
        }
        let short = r#"{"name": "x", "profile": {}}"#;
        let longest = format!("{short}{}", " ".repeat(MAX_SIZE - short.len()));
        assert_eq!(fetched(200, &longest), Ok(None));
        let error = fetched(200, &format!("{longest} ")).unwrap_err();
        assert_eq!(error, format!("{prefix}the response of {url} is longer than 64 KiB"));
    }
}
