use std::{fmt, sync::Arc};

use http::{Extensions, Uri};

use super::path_pattern::PathPattern;
use crate::validate::{Caller, request::sent_uri};

/// A condition that callers must satisfy.
#[derive(Clone)]
pub(super) enum Requirement {
    AnyRole(Box<[Box<str>]>),
    AllRoles(Box<[Box<str>]>),
    Project,
    Domain,
    System,
    ProjectInPath { pattern: Box<str>, parsed: PathPattern },
    That(Arc<dyn Fn(&Caller) -> bool + Send + Sync>),
}

impl Requirement {
    /// Returns whether a request of this caller satisfies the requirement.
    pub(super) fn is_satisfied(&self, caller: &Caller, extensions: &Extensions, uri: &Uri) -> bool {
        let access_info = caller.access_info();
        let has_role = |role: &str| access_info.role_names().any(|name| name == role);
        match self {
            Self::AnyRole(roles) => roles.iter().any(|role| has_role(role)),
            Self::AllRoles(roles) => roles.iter().all(|role| has_role(role)),
            Self::Project => access_info.project_scoped(),
            Self::Domain => access_info.domain_scoped(),
            Self::System => access_info.system_scoped(),
            Self::ProjectInPath { parsed, .. } => {
                let path = sent_uri(extensions, uri, None).path();
                access_info.project_scoped()
                    && access_info.project_id().is_some_and(|id| parsed.matches(path, id))
            }
            Self::That(is_allowed) => is_allowed(caller),
        }
    }

    /// Returns the segment of a path that this requirement compares with the project of the caller.
    pub(super) fn project_segment<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self {
            Self::ProjectInPath { parsed, .. } => parsed.project_segment(path),
            _ => None,
        }
    }
}

/// Writes the requirement for the log: `any of the roles ["member", "reader"]`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyRole(roles) => write!(f, "any of the roles {roles:?}"),
            Self::AllRoles(roles) => write!(f, "all of the roles {roles:?}"),
            Self::Project => f.write_str("a project as scope"),
            Self::Domain => f.write_str("a domain as scope"),
            Self::System => f.write_str("the system as scope"),
            Self::ProjectInPath { pattern, .. } => write!(f, "the project in the path {pattern}"),
            Self::That(_) => f.write_str("a condition of the application"),
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
