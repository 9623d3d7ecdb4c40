//! A member that occurs twice in a mapping of a file is logged.
//!
//! This is a test of its own, because other threads would decide together with it whether the event is enabled.

#[path = "renewal/log.rs"]
mod log;

use std::{io, path::Path};

use log::Log;
use tower_keystone::CloudConfig;

const CLOUDS: &str = "
defaults: &defaults {auth_url: 'https://k/v3', user_id: u}
clouds:
  one:
    auth:
      password: hunter1
      <<: *defaults
      user_id: hunter2
      password: hunter3
";

const SECURE: &str = r#"{"clouds": {"one": {"auth": {"password": "hunter4"},
  "verify": true, "verify": false}}}"#;

#[test]
fn a_member_that_occurs_twice_is_logged_once_without_its_value() {
    let (log, _guard) = Log::new();
    let config = CloudConfig::builder()
        .environment([("HOME", "/home/alice")])
        .search_working_directory(false)
        .read_files_with(|path: &Path| match path.to_str() {
            Some("/etc/openstack/clouds.yaml") => Ok(CLOUDS.into()),
            Some("/etc/openstack/secure.json") => Ok(SECURE.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
        .build()
        .expect("a configuration");
    assert!(!config.tls().verify, "the last one counts");

    let log = log.take_lines();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("occurs twice")).collect();
    let [clouds, secure] = lines[..] else { panic!("{log:?}") };
    assert!(clouds.contains(" WARN ") && clouds.contains("/etc/openstack/clouds.yaml:9:7"), "{clouds}");
    assert!(clouds.contains("member=\"password\""), "{clouds}");
    assert!(secure.contains(" WARN ") && secure.contains("/etc/openstack/secure.json:2:19"), "{secure}");
    assert!(secure.contains("member=\"verify\""), "{secure}");
    assert!(!log.iter().any(|line| line.contains("hunter")), "{log:?}");
}
