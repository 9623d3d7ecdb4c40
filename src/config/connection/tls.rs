use std::{
    fmt,
    path::{Path, PathBuf},
};

#[cfg(feature = "rustls")]
use crate::error::ConfigLocation;
use crate::{
    config::settings::{Settings, Text},
    error::ConfigError,
};

/// The TLS settings of a cloud: `verify`, `insecure`, `cacert`, `cert` and `key`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Whether the certificates of servers are verified. If not, anyone on the network can read passwords and tokens.
    pub verify: bool,
    /// A file of CA certificates (PEM), which replace those of Mozilla. `None` if certificates are not verified.
    pub cacert: Option<PathBuf>,
    /// A file with the client certificate (PEM), and with its private key if [`key`](Self::key) is not set.
    pub cert: Option<PathBuf>,
    /// A file with the private key of the client certificate (PEM).
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the settings. A path that begins with `~` is in the home directory, a relative path is in the working
    /// directory.
    pub(in crate::config) fn new(
        settings: &Settings,
        home: Option<&Path>,
        working_directory: &Path,
    ) -> Result<Self, ConfigError> {
        let path = |name: &str, text: &Text| {
            expand_path(text.text.expose(), home, working_directory)
                .map_err(|error| error.at(&text.location).member(name))
        };
        let file = |name: &str| settings.text(name)?.map(|text| path(name, &text)).transpose();

        let verify = read_verify(settings)?;
        let is_verified = is_verified(settings, verify.as_ref())?;
        let bundle = verify.and_then(Verify::into_bundle);
        let cacert = settings.text("cacert")?;
        if cacert.is_some() && !is_verified {
            tracing::warn!("cacert has no effect, because the certificates of servers are not verified");
        }
        let cacert = match (cacert, bundle) {
            _ if !is_verified => None,
            (Some(cacert), Some(bundle))
                if bundle.location.is_argument() && !cacert.location.is_argument() =>
            {
                Some(path("verify", &bundle)?)
            }
            (Some(cacert), _) => Some(path("cacert", &cacert)?),
            (None, bundle) => bundle.map(|bundle| path("verify", &bundle)).transpose()?,
        };

        let cert = file("cert")?;
        if cert.is_none() && settings.text("key")?.is_some() {
            tracing::warn!("key has no effect, because cert is not set");
        }
        let key = if cert.is_some() { file("key")? } else { None };
        Ok(Self { verify: is_verified, cacert, cert, key })
    }
}

/// Shows which files are set, not their paths.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("verify", &self.verify)
            .field("has_cacert", &self.cacert.is_some())
            .field("has_cert", &self.cert.is_some())
            .field("has_key", &self.key.is_some())
            .finish()
    }
}

/// The value of `verify`.
enum Verify {
    Boolean(bool),
    /// The path of a file of CA certificates to verify with.
    Bundle(Text),
}

impl Verify {
    fn into_bundle(self) -> Option<Text> {
        match self {
            Self::Boolean(_) => None,
            Self::Bundle(text) => Some(text),
        }
    }
}

/// Returns the setting with the path of the CA file, and where it was written.
#[cfg(feature = "rustls")]
pub(crate) fn ca_file_setting(settings: &Settings) -> Option<(&'static str, &ConfigLocation)> {
    let names: &[_] = match read_verify(settings) {
        Ok(Some(Verify::Bundle(_))) => &["cacert", "verify"],
        _ => &["cacert"],
    };
    settings.first(names).map(|(name, value)| (name, &value.location))
}

/// Reads `verify`. A text is a path only if it looks like one, so that a misspelt boolean is an error.
fn read_verify(settings: &Settings) -> Result<Option<Verify>, ConfigError> {
    let Some(text) = settings.text("verify")? else { return Ok(None) };
    if text.text.expose().contains(['/', '\\', '.']) {
        return Ok(Some(Verify::Bundle(text)));
    }
    let verify = settings.boolean("verify").map_err(|_| {
        ConfigError::invalid_value("true, false, or the path of a file of CA certificates, such as ./ca.pem")
            .at(&text.location)
            .member("verify")
    })?;
    Ok(verify.map(Verify::Boolean))
}

/// Returns whether certificates are verified.
///
/// `insecure` and `verify: false` turn that off. If the program sets one of the two, only this one counts.
fn is_verified(settings: &Settings, verify: Option<&Verify>) -> Result<bool, ConfigError> {
    let insecure = settings.boolean("insecure")?;
    let is_argument = |name| settings.top.get(name).is_some_and(|value| value.location.is_argument());
    let by_insecure = insecure != Some(true);
    let by_verify = !matches!(verify, Some(Verify::Boolean(false)));
    Ok(match (is_argument("insecure"), is_argument("verify")) {
        (true, false) => by_insecure,
        (false, true) => by_verify,
        _ => by_insecure && by_verify,
    })
}

/// Returns the path with the home directory in place of `~`. A relative path is in the working directory.
fn expand_path(text: &str, home: Option<&Path>, working_directory: &Path) -> Result<PathBuf, ConfigError> {
    let Some(after) = text.strip_prefix('~') else { return Ok(working_directory.join(text)) };
    if !after.is_empty() && !after.starts_with('/') {
        return Err(ConfigError::invalid_value(
            "a path without ~user, because only the home directory of this user (~/) is known",
        ));
    }
    let home = home
        .ok_or_else(|| ConfigError::invalid_value("a path without ~, because no home directory is known"))?;
    Ok(home.join(after.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        settings::testing::{argument, file, null, settings},
        value::Value,
    };

    fn read<const N: usize>(members: [(&'static str, Value); N]) -> TlsConfig {
        try_read(members).unwrap()
    }

    fn try_read<const N: usize>(members: [(&'static str, Value); N]) -> Result<TlsConfig, ConfigError> {
        TlsConfig::new(&settings(members), Some(Path::new("/home/alice")), Path::new("/cwd"))
    }

    #[test]
    fn certificates_are_verified_unless_a_setting_turns_that_off() {
        for verified in [
            read([]),
            read([("verify", null()), ("insecure", null())]),
            read([("verify", file("")), ("insecure", file(""))]),
            read([("verify", file("yes")), ("insecure", file("off"))]),
        ] {
            assert_eq!(verified, TlsConfig { verify: true, cacert: None, cert: None, key: None });
        }
        for (verify, insecure) in
            [("false", "false"), ("no", ""), ("Off", "no"), ("true", "true"), ("", "YES")]
        {
            let read = read([("verify", file(verify)), ("insecure", file(insecure))]);
            assert!(!read.verify, "{verify} {insecure}");
        }
    }

    #[test]
    fn a_misspelt_boolean_is_an_error() {
        for text in ["0", "1", "n", "none", "False ", "disabled"] {
            let error = try_read([("verify", file(text))]).unwrap_err();
            assert_eq!(error.member.as_deref(), Some("verify"));
            let error = try_read([("insecure", file(text))]).unwrap_err();
            assert_eq!(error.member.as_deref(), Some("insecure"));
            assert!(error.location.is_some());
        }
    }

    #[test]
    fn an_argument_takes_precedence_over_the_other_setting() {
        assert!(read([("verify", argument("true")), ("insecure", file("true"))]).verify);
        assert!(read([("insecure", argument("false")), ("verify", file("false"))]).verify);
        assert!(!read([("verify", argument("false")), ("insecure", file("false"))]).verify);
        assert!(!read([("insecure", argument("true")), ("verify", file("true"))]).verify);
        assert!(!read([("insecure", argument("true")), ("verify", argument("true"))]).verify);
        let bundles = read([("verify", argument("/a.pem")), ("cacert", file("/b.pem"))]);
        assert_eq!(bundles.cacert, Some("/a.pem".into()));
        let bundles = read([("verify", argument("/a.pem")), ("cacert", argument("/b.pem"))]);
        assert_eq!(bundles.cacert, Some("/b.pem".into()));
    }

    #[test]
    fn cacert_takes_precedence_over_a_path_in_verify() {
        let found = |members| TlsConfig::new(&settings(members), None, Path::new("/cwd")).unwrap();
        let bundle = found(vec![("verify", file("/own.pem"))]);
        assert_eq!((bundle.verify, bundle.cacert), (true, Some("/own.pem".into())));
        for path in ["certs/ca", r"certs\ca", "ca.pem"] {
            let bundle = found(vec![("verify", file(path))]);
            assert_eq!((bundle.verify, bundle.cacert), (true, Some(Path::new("/cwd").join(path))));
        }
        let both = found(vec![("verify", file("/own.pem")), ("cacert", file("relative/ca.pem"))]);
        assert_eq!((both.verify, both.cacert), (true, Some("/cwd/relative/ca.pem".into())));
        let off = found(vec![("verify", file("false")), ("cacert", file("/ca.pem"))]);
        assert_eq!((off.verify, off.cacert), (false, None));
    }

    #[test]
    fn paths_are_expanded() {
        let tls = read([("cacert", file("~/ca.pem")), ("cert", file("c.pem")), ("key", file("~"))]);
        assert_eq!(tls.cacert, Some("/home/alice/ca.pem".into()));
        assert_eq!(tls.cert, Some("/cwd/c.pem".into()));
        assert_eq!(tls.key, Some("/home/alice/".into()));
        let error = try_read([("cert", file("~bob/secret.pem"))]).unwrap_err();
        assert_eq!(error.member.as_deref(), Some("cert"));
        for members in [
            [("verify", file("~bob/ca")), ("cacert", null())],
            [("verify", argument("~bob/ca")), ("cacert", file("/ca"))],
        ] {
            assert_eq!(try_read(members).unwrap_err().member.as_deref(), Some("verify"));
        }
        assert!(error.location.is_some());
        assert!(error.to_string().contains("~user") && !error.to_string().contains("secret"), "{error}");
        assert!(
            TlsConfig::new(&settings([("key", file("~/k")), ("cert", file("/c"))]), None, Path::new("/"))
                .is_err()
        );
    }

    #[test]
    fn a_key_without_a_certificate_is_ignored() {
        let tls = read([("key", file("~bob/k.pem")), ("cert", file(""))]);
        assert_eq!((tls.cert, tls.key), (None, None));
    }
}
