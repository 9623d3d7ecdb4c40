//! Where an access token comes from that was obtained elsewhere.

use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use tokio::{runtime::Handle, task::spawn_blocking};
use zeroize::Zeroizing;

use crate::{
    BoxError, Error, Secret,
    access::token_header,
    error::{FederatedLoginFailed, LoginStep, escaped},
    json::without_bom,
};

/// Where an access token comes from: it is fixed, or read anew at each login.
#[derive(Clone)]
pub struct AccessTokenSource(Source);

#[derive(Clone)]
enum Source {
    Fixed(Secret),
    File(PathBuf),
    Function(Arc<ReadToken>),
}

type ReadToken = dyn Fn() -> TokenFuture + Send + Sync;

type TokenFuture = Pin<Box<dyn Future<Output = Result<Secret, BoxError>> + Send>>;

/// Maximum size of a file with a token, in bytes. That of a token is the same.
const MAX_FILE: u64 = 128 * 1024;

impl AccessTokenSource {
    /// Reads the token from this file at each login, because CI systems and Kubernetes replace it.
    ///
    /// White space around the token is ignored. The file has 128 KiB at most. If it is missing, empty or malformed, the
    /// login fails with a transient error, because the file may be about to be replaced.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Calls this function at each login.
    ///
    /// Its errors are transient, except an [`Error`] of this crate, which is returned unchanged
    /// ([`Error::plugin`] says itself whether it is transient).
    pub fn function<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, BoxError>> + Send + 'static,
    {
        Self(Source::Function(Arc::new(move || Box::pin(read()))))
    }

    /// Returns the token if it is always the same, for cache ids.
    pub(super) fn fixed(&self) -> Option<&Secret> {
        match &self.0 {
            Source::Fixed(token) => Some(token),
            _ => None,
        }
    }

    /// Returns the token of this moment. It can be sent in a header.
    pub(super) async fn read(&self) -> Result<Secret, Error> {
        match &self.0 {
            Source::Fixed(token) => {
                check(token).map_err(|hint| failed("", hint, false))?;
                Ok(token.clone())
            }
            Source::File(path) => {
                let opened = path.clone();
                let token = run_blocking(move || read_file(&opened)).await;
                token.map_err(|NotRead(hint, source)| {
                    let failed = failed(&escaped(&path.to_string_lossy()), hint, true);
                    source.map_or(failed.clone(), |source| failed.with_source(Arc::new(source))).into()
                })
            }
            Source::Function(read) => {
                let token = read().await.map_err(|error| match Error::find(&*error) {
                    Some(error) => error.clone(),
                    None => failed("", "its function failed; see its error", true)
                        .with_source(error.into())
                        .into(),
                })?;
                check(&token).map_err(|hint| failed("", hint, true))?;
                Ok(token)
            }
        }
    }
}

fn failed(origin: &str, hint: &'static str, is_transient: bool) -> FederatedLoginFailed {
    FederatedLoginFailed::new(LoginStep::AccessTokenSource, origin.into(), hint, is_transient)
}

/// Returns an error if a token cannot be sent in a header.
fn check(token: &Secret) -> Result<(), &'static str> {
    match token_header(token.expose()) {
        Ok(_) => Ok(()),
        Err(_) if token.expose().is_empty() => Err("the access token is empty; obtain a new one"),
        Err(_) => {
            Err("it is not one access token of visible ASCII characters, up to 128 KiB; check its content")
        }
    }
}

/// Why a file has no token, and the error of the operating system.
struct NotRead(&'static str, Option<io::Error>);

impl From<io::Error> for NotRead {
    fn from(error: io::Error) -> Self {
        Self("the file cannot be read; check its path and its permissions", Some(error))
    }
}

fn read_file(path: &Path) -> Result<Secret, NotRead> {
    // With capacity for the whole file, because growing would leave copies behind that are not wiped.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
    let token = match str::from_utf8(without_bom(&content)) {
        _ if content.len() as u64 > MAX_FILE => {
            return Err(NotRead("the file is longer than 128 KiB; check its path", None));
        }
        Ok(text) => Secret::new(text.trim()),
        Err(_) => return Err(NotRead("the file is not a text in UTF-8; check its path", None)),
    };
    check(&token).map_err(|hint| NotRead(hint, None))?;
    Ok(token)
}

/// Runs a function on tokio's blocking pool, or here if this is not a tokio runtime.
async fn run_blocking<T: Send + 'static>(
    function: impl FnOnce() -> Result<T, NotRead> + Send + 'static,
) -> Result<T, NotRead> {
    match Handle::try_current() {
        Ok(_) => {
            let failed = |_| NotRead("the file was not read, because the tokio runtime ends", None);
            spawn_blocking(function).await.map_err(failed)?
        }
        Err(_) => function(),
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// A folder that is removed when it is dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tower-keystone-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join("token");
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn describe(error: &Error) -> String {
        let text = format!("{error:#} {error:?}");
        assert!(!text.contains("canary"), "{text}");
        text
    }

    #[tokio::test]
    async fn a_file_is_read_at_each_login() {
        let folder = Folder::new("rotated");
        let source = AccessTokenSource::file(folder.file("one\n"));
        assert_eq!(source.read().await.unwrap().expose(), "one");
        for content in ["two", "\u{feff}two\r\n", " \t\n two \n\n"] {
            folder.file(content);
            assert_eq!(source.read().await.unwrap().expose(), "two", "{content:?}");
        }
        let long = "x".repeat(MAX_FILE as usize);
        folder.file(&long);
        assert_eq!(source.read().await.unwrap().expose(), long);
    }

    #[test]
    fn a_file_is_read_without_a_tokio_runtime() {
        let folder = Folder::new("no-runtime");
        let source = AccessTokenSource::file(folder.file("token"));
        assert_eq!(tokio_test::block_on(source.read()).unwrap().expose(), "token");
        let reading = std::thread::spawn(move || {
            let mut reading = std::pin::pin!(source.read());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(matches!(reading.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(_))));
        });
        reading.join().unwrap();
    }

    #[tokio::test]
    async fn a_file_without_a_token_is_a_transient_error_that_names_it() {
        let folder = Folder::new("malformed");
        for (content, reason) in [
            (b"" as &[u8], "is empty"),
            (b" \n", "is empty"),
            (b"can ary\n", "not one access token"),
            (b"canary\ncanary\n", "not one access token"),
            ("canaryé".as_bytes(), "not one access token"),
            (b"canary\0", "not one access token"),
            (b"canary\xff", "UTF-8"),
            (&[b'x'; MAX_FILE as usize + 1], "longer than 128 KiB"),
            (&[b' '; 1024 * 1024], "longer than 128 KiB"),
        ] {
            let path = folder.file(content);
            let error = AccessTokenSource::file(&path).read().await.unwrap_err();
            let text = describe(&error);
            assert!(text.contains(reason) && text.contains(path.to_str().unwrap()), "{text}");
            assert!(error.is_transient(), "{text}");
        }
        for path in [folder.0.join("missing"), folder.0.clone()] {
            let error = AccessTokenSource::file(&path).read().await.unwrap_err();
            let text = describe(&error);
            assert!(text.contains("cannot be read") && text.contains(path.to_str().unwrap()), "{text}");
            assert!(text.contains("os error"), "{text}");
            assert!(error.is_transient(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_fixed_token_is_checked() {
        assert_eq!(AccessTokenSource::from("token").read().await.unwrap().expose(), "token");
        for token in ["", "can ary", "canary\r\nX-Evil: 1"] {
            let error = AccessTokenSource::from(token).read().await.unwrap_err();
            assert!(!error.is_transient(), "{}", describe(&error));
        }
    }

    #[tokio::test]
    async fn a_function_is_called_at_each_login() {
        let calls = Arc::new(AtomicUsize::new(0));
        let source = AccessTokenSource::function(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                match call {
                    0 => Ok("token".into()),
                    1 => Err("no network".into()),
                    2 => Err(Error::plugin(false, "not allowed").into()),
                    _ => Ok("can ary".into()),
                }
            }
        });
        assert_eq!(source.read().await.unwrap().expose(), "token");
        for (text, is_transient) in
            [("no network", true), ("not allowed", false), ("not one access token", true)]
        {
            let error = source.read().await.unwrap_err();
            assert!(describe(&error).contains(text), "{error:#}");
            assert_eq!(error.is_transient(), is_transient, "{error:#}");
        }
    }

    #[test]
    fn a_source_does_not_show_its_token() {
        assert_eq!(format!("{:?}", AccessTokenSource::from("canary")), "AccessTokenSource");
    }
}
