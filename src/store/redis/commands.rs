use std::time::Duration;

use redis::{Cmd, cmd};

use crate::store::Version;

/// Replaces a value if it still begins with the first argument. The second argument says whether there is a value, as a
/// value can also be empty.
const PUBLISH: &str = "\
local version = redis.call('GETRANGE', KEYS[1], 0, 47)
if version ~= ARGV[1] then
  return 0
end
if version == '' and redis.call('EXISTS', KEYS[1]) ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1";

const EXTEND: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0";

const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0";

/// Maximum time that is sent, in milliseconds: 30 years. Servers reject times that overflow their clock.
const MAX_TIME: u128 = 30 * 365 * 24 * 60 * 60 * 1_000;

/// Reads the first bytes of a value. The answer is empty if there is none.
pub(super) fn get(key: &str, max: usize) -> Cmd {
    let mut get = cmd("GETRANGE");
    get.arg(key).arg(0).arg(max.saturating_sub(1));
    get
}

pub(super) fn exists(key: &str) -> Cmd {
    let mut exists = cmd("EXISTS");
    exists.arg(key);
    exists
}

pub(super) fn publish(key: &str, seen: Option<&Version>, record: &[u8], time_to_live: Duration) -> Cmd {
    let mut publish = eval(PUBLISH, key);
    publish.arg(seen.map(Version::as_bytes).unwrap_or_default()).arg(u8::from(seen.is_some()));
    publish.arg(record).arg(milliseconds(time_to_live));
    publish
}

pub(super) fn extend(key: &str, owner: &str, term: Duration) -> Cmd {
    let mut extend = eval(EXTEND, key);
    extend.arg(owner).arg(milliseconds(term));
    extend
}

pub(super) fn release(key: &str, owner: &str) -> Cmd {
    let mut release = eval(RELEASE, key);
    release.arg(owner);
    release
}

fn eval(script: &str, key: &str) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(1).arg(key);
    eval
}

/// Stores a value if there is none.
pub(super) fn set_if_absent(key: &str, value: &[u8], time: Duration) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg(value).arg("NX").arg("PX").arg(milliseconds(time));
    set
}

/// Replaces a value if it is the old one.
pub(super) fn set_if_equal(key: &str, value: &[u8], old: &[u8], time: Duration) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg(value).arg("IFEQ").arg(old).arg("PX").arg(milliseconds(time));
    set
}

/// Removes a value if it is this one, by an end that is long over.
///
/// Valkey and Redis have different commands for this, but both have this one.
pub(super) fn remove_if_equal(key: &str, value: &[u8]) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg(value).arg("IFEQ").arg(value).arg("PXAT").arg(1);
    set
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().clamp(1, MAX_TIME)).unwrap_or(1)
}
