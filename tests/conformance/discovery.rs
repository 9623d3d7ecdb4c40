//! Endpoints and their versions, and the requests that it took to find them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tower_keystone::{
    EndpointFilter, Error, IdentityPlugin, Interface, Transport,
    access::IdentityVersion,
    discovery::{Allow, Discovery, Endpoint, Version, VersionData, VersionDocument, VersionRange},
};

use crate::{
    Case, Replayed, compare,
    plugins::{Described, Plugin},
    servers::{self, Servers},
    versions::{given, parts},
};

pub(crate) fn replay(case: &Case) -> Replayed {
    servers::run(replay_on(case))
}

async fn replay_on(case: &Case) -> Replayed {
    let mut differences = Vec::new();
    let servers = Servers::new(&case.exchanges);
    // The reference does not remember failures.
    let discovery = Discovery::new(Transport::new(servers.clone())).remember(HOUR, Duration::ZERO);
    let described = case.plugin();
    let mut asked = Asked { discovery, plugin: None, spelling: IdentityVersion::V3, endpoint: None };
    match &described {
        Some(described) if described.kind == "endpoint_data" => asked.endpoint = Some(endpoint(described)),
        Some(described) => match Plugin::new(described, &servers) {
            Ok(plugin) => {
                if let Plugin::AccessInfo(_, access_info) = &plugin {
                    asked.spelling = access_info.version();
                }
                asked.plugin = Some(plugin);
            }
            Err(error) => {
                let error = error.to_string();
                compare(&mut differences, "construct", &case.expect["construct"], Err(error));
                return Ok(differences);
            }
        },
        None => {}
    }
    let start = asked.endpoint.clone();
    let expected = case.expect["calls"].as_array().expect("an answer for each call");
    let calls = case.input["calls"].as_array().expect("calls");
    for (call, expected) in calls.iter().zip(expected) {
        let (op, args) = (call["op"].as_str().expect("an operation"), call["args"].as_object());
        if call.get("chain").is_none() {
            asked.endpoint.clone_from(&start);
        }
        let since = Instant::now();
        let got = asked.answer(op, args.expect("arguments")).await;
        let (sent, _) = servers.take_sent(since);
        let sent: Value = sent
            .iter()
            .map(|request| {
                let token = request["headers"].get("x-auth-token").is_some();
                json!({"method": request["method"], "url": request["url"], "token": token})
            })
            .collect();
        let failed = got.is_err();
        compare(&mut differences, op, expected, got.map_err(class));
        compare(&mut differences, &format!("{op}: requests"), &expected["requests"], Ok(sent));
        if failed && expected.get("error").is_none() && call.get("chain").is_some() {
            break;
        }
    }
    Ok(differences)
}

const HOUR: Duration = Duration::from_secs(3600);

/// Whom the calls of a case are made on.
struct Asked {
    discovery: Discovery,
    plugin: Option<Plugin>,
    /// How interfaces are spelled in the catalog of the case.
    spelling: IdentityVersion,
    /// The endpoint data of the case, or of the call before.
    endpoint: Option<Endpoint>,
}

impl Asked {
    async fn answer(&mut self, op: &str, args: &Map<String, Value>) -> Result<Value, Error> {
        if let Some(op) = op.strip_prefix("discover.") {
            let document = self.discovery.document(args["url"].as_str().expect("a URL")).await?;
            return document_answer(&document, op, args);
        }
        if matches!(op, "get_versioned_data" | "get_current_versioned_data") {
            return self.versioned_data(op, args).await;
        }
        let plugin = self.plugin.as_ref().expect("a plugin").shared();
        let filter = filter(args)?;
        if op == "get_all_version_data" {
            let all = self.discovery.all_version_data(&*plugin, &filter).await?;
            return Ok(all
                .iter()
                .map(|(region, interfaces)| {
                    let interfaces: Map<_, _> = interfaces
                        .iter()
                        .map(|(interface, services)| {
                            let services: Map<_, _> = services
                                .iter()
                                .map(|(service, versions)| {
                                    let versions =
                                        versions.iter().map(|data| version_data(data, text)).collect();
                                    (service.to_string(), versions)
                                })
                                .collect();
                            (interface.to_string(), Value::Object(services))
                        })
                        .collect();
                    (region.to_string(), Value::Object(interfaces))
                })
                .collect());
        }
        let answer = self.endpoint_answer(&*plugin, op, args, &filter).await;
        match answer {
            // The reference has no endpoint then, and does not say why.
            Err(Error::DiscoveryFailure(_) | Error::NoAuthUrl | Error::NoEndpointFilter) => Ok(Value::Null),
            answer => answer,
        }
    }

    async fn endpoint_answer(
        &self,
        plugin: &dyn IdentityPlugin,
        op: &str,
        args: &Map<String, Value>,
        filter: &EndpointFilter,
    ) -> Result<Value, Error> {
        let discover_versions = args.get("discover_versions").and_then(Value::as_bool);
        let skipped = args.get("skip_discovery") == Some(&Value::Bool(true));
        if op == "get_api_major_version" && !skipped && discover_versions != Some(true) {
            let version = self.discovery.api_major_version(plugin, filter).await?;
            return Ok(json!(version.map(parts)));
        }
        let endpoint = if skipped {
            let access = plugin.access().await?;
            Endpoint::undiscovered(filter, Some(&access), plugin.auth_url())?
        } else if op != "get_endpoint" && discover_versions != Some(false) {
            self.discovery.endpoint_data(plugin, filter).await?
        } else {
            self.discovery.endpoint(plugin, filter).await?
        };
        Ok(match op {
            "get_endpoint" => json!(endpoint.url()),
            "get_api_major_version" => json!(endpoint.api_version().map(parts)),
            _ => self.endpoint_data(&endpoint),
        })
    }

    async fn versioned_data(&mut self, op: &str, args: &Map<String, Value>) -> Result<Value, Error> {
        let endpoint = self.endpoint.clone().expect("endpoint data");
        let mut filter = filter(args)?;
        let mut project_id = args.get("project_id").and_then(Value::as_str);
        if op == "get_current_versioned_data" {
            // The reference's own, which looks for the version that the URL names, and for no project.
            project_id = None;
            if let Some(version) = endpoint.api_version() {
                filter = filter.version(version.major, version.minor);
            }
        }
        let discover = args.get("discover_versions") != Some(&Value::Bool(false));
        let found = self.discovery.versioned_data(&endpoint, &filter, project_id, discover).await?;
        let answer = self.endpoint_data(&found);
        self.endpoint = Some(found);
        Ok(answer)
    }

    fn endpoint_data(&self, endpoint: &Endpoint) -> Value {
        let found = endpoint.version.as_ref();
        json!({
            "url": endpoint.url(),
            "catalog_url": endpoint.catalog_url,
            "service_url": endpoint.service_url,
            "service_type": endpoint.service_type,
            "service_name": endpoint.service_name,
            "service_id": endpoint.service_id,
            "interface": endpoint.interface.as_ref().map(|interface| self.spelled(interface)),
            "region_name": endpoint.region_name,
            "endpoint_id": endpoint.endpoint_id,
            "api_version": endpoint.api_version().map(parts),
            "major_version": null,
            "min_microversion": endpoint.min_microversion().map(parts),
            "max_microversion": endpoint.max_microversion().map(parts),
            "next_min_version": found.and_then(|found| found.next_min_version).map(parts),
            "not_before": found.and_then(|found| found.not_before.as_deref()),
            "status": endpoint.status().map(|status| status.to_string()),
        })
    }

    /// One interface has two spellings: the reference answers in that of the document's version.
    fn spelled(&self, interface: &Interface) -> String {
        match self.spelling {
            IdentityVersion::V2 => format!("{interface}URL"),
            _ => interface.to_string(),
        }
    }
}

/// An operation on a version document.
fn document_answer(document: &VersionDocument, op: &str, args: &Map<String, Value>) -> Result<Value, Error> {
    let allow = allow(args);
    let arg = |name: &str| given(args.get(name).unwrap_or(&Value::Null));
    let reverse = args.get("reverse") == Some(&Value::Bool(true));
    let all = |spelled: fn(Version) -> Value| -> Value {
        let mut all: Vec<_> = document.version_data(allow).collect();
        if reverse {
            // Equal versions stay in their order.
            all.sort_by_key(|data| std::cmp::Reverse(data.version));
        }
        all.into_iter().map(|data| version_data(data, spelled)).collect()
    };
    let range = || VersionRange::new(None, arg("min_version")?, arg("max_version")?);
    let version = || arg("version")?.ok_or(Error::NoDiscovery);
    let at = args.get("match_url").and_then(Value::as_str);
    Ok(match op {
        "raw_version_data" => document
            .raw_version_data(allow)
            .map(|entry| serde_json::from_str::<Value>(entry.get()).expect("JSON"))
            .collect(),
        "version_data" => all(parts),
        "version_string_data" => all(text),
        "data_for" => json!(document.data_for(version()?, allow).map(|data| version_data(data, parts))),
        "url_for" => json!(document.data_for(version()?, allow).map(|data| &*data.url)),
        "versioned_data_for" => {
            let found = document.versioned_data_for(range()?, at, allow);
            json!(found.map(|data| version_data(data, parts)))
        }
        "versioned_url_for" => {
            json!(document.versioned_data_for(range()?, None, allow).map(|data| &*data.url))
        }
        other => panic!("{other} is unknown"),
    })
}

/// Version data, with its version and microversions in one spelling.
fn version_data(data: &VersionData, spelled: fn(Version) -> Value) -> Value {
    json!({
        "version": data.version.map(spelled),
        "url": data.url,
        "collection": data.collection,
        "min_microversion": data.min_microversion.map(spelled),
        "max_microversion": data.max_microversion.map(spelled),
        "next_min_version": data.next_min_version.map(parts),
        "not_before": data.not_before,
        "status": data.status.to_string(),
        "raw_status": data.raw_status,
    })
}

fn text(version: Version) -> Value {
    version.to_string().into()
}

fn allow(args: &Map<String, Value>) -> Allow {
    let mut allow = Allow::default();
    let said = |name: &str, before: bool| args.get(name).and_then(Value::as_bool).unwrap_or(before);
    allow.experimental = said("allow_experimental", allow.experimental);
    allow.deprecated = said("allow_deprecated", allow.deprecated);
    allow.unknown = said("allow_unknown", allow.unknown);
    allow
}

/// The endpoint that arguments ask for, by the names that the reference has for them everywhere.
pub(crate) fn filter(args: &Map<String, Value>) -> Result<EndpointFilter, Error> {
    let said = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut filter = EndpointFilter::new(said("service_type"))
        .region(said("region_name"))
        .service_name(said("service_name"))
        .service_id(said("service_id"))
        .endpoint_id(said("endpoint_id"))
        .endpoint_override(said("endpoint_override"));
    filter = match args.get("interface") {
        Some(Value::Object(_)) => filter.interface(Interface::Auth),
        Some(Value::String(name)) if !name.is_empty() => filter.interface(name.as_str()),
        Some(Value::Array(names)) => filter.interfaces(names.iter().filter_map(Value::as_str)),
        Some(Value::Null) => filter.any_interface(),
        _ => filter,
    };
    type Setter = fn(EndpointFilter, u32, u32) -> EndpointFilter;
    let setters: [(&str, Setter); 3] = [
        ("version", EndpointFilter::version),
        ("min_version", EndpointFilter::min_version),
        ("max_version", EndpointFilter::max_version),
    ];
    for (name, set) in setters {
        if let Some(version) = given(args.get(name).unwrap_or(&Value::Null))? {
            filter = set(filter, version.major, version.minor);
        }
    }
    if let Some(Value::Object(allowed)) = args.get("allow") {
        filter = filter.allow(allow(allowed));
    }
    if args.get("allow_version_hack") == Some(&Value::Bool(false)) {
        filter = filter.no_version_hack();
    }
    Ok(filter)
}

/// The endpoint data that a case starts with.
fn endpoint(described: &Described) -> Endpoint {
    let mut endpoint = Endpoint::default();
    endpoint.catalog_url = described.text("catalog_url");
    endpoint.service_url = described.text("service_url");
    endpoint.service_type = described.text("service_type");
    endpoint.service_name = described.text("service_name");
    endpoint.service_id = described.text("service_id");
    endpoint.interface = described.text("interface").map(|name| Interface::from(&*name));
    endpoint.region_name = described.text("region_name");
    endpoint.endpoint_id = described.text("endpoint_id");
    endpoint
}

fn class(error: Error) -> String {
    match error {
        Error::EmptyCatalog => "EmptyCatalog".to_owned(),
        Error::EndpointNotFound(_) => "EndpointNotFound".to_owned(),
        Error::DiscoveryFailure(_) => "DiscoveryFailure".to_owned(),
        other => other.to_string(),
    }
}
