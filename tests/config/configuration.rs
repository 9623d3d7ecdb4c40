//! Replays the loading of a configuration.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tower_keystone::{
    Error, Secret, Transport,
    config::{CloudConfig, CloudConfigBuilder, ConfigErrorKind},
};

use crate::{
    Case, Difference, Incomplete, authentication, comparison, error, expected, input,
    log::Log,
    servers::{self, Servers},
    service, warnings, written,
};

/// Stands for a cloud that was loaded, where another result is an error.
pub(crate) const LOADED: &str = "loaded";

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    servers::run(replay_case(case, &mut Differences(differences)))
}

/// Collects the differences of a case.
struct Differences<'a>(&'a mut Vec<Difference>);

impl Differences<'_> {
    fn compare(&mut self, subject: &str, expected: &Value, got: Value) {
        if *expected != got {
            self.add(subject, expected.clone(), got);
        }
    }

    fn add(&mut self, subject: &str, expected: Value, got: Value) {
        self.0.push(Difference { call: 0, subject: subject.to_owned(), expected, got });
    }
}

async fn replay_case(case: &Case, differences: &mut Differences<'_>) -> Result<(), Incomplete> {
    let prompts = Arc::new(Mutex::new(Vec::new()));
    let builder = with_prompt(input::with_arguments(input::builder(case), case)?, case, &prompts);
    if case.operation.as_deref() == Some("list") {
        return list(case, &builder, differences);
    }
    let (log, subscribed) = Log::new();
    let mut loaded = builder.build();
    if let Err(Error::Config(error)) = &loaded
        && let ConfigErrorKind::Profile { .. } = &error.kind
    {
        let transport = Transport::new(Servers::new(&case.exchanges));
        loaded = match builder.fetch_profile(&transport).await {
            Ok(builder) => builder.build(),
            Err(_) => loaded,
        };
    }
    let shown = json!(*prompts.lock().unwrap());
    let services = loaded.as_ref().ok().map(|config| service::all(config, case));
    let warned = warnings::from_log(case, &log.take_lines());
    drop(subscribed);
    let expect = &case.expect;
    let config = match loaded {
        Ok(config) if expect["error"].is_null() => config,
        Ok(config) => {
            let got = loaded_to_json(&config, services.unwrap_or_default(), case).await;
            differences.add("load", without_warnings(expect), got);
            return Ok(());
        }
        Err(error) => {
            compare_error(case, &error, warned, differences);
            return Ok(());
        }
    };
    differences.compare("warnings", &expected::warnings(expect), warned);
    let got = cloud_to_json(&config);
    for (member, expected) in &expected::cloud(case) {
        differences.compare(member, expected, got[member].clone());
    }
    let prompted = json!(expect["prompts"].as_array().cloned().unwrap_or_default());
    differences.compare("prompts", &prompted, shown);
    for (service, got) in services.unwrap_or_default() {
        service::compare(&service, &expect["services"][&service], got, |subject, expected, got| {
            differences.compare(subject, expected, got);
        });
    }
    if expect["authentication"].is_object() {
        let servers = Servers::new(&case.exchanges);
        let done = authentication::authenticate(&config, &servers).await;
        let expected = expected::authentication(&expect["authentication"]);
        comparison::compare(differences.0, (0, "authentication"), &expected, done.result);
        let requests = (done.requests, Vec::new());
        comparison::compare_requests(
            differences.0,
            (0, "authentication"),
            &expect["authentication"],
            requests,
        );
    }
    Ok(())
}

fn compare_error(case: &Case, error: &Error, warned: Value, differences: &mut Differences<'_>) {
    let expect = &case.expect;
    let got = error::to_json(error);
    if !written::has_place(case, &got["location"]) {
        differences.add("location", "a place in the case".into(), got["location"].clone());
    }
    if expect["error"].is_string() && error::is_expected(expect, &got) {
        return differences.compare("warnings", &expected::warnings(expect), warned);
    }
    let expected = if expect["error"].is_string() { without_warnings(expect) } else { LOADED.into() };
    differences.add("load", expected, got);
}

/// Adds the function that answers prompts, if the case has one.
fn with_prompt(
    builder: CloudConfigBuilder,
    case: &Case,
    prompts: &Arc<Mutex<Vec<String>>>,
) -> CloudConfigBuilder {
    let Some(typed) = case.options.password_callback.clone() else { return builder };
    let prompts = Arc::clone(prompts);
    builder.prompt(move |prompt| {
        prompts.lock().unwrap().push(prompt.to_owned());
        Ok(Secret::new(&*typed))
    })
}

/// Compares the names of all clouds, and the clouds and regions that can be loaded.
fn list(
    case: &Case,
    builder: &CloudConfigBuilder,
    differences: &mut Differences<'_>,
) -> Result<(), Incomplete> {
    let names = match builder.names() {
        Ok(names) => names,
        Err(error) => {
            differences.add("load", LOADED.into(), error::to_json(&error));
            return Ok(());
        }
    };
    let mut clouds = Vec::new();
    for name in &names {
        let cloud = builder.clone().cloud(name);
        let mut regions = cloud.region_names().unwrap_or_default();
        if regions.is_empty() {
            regions.push(String::new());
        }
        for region in regions {
            let selected = if region.is_empty() { cloud.clone() } else { cloud.clone().region_name(&region) };
            if selected.build().is_ok() {
                clouds.push(json!([name, region]));
            }
        }
    }
    differences.compare("names", &case.expect["names"], json!(names));
    differences.compare("clouds", &case.expect["clouds"], clouds.into());
    Ok(())
}

fn without_warnings(expect: &Value) -> Value {
    let mut error = expect.clone();
    if let Some(members) = error.as_object_mut() {
        members.remove("warnings");
    }
    error
}

/// Returns the properties of a cloud, as [`expected::cloud`] does.
fn cloud_to_json(config: &CloudConfig) -> Value {
    let tls = config.tls();
    let verify = match &tls.cacert {
        Some(path) if tls.verify => json!(path),
        _ => tls.verify.into(),
    };
    let cert = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => json!([cert, key]),
        (cert, _) => json!(cert),
    };
    json!({
        "cloud": config.name(),
        "region_name": config.region_name(),
        "config_file": config.config_file(),
        "secure_file": config.secure_file(),
        "auth_type": config.auth_type(),
        "interface": config.interfaces().iter().map(|interface| interface.as_str()).collect::<Vec<_>>(),
        "tls": {"verify": verify, "cert": cert},
        "timeout": config.api_timeout().map(|timeout| timeout.as_secs_f64()),
        "force_ipv4": config.force_ipv4(),
    })
}

/// Returns all that is compared of a loaded cloud.
async fn loaded_to_json(config: &CloudConfig, services: Vec<(String, Value)>, case: &Case) -> Value {
    let mut all = cloud_to_json(config);
    all["services"] = services.into_iter().collect::<Map<_, _>>().into();
    let done = authentication::authenticate(config, &Servers::new(&case.exchanges)).await;
    all["authentication"] = done.result.unwrap_or_else(|error| error);
    // `requests` would not be changed when the precision of the rules is checked.
    all["sent"] = done.requests.into();
    all
}
