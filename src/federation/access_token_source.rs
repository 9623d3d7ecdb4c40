use std::{fmt, future::Future, path::PathBuf};

use crate::{BoxError, Error, Secret};

/// Where an access token comes from: it is fixed, or read anew at each login.
#[derive(Clone)]
pub struct AccessTokenSource(Source);

#[derive(Clone)]
enum Source {
    Fixed(Secret),
    File(PathBuf),
}

impl AccessTokenSource {
    /// Reads the token from this file at each login, because CI systems and Kubernetes replace it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Calls this function at each login.
    pub fn function<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, BoxError>> + Send + 'static,
    {
        todo!()
    }

    /// Returns the token if it is always the same, for cache ids.
    pub(super) fn fixed(&self) -> Option<&Secret> {
        match &self.0 {
            Source::Fixed(token) => Some(token),
            _ => None,
        }
    }

    pub(super) async fn read(&self) -> Result<Secret, Error> {
        todo!()
    }
}

impl From<Secret> for AccessTokenSource {
    fn from(token: Secret) -> Self {
        Self(Source::Fixed(token))
    }
}

impl From<&str> for AccessTokenSource {
    fn from(token: &str) -> Self {
        Secret::new(token).into()
    }
}

impl From<String> for AccessTokenSource {
    fn from(token: String) -> Self {
        Secret::new(token).into()
    }
}

impl fmt::Debug for AccessTokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokenSource")
    }
}
