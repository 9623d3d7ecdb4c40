use std::fmt;

/// The interface of an endpoint, which says who uses it.
///
/// `public` (as in v3 catalogs) and `publicURL` (as in v2.0 catalogs) are the same interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// For users of the cloud. This is the default.
    Public,
    /// For services of the cloud, on its internal network.
    Internal,
    /// For administrators.
    Admin,
    /// Keystone at the plugin's `auth_url`: keystoneauth's `AUTH_INTERFACE`.
    ///
    /// The catalog is not searched, and an endpoint override is ignored. This applies only if it is the first interface
    /// of a filter. `Interface::from("auth")` returns an [`Other`](Self::Other) instead.
    Auth,
    /// A custom interface of the cloud, without the `URL` at the end of its name.
    Other(Box<str>),
}

impl Interface {
    /// Returns the name as in a v3 catalog, or `auth` for [`Interface::Auth`], which no catalog has.
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
        assert_eq!(Interface::from("EXTRA_URL_L").as_str(), "EXTRA_URL_L");
        assert_eq!(Interface::from("CUR").as_str(), "CUR");
    }

    #[test]
    fn no_text_is_converted_to_the_auth_interface() {
        assert_ne!(Interface::from("auth"), Interface::Auth);
    }
}
