//! A member that occurs twice in a mapping of a file is logged.
//!
//! This is a test of its own, because other threads would decide together with it whether the event is enabled.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

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
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let config = tracing::subscriber::with_default(subscriber, || {
        CloudConfig::builder()
            .environment([("HOME", "/home/alice")])
            .search_working_directory(false)
            .read_files_with(|path: &Path| match path.to_str() {
                Some("/etc/openstack/clouds.yaml") => Ok(CLOUDS.into()),
                Some("/etc/openstack/secure.json") => Ok(SECURE.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            })
            .build()
            .expect("a configuration")
    });
    assert!(!config.tls().verify, "the last one counts");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("occurs twice")).collect();
    let [clouds, secure] = lines[..] else { panic!("{log}") };
    assert!(clouds.contains(" WARN ") && clouds.contains("/etc/openstack/clouds.yaml:9:7"), "{clouds}");
    assert!(clouds.contains("member=\"password\""), "{clouds}");
    assert!(secure.contains(" WARN ") && secure.contains("/etc/openstack/secure.json:2:19"), "{secure}");
    assert!(secure.contains("member=\"verify\""), "{secure}");
    assert!(!log.contains("hunter"), "{log}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
