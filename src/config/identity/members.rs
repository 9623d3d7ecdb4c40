//! The settings of the auth type: old names, precedence between `auth` and the top level, and domains.

use super::{auth_types::Setting, select::Selected, unknown::unknown};
use crate::{
    Secret,
    config::settings::Settings,
    error::{ConfigError, ConfigLocation},
};

/// The settings of an auth type, by their current names.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Member>);

/// A setting of an auth type.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) text: Secret,
    pub(super) location: ConfigLocation,
    /// The setting as it was written, such as `auth.user_name`.
    pub(super) path: Box<str>,
}

impl Members {
    /// Collects the settings that the auth type knows.
    ///
    /// A member of `auth` that the auth type does not know is an error.
    pub(super) fn new(settings: &Settings, selected: &Selected) -> Result<Self, ConfigError> {
        let outer: Vec<_> = selected.auth_type.outer_settings().collect();
        let is_outer = |name| outer.iter().any(|setting| setting.name == name);
        let inner: Vec<_> = selected.settings().filter(|setting| !is_outer(setting.name)).collect();
        for (name, value) in settings.auth.iter() {
            let is_known = inner.iter().chain(&outer).any(|setting| setting.is_called(name));
            if !is_known && value.is_set() {
                return Err(unknown(name, &format!("auth.{name}"), &value.location, selected));
            }
        }
        let mut members = Self::default();
        for setting in inner.into_iter().filter(|setting| setting.name != "auth_methods") {
            members.0.extend(find_setting(settings, setting, Section::Auth)?);
        }
        for setting in outer {
            let Some(member) = find_setting(settings, setting, Section::Top)? else { continue };
            if !selected.knows(setting.name) {
                return Err(unknown(setting.name, &member.path, &member.location, selected));
            }
            members.0.push(member);
        }
        members.share_domain();
        members.let_arguments_win();
        Ok(members)
    }

    /// Returns a setting. An empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        self.0.iter().find(|member| member.name == name)
    }

    /// Returns the first of these settings that is set.
    pub(super) fn first(&self, names: &[&str]) -> Option<&Member> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Adds a setting that the user was asked for.
    pub(super) fn add(&mut self, name: &'static str, text: Secret) {
        let location = ConfigLocation::Argument("prompt".into());
        self.0.push(Member { name, text, location, path: format!("auth.{name}").into() });
    }

    /// Removes the id of a user, project and so on if an argument sets its name, and the name if an argument sets its
    /// id. Otherwise a login could ignore the argument.
    fn let_arguments_win(&mut self) {
        let arguments: Vec<_> =
            self.0.iter().filter(|member| member.location.is_argument()).map(|member| member.name).collect();
        self.0.retain(|Member { name, location, .. }| {
            let pair = PAIRS.iter().find(|pair| pair.contains(name));
            let is_given = pair.is_some_and(|pair| pair.iter().any(|other| arguments.contains(other)));
            location.is_argument() || !is_given
        });
    }

    /// Applies the domain to the user and the project, if there is a project. Otherwise the domain is the scope.
    fn share_domain(&mut self) {
        if self.first(&["project_id", "project_name"]).is_none() {
            return;
        }
        for (domain, targets) in [
            ("domain_id", ["user_domain_id", "project_domain_id"]),
            ("domain_name", ["user_domain_name", "project_domain_name"]),
        ] {
            let Some(index) = self.0.iter().position(|member| member.name == domain) else { continue };
            let domain = self.0.remove(index);
            for name in targets {
                if self.get(name).is_none() {
                    self.0.push(Member { name, ..domain.clone() });
                }
            }
        }
    }
}

/// The id and the name of the same thing.
const PAIRS: [[&str; 2]; 8] = [
    ["user_id", "username"],
    ["user_domain_id", "user_domain_name"],
    ["project_id", "project_name"],
    ["project_domain_id", "project_domain_name"],
    ["tenant_id", "tenant_name"],
    ["domain_id", "domain_name"],
    ["default_domain_id", "default_domain_name"],
    ["application_credential_id", "application_credential_name"],
];

/// The part of a cloud that contains a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// In `auth`.
    Auth,
    /// At the top level, outside `auth`.
    Top,
}

/// Returns the value of a setting that takes precedence: an argument, otherwise one in the preferred section.
///
/// If `auth` is preferred, the old name in `auth` takes precedence over the current name at the top level. If the top
/// level is preferred, the current name takes precedence over the old name, in whichever section it is.
fn find_setting(
    settings: &Settings,
    setting: &Setting,
    preferred: Section,
) -> Result<Option<Member>, ConfigError> {
    let names = || [Some(setting.name), setting.old_name].into_iter().flatten();
    let candidates: Vec<_> = match preferred {
        Section::Auth => [Section::Auth, Section::Top]
            .into_iter()
            .flat_map(|section| names().map(move |name| (name, section)))
            .collect(),
        Section::Top => names().flat_map(|name| [(name, Section::Top), (name, Section::Auth)]).collect(),
    };
    let mut found = None;
    for (name, section) in candidates {
        let (mapping, path) = match section {
            Section::Auth => (&settings.auth, format!("auth.{name}")),
            Section::Top => (&settings.top, name.to_owned()),
        };
        let Some(value) = mapping.get(name) else { continue };
        let Some(text) = value.text().map_err(|error| error.member(&path))? else { continue };
        let member =
            Member { name: setting.name, text: text.text, location: text.location, path: path.into() };
        if value.location.is_argument() {
            return Ok(Some(member));
        }
        found.get_or_insert(member);
    }
    Ok(found)
}
