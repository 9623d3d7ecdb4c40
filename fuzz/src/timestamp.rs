//! Reading the times of a token document.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tower_keystone::AccessInfo;

/// The input is an `expires_at`.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let document = serde_json::json!({"token": {"expires_at": text, "issued_at": text}});
    let access_info = AccessInfo::from_body(document.to_string()).expect("a token document");
    let read = access_info.expires();
    let soon = access_info.will_expire_soon_at(SystemTime::UNIX_EPOCH, Duration::MAX);
    let _ = (access_info.issued(), format!("{access_info:?}"));
    let Ok(Some(read)) = read else { return };
    assert!(soon.is_ok());

    // Where another reader takes it for a time too, it is the same one to the microsecond.
    let Ok(other) = text.parse::<Timestamp>() else { return };
    let micros = match read.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_micros() as i128,
        Err(before) => -(before.duration().as_nanos().div_ceil(1000) as i128),
    };
    assert_eq!(micros, other.as_nanosecond().div_euclid(1000), "{text}");
}
