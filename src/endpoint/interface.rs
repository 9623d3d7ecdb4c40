use std::fmt;

/// The interface of an endpoint: which of a service's doors is meant.
///
/// `public` and `publicURL`, the spellings of the v3 and the v2 catalog, are the same interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// For users of the cloud; the default.
    Public,
    /// For services of the cloud, on its own network.
    Internal,
    /// For administrators.
    Admin,
    /// Keystone itself at the plugin's `auth_url`, without a look into the catalog: keystoneauth's
    /// `AUTH_INTERFACE`. No text becomes this value. It counts if it is the first that a filter names,
    /// and then before an endpoint override.
    Auth,
    /// An interface with a name of the cloud's own, without the `URL` at its end.
    Other(Box<str>),
}

impl Interface {
    /// The name as a v3 catalog spells it; `auth` for [`Interface::Auth`], which no catalog has.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
            Self::Auth => "auth",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Interface {
    fn from(name: &str) -> Self {
        match name.strip_suffix("URL").unwrap_or(name) {
            "public" => Self::Public,
            "internal" => Self::Internal,
            "admin" => Self::Admin,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_interface() {
        assert_eq!(Interface::from("publicURL"), Interface::from("public"));
        assert_eq!(Interface::from("adminURL"), Interface::Admin);
        assert_eq!(Interface::from("curlyURL").as_str(), "curly");
    }

    #[test]
    fn only_the_suffix_is_dropped() {
        // keystoneauth strips any of the letters U, R and L from the end.
        assert_eq!(Interface::from("EXTRA_URL_L").as_str(), "EXTRA_URL_L");
        assert_eq!(Interface::from("CUR").as_str(), "CUR");
    }

    #[test]
    fn no_text_means_the_auth_interface() {
        assert_ne!(Interface::from("auth"), Interface::Auth);
    }
}
