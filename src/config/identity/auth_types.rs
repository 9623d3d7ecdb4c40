//! The auth types, and the settings that each of them knows.

mod auth_type;
#[cfg(feature = "federation")]
mod federated;
mod keystone;
mod setting;
mod unsupported;

#[cfg(feature = "federation")]
pub(super) use self::auth_type::Federated;
pub(super) use self::{
    auth_type::{AuthType, Kind, Method},
    setting::Setting,
    unsupported::{UNSUPPORTED, Unsupported},
};

#[cfg(feature = "federation")]
use self::federated::FEDERATED;
use self::keystone::KEYSTONE;
/// Without the feature, there is none of them.
#[cfg(not(feature = "federation"))]
const FEDERATED: &[AuthType] = &[];

/// The names of the supported auth types.
pub(super) const NAMES: &[&str] = &{
    let mut names = [""; KEYSTONE.len() + FEDERATED.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = match index < KEYSTONE.len() {
            true => KEYSTONE[index].name,
            false => FEDERATED[index - KEYSTONE.len()].name,
        };
        index += 1;
    }
    names
};

/// The auth types that `auth_methods` can list.
pub(super) const METHODS: &[&str] = &["v3password", "v3token", "v3totp", "v3applicationcredential"];

/// Returns the supported auth type of this name. `token_endpoint` is an old name.
pub(super) fn find(name: &str) -> Option<&'static AuthType> {
    let name = if name == "token_endpoint" { "admin_token" } else { name };
    all().find(|auth_type| auth_type.name == name)
}

/// Returns the supported auth types.
fn all() -> impl Iterator<Item = &'static AuthType> {
    KEYSTONE.iter().chain(FEDERATED)
}

/// Returns the names of the supported auth types that know this setting.
///
/// Those of federated logins are left out if others know it: a `username` is that of a user of Keystone, most often.
pub(super) fn that_know(name: &str) -> Vec<&'static str> {
    let knows = |auth_type: &&AuthType| {
        auth_type.settings(&auth_type.methods()).any(|setting| setting.is_called(name))
    };
    let names = |auth_types: &'static [AuthType]| -> Vec<_> {
        auth_types.iter().filter(knows).map(|auth_type| auth_type.name).collect()
    };
    let of_keystone = names(KEYSTONE);
    if of_keystone.is_empty() { names(FEDERATED) } else { of_keystone }
}

/// Returns the names of all settings, also the old ones. Some occur several times.
pub(super) fn setting_names() -> impl Iterator<Item = &'static str> {
    let settings = |auth_type: &AuthType| auth_type.settings(&auth_type.methods()).collect::<Vec<_>>();
    all().flat_map(settings).flat_map(|setting| [Some(setting.name), setting.old_name].into_iter().flatten())
}
