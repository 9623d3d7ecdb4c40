//! Loading a configuration from files and variables.

use std::{collections::HashMap, error::Error as _, io, path::Path, sync::Arc};

use bytes::Bytes;
use http::Response;
use tower_keystone::{
    CloudConfig, Error,
    config::{CloudConfigBuilder, ConfigErrorKind, ConfigLocation},
};

use crate::{input, requests::keystone};

/// The secrets of the corpus contain this text.
const CANARY: &str = "CANARY";

/// What stands before the canary in files of the corpus. A mutation can move it to a place that is no secret.
const BEFORE_SECRETS: [&str; 5] = ["password: ", "secret: ", "token: ", "passcode: ", "\"password\": \""];

/// The input has variables (`OS_CLOUD=one`), one a line. Then come files, each after a line such as `=== clouds.yaml`.
pub fn run(input: &[u8]) {
    let (variables, files) = split(input);
    let lines: HashMap<_, _> =
        files.iter().map(|(name, file)| (name.clone(), 1 + file.split(is_line_end).count())).collect();
    let checked = Checked { lines, no_canary: has_canaries_in_secrets_only(input) };
    let builder = CloudConfig::builder().environment(variables).working_directory("/work").read_files_with(
        move |path: &Path| {
            let name = path.strip_prefix("/etc/openstack").ok().and_then(Path::to_str);
            name.and_then(|name| files.get(name).cloned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        },
    );

    checked.load(&builder);
    checked.load(&builder.clone().load_envvars(false));
    let names = match builder.names() {
        Ok(names) => names,
        Err(error) => return checked.look_at(&error),
    };
    // An empty name counts as no name.
    for name in names.iter().filter(|name| !name.is_empty()).take(8) {
        let builder = builder.clone().cloud(name);
        if let Some(kind) = checked.load(&builder) {
            assert!(
                !matches!(kind, ConfigErrorKind::CloudNotFound { .. }),
                "{name:?} is listed, and then not found"
            );
        }
        let regions = match builder.region_names() {
            Ok(regions) => regions,
            Err(error) => {
                checked.look_at(&error);
                continue;
            }
        };
        for region in regions.iter().take(4) {
            if let Some(kind) = checked.load(&builder.clone().region_name(region)) {
                assert!(
                    !matches!(kind, ConfigErrorKind::RegionNotFound { .. }),
                    "{region:?} is listed, and then not found"
                );
            }
        }
        checked.load(&builder.clone().region_name("R9"));
        checked.load(&builder.clone().set("verify", "no").set_auth("password", CANARY));
    }
}

/// What errors are compared with.
struct Checked {
    /// The number of lines of each file, or one more.
    lines: HashMap<String, usize>,
    no_canary: bool,
}

impl Checked {
    /// Loads a cloud and reads all that it offers. Returns what is wrong if that fails.
    fn load(&self, builder: &CloudConfigBuilder) -> Option<ConfigErrorKind> {
        let _ = format!("{builder:?}");
        let config = match builder.build() {
            Ok(config) => config,
            Err(error) => {
                self.look_at(&error);
                let Error::Config(error) = error else { panic!("{error:?}") };
                return Some(error.kind.clone());
            }
        };
        let shown = format!("{config:?}");
        let names = [config.name(), config.region_name()];
        if !names.into_iter().flatten().any(|name| name.contains(CANARY)) {
            self.assert_no_secret(&shown);
        }
        let _ = (config.credentials().is_some(), config.force_ipv4(), config.api_timeout(), config.tls());
        let _ = format!("{:?}", config.interfaces());
        let _ = config.layer(keystone(Response::new(Bytes::new())));
        for service_type in ["compute", "identity", "block-storage", "volumev3", "network", "my-own", ""] {
            match config.service(service_type) {
                Ok(service) => drop(format!("{:?}", service.endpoint())),
                Err(error) => self.look_at(&error),
            }
        }
        None
    }

    /// Checks that an error names an existing place and no secret.
    fn look_at(&self, error: &Error) {
        let shown = format!("{error} {error:?} {:?}", error.source());
        assert!(shown.len() < 5_000_000, "{} bytes", shown.len());
        let Error::Config(error) = error else { panic!("{shown}") };
        if let Some(ConfigLocation::File { path, line, column, .. }) = &error.location {
            let lines = path.file_name().and_then(|name| self.lines.get(name.to_str()?));
            assert!(lines.is_none_or(|lines| (1..=*lines).contains(line)) && *column > 0, "{shown}");
        }
        match &error.kind {
            // These name clouds, regions, profiles and auth types.
            ConfigErrorKind::CloudNotFound { .. }
            | ConfigErrorKind::RegionNotFound { .. }
            | ConfigErrorKind::UnknownAuthType { .. }
            | ConfigErrorKind::Profile { .. } => {}
            ConfigErrorKind::Syntax { .. } => {
                assert!(error.location.is_some(), "{shown}");
                self.assert_no_secret(&shown);
            }
            _ => self.assert_no_secret(&shown),
        }
    }

    fn assert_no_secret(&self, shown: &str) {
        assert!(!self.no_canary || !shown.contains(CANARY), "{shown}");
    }
}

type Files = Arc<HashMap<String, Vec<u8>>>;

fn split(input: &[u8]) -> (Vec<(String, String)>, Files) {
    let mut variables = vec![("HOME".to_owned(), "/home/alice".to_owned())];
    let mut files = HashMap::new();
    let mut current: Option<String> = None;
    let mut rest = input;
    while !rest.is_empty() {
        let (line, after) = input::line(rest);
        let with_end = &rest[..rest.len() - after.len()];
        rest = after;
        if let Some(name) = line.strip_prefix(b"=== ") {
            current = Some(String::from_utf8_lossy(name).into_owned());
        } else if let Some(name) = &current {
            files.entry(name.clone()).or_insert_with(Vec::new).extend_from_slice(with_end);
        } else if let Some((name, value)) = String::from_utf8_lossy(line).split_once('=') {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    (variables, Arc::new(files))
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn has_canaries_in_secrets_only(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let (variables, files) = text.split_once("=== ").unwrap_or((&text, ""));
    variables.lines().all(|line| line.starts_with("OS_PASSWORD=") || !line.contains(CANARY))
        && files
            .match_indices(CANARY)
            .all(|(at, _)| BEFORE_SECRETS.iter().any(|before| files[..at].ends_with(before)))
}
