use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    default_path::default_path, directory::Directory, file_error::FileError, held_leases::HeldLeases,
    key_file, network_mount::is_network_mount, sweep::Sweeps,
};
use crate::{Error, store::SharedTokens};

/// A store in files that the processes of one user on one machine share, such as the runs of a command line program.
///
/// The directory and its files must belong to the user who runs the program, and nobody else may have a permission for
/// them. Symbolic links and files with several hard links are refused too. The error names the command that repairs it.
/// A directory that does not exist is created.
///
/// The kernel holds the lock of a lease. A lease is free at once if its holder is killed, and after its term if its
/// holder is stopped.
///
/// Locks are not reliable on network file systems and on FUSE. The store logs a warning there and takes no lock:
/// several processes may then log in at the same time, and if two publish a record at the same moment, one of them is
/// lost.
///
/// Records that have ended are removed once a minute while the store is in use. Nothing is stored while the directory
/// takes more than 256 MiB.
///
/// The store exists on Unix only. On Windows use another one.
///
/// The methods of [`TokenStore`](crate::store::TokenStore) need a Tokio runtime, because they use its blocking threads.
#[derive(Clone)]
pub struct FileStore {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) has_locks: bool,
    pub(super) leases: HeldLeases,
    pub(super) sweeps: Sweeps,
}

impl FileStore {
    /// Opens the store in a directory, which is created if it does not exist.
    ///
    /// A relative path is completed now. Other files in the directory are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the directory cannot be created, or others can use it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let absolute =
            std::path::absolute(path).map_err(|error| FileError::io(path, "used as a path", error))?;
        // A separator at the end would make the system follow a symbolic link.
        let path: PathBuf = absolute.components().collect();
        let directory = Directory::open_or_create(&path)?;
        let has_locks = !is_network_mount(directory.descriptor());
        if !has_locks {
            tracing::warn!(
                directory = %path.display(),
                "the token store is on a network or FUSE file system, so several processes may log in at the same time"
            );
        }
        let inner = Inner { path, has_locks, leases: HeldLeases::default(), sweeps: Sweeps::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the store in the user's directory for caches: `$XDG_CACHE_HOME/tower-keystone`, or else
    /// `$HOME/.cache/tower-keystone`.
    ///
    /// A relative or empty path in `XDG_CACHE_HOME` does not count.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if neither variable has an absolute path, the directory cannot be created, or others can
    /// use it.
    pub fn open_default() -> Result<Self, Error> {
        Self::open_in(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
    }

    /// Opens the store in the user's directory for caches, which these values of the two variables say.
    pub(crate) fn open_in(cache_home: Option<OsString>, home: Option<OsString>) -> Result<Self, Error> {
        Self::open(default_path(cache_home, home)?)
    }

    /// Shares tokens in this store, sealed with a key that is in the directory too, in the file `key`.
    ///
    /// The first process makes the key, of random bytes. It protects a copy of an entry, but not a copy of the
    /// directory. For a key of your own use [`SharedTokens::new`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the key cannot be read or created, or others can use it.
    pub fn into_shared(self) -> Result<SharedTokens, Error> {
        let key = key_file::read_or_create(&Directory::open_or_create(&self.inner.path)?)?;
        Ok(SharedTokens::new(self, key))
    }
}

/// Shows the path.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
