use std::{sync::atomic::Ordering, time::Duration};

use redis::{Cmd, RedisError, Value};

use super::{
    commands,
    error::{ServerFailure, is_not_permitted},
    link::Answer,
    redis_store::RedisStore,
};
use crate::{
    store::{EntryName, LeaseOwner, MAX_RECORD, StoreFuture, TokenStore, Version},
    task::runtime,
};

const PERMISSIONS: &str = "the user of the store needs permission for EXISTS and GETRANGE; and for EVAL, GET, SET, \
                           PEXPIRE and DEL, or for SET with IFEQ, which Valkey has from 8.1 and Redis from 8.4";

impl TokenStore for RedisStore {
    fn connect(&self) {
        if let Ok(runtime) = runtime() {
            self.link.start(&runtime);
        }
    }

    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            // A longer value is no record. One byte more than a record can have is enough to see that.
            Ok(self.read(&self.key(name), MAX_RECORD + 1).await?)
        })
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.publish_record(&self.key(name), seen, record, time_to_live).await?) })
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.take_lease(&self.lease_key(name), owner.as_str(), term).await?) })
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.extend_lease(&self.lease_key(name), owner.as_str(), term).await?) })
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.release_lease(&self.lease_key(name), owner.as_str()).await?) })
    }
}

impl RedisStore {
    /// Returns the key of an entry. Servers of a cluster are chosen by the part in braces.
    fn key(&self, name: &EntryName) -> String {
        let identity = name.identity();
        let entry = name.as_str().get(identity.len()..).unwrap_or_default();
        format!("{}{{{identity}}}{entry}", self.prefix)
    }

    fn lease_key(&self, name: &EntryName) -> String {
        format!("{}.lease", self.key(name))
    }

    /// Returns the first bytes of the value of a key.
    async fn read(&self, key: &str, max: usize) -> Result<Option<Vec<u8>>, ServerFailure> {
        let Value::BulkString(bytes) = self.ask(commands::get(key, max)).await?.0 else {
            return Err(unexpected("GETRANGE"));
        };
        if bytes.is_empty() && self.ask(commands::exists(key)).await?.0 == Value::Int(0) {
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    async fn publish_record(
        &self,
        key: &str,
        seen: Option<&Version>,
        record: &[u8],
        time: Duration,
    ) -> Result<bool, ServerFailure> {
        if record.len() > MAX_RECORD {
            return Ok(false);
        }
        let (is_published, is_sent_twice) =
            match self.run_script(commands::publish(key, seen, record, time)).await? {
                ScriptResult::Done { is_changed, is_sent_twice } => (is_changed, is_sent_twice),
                ScriptResult::NotPermitted(error) => {
                    let published = self.publish_by_set(key, seen, record, time).await;
                    self.without_scripts(published, error.as_ref())?
                }
            };
        if is_published || !is_sent_twice {
            return Ok(is_published);
        }
        // The first of the two commands may have published it.
        let current = self.read(key, Version::MAX_LENGTH).await?;
        Ok(current.is_some_and(|current| current == Version::from_record(record).as_bytes()))
    }

    /// Returns whether the record is published, and whether the command was sent twice.
    async fn publish_by_set(
        &self,
        key: &str,
        seen: Option<&Version>,
        record: &[u8],
        time: Duration,
    ) -> Result<(bool, bool), ServerFailure> {
        let (answer, is_sent_twice) = match seen {
            None => self.ask(commands::set_if_absent(key, record, time)).await?,
            Some(version) => {
                let current = self.read(key, MAX_RECORD + 1).await?;
                let Some(old) = current.filter(|current| Version::from_record(current) == *version) else {
                    return Ok((false, false));
                };
                if old.len() > MAX_RECORD {
                    return Err(ServerFailure::new(format!("the value of {key} is too long; remove it")));
                }
                self.ask(commands::set_if_equal(key, record, &old, time)).await?
            }
        };
        Ok((is_set(&answer)?, is_sent_twice))
    }

    async fn take_lease(&self, key: &str, owner: &str, term: Duration) -> Result<bool, ServerFailure> {
        let (answer, is_sent_twice) = self.ask(commands::set_if_absent(key, owner.as_bytes(), term)).await?;
        if is_set(&answer)? || !is_sent_twice {
            return is_set(&answer);
        }
        // The first of the two commands may have taken it.
        self.extend_lease(key, owner, term).await
    }

    async fn extend_lease(&self, key: &str, owner: &str, term: Duration) -> Result<bool, ServerFailure> {
        match self.run_script(commands::extend(key, owner, term)).await? {
            ScriptResult::Done { is_changed, .. } => Ok(is_changed),
            ScriptResult::NotPermitted(error) => {
                let owner = owner.as_bytes();
                let extended = self.ask(commands::set_if_equal(key, owner, owner, term)).await;
                is_set(&self.without_scripts(extended, error.as_ref())?.0)
            }
        }
    }

    async fn release_lease(&self, key: &str, owner: &str) -> Result<(), ServerFailure> {
        match self.run_script(commands::release(key, owner)).await? {
            ScriptResult::Done { .. } => Ok(()),
            ScriptResult::NotPermitted(error) => {
                let released = self.ask(commands::remove_if_equal(key, owner.as_bytes())).await;
                self.without_scripts(released, error.as_ref()).map(|_| ())
            }
        }
    }

    /// Runs a script that returns 1 or 0.
    async fn run_script(&self, script: Cmd) -> Result<ScriptResult, ServerFailure> {
        if self.is_without_scripts.load(Ordering::Relaxed) {
            return Ok(ScriptResult::NotPermitted(None));
        }
        let Answer { result, sent_twice } = self.link.send(script).await?;
        match result {
            Ok(Value::Int(number)) => {
                Ok(ScriptResult::Done { is_changed: number == 1, is_sent_twice: sent_twice })
            }
            Ok(_) => Err(unexpected("EVAL")),
            Err(error) if is_not_permitted(&error) => Ok(ScriptResult::NotPermitted(Some(error))),
            Err(error) => Err((&error).into()),
        }
    }

    /// Sends a command. Returns its answer, and whether it was sent twice.
    async fn ask(&self, command: Cmd) -> Result<(Value, bool), ServerFailure> {
        let Answer { result, sent_twice } = self.link.send(command).await?;
        match result {
            Ok(value) => Ok((value, sent_twice)),
            Err(error) => {
                let failure = ServerFailure::from(&error);
                Err(if is_not_permitted(&error) {
                    self.is_without_scripts.store(false, Ordering::Relaxed);
                    failure.context(format_args!("{PERMISSIONS}, on keys that begin with `{}`", self.prefix))
                } else {
                    failure
                })
            }
        }
    }

    /// Remembers that the commands without scripts work, or adds the error of the script to theirs.
    fn without_scripts<T>(
        &self,
        result: Result<T, ServerFailure>,
        of_script: Option<&RedisError>,
    ) -> Result<T, ServerFailure> {
        match (result, of_script) {
            (Ok(value), _) => {
                self.is_without_scripts.store(true, Ordering::Relaxed);
                Ok(value)
            }
            (Err(failure), Some(of_script)) => {
                Err(ServerFailure::new(format!("{failure}; {}", ServerFailure::from(of_script))))
            }
            (Err(failure), None) => Err(failure),
        }
    }
}

/// The result of a script.
enum ScriptResult {
    Done {
        /// The script returned 1, because it changed the value.
        is_changed: bool,
        is_sent_twice: bool,
    },
    /// The user may not run scripts. The error is missing if that is known from an earlier one.
    NotPermitted(Option<RedisError>),
}

/// Returns whether a conditional `SET` was done.
fn is_set(answer: &Value) -> Result<bool, ServerFailure> {
    match answer {
        Value::Okay => Ok(true),
        Value::Nil => Ok(false),
        _ => Err(unexpected("SET")),
    }
}

fn unexpected(command: &str) -> ServerFailure {
    ServerFailure::new(format!("unexpected answer to {command}"))
}
