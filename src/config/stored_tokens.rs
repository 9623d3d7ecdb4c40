//! The store for the tokens of a cloud: `cache.auth` in the files, or the one that the program sets.

use tracing::warn;

#[cfg(feature = "store")]
use super::options::Options;
use super::{cloud::clouds::Clouds, identity::ConfiguredIdentity, settings::Settings};
use crate::error::ConfigError;
#[cfg(feature = "store")]
use crate::store::SharedTokens;

/// Returns the store for the tokens of a cloud. `None` if they are not stored.
#[cfg(feature = "store")]
pub(super) fn stored_tokens(
    options: &Options,
    clouds: &Clouds,
    settings: &Settings,
    identity: &ConfiguredIdentity,
) -> Result<Option<SharedTokens>, ConfigError> {
    let is_enabled = is_enabled(clouds, settings)?;
    if options.shared_tokens.is_some() {
        return Ok(options.shared_tokens.clone());
    }
    let is_enabled = options.cache_auth.unwrap_or(is_enabled) && has_token(identity);
    Ok(if is_enabled { file_store(clouds) } else { None })
}

/// Logs that tokens are not stored, if the files say that they are.
#[cfg(not(feature = "store"))]
pub(super) fn warn_if_enabled(
    clouds: &Clouds,
    settings: &Settings,
    identity: &ConfiguredIdentity,
) -> Result<(), ConfigError> {
    if is_enabled(clouds, settings)? && has_token(identity) {
        warn!(
            "cache.auth has no effect, because the program is built without the feature `store` of tower-keystone"
        );
    }
    Ok(())
}

/// Returns whether the files say that tokens are stored.
fn is_enabled(clouds: &Clouds, settings: &Settings) -> Result<bool, ConfigError> {
    if let Some(cache) = settings.top.get("cache")
        && cache.clone().into_mapping().is_ok_and(|cache| cache.get("auth").is_some())
    {
        warn!("{}: cache.auth has no effect in a cloud; write cache beside clouds", cache.location);
    }
    clouds.cache_auth()
}

/// Returns whether Keystone issues the token.
fn has_token(identity: &ConfiguredIdentity) -> bool {
    identity.identity.credentials().is_ok()
}

/// Opens the store in the files of this user. `None` if it cannot be used.
///
/// That is no error, because the program works without a store, too.
#[cfg(all(feature = "store", unix))]
fn file_store(clouds: &Clouds) -> Option<SharedTokens> {
    let variable = |path: Option<&std::path::Path>| path.map(|path| path.as_os_str().to_owned());
    let cache_home = clouds.environment.path("XDG_CACHE_HOME");
    let (cache_home, home) = (variable(cache_home.as_deref()), variable(clouds.environment.home()));
    let store = crate::store::FileStore::open_in(cache_home, home).and_then(|store| store.into_shared());
    store
        .inspect_err(|error| {
            warn!("cache.auth has no effect, because the tokens cannot be stored: {error:#}")
        })
        .ok()
}

#[cfg(all(feature = "store", not(unix)))]
fn file_store(_: &Clouds) -> Option<SharedTokens> {
    warn!("cache.auth has no effect, because tokens are stored in files on Unix only");
    None
}
