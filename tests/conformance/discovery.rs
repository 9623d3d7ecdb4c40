//! Endpoints and their versions, and the requests that find them.

use serde_json::{Map, Value, json};
use tower_keystone::{
    EndpointFilter, Error, IdentityPlugin, Interface,
    access::IdentityVersion,
    discovery::{Allow, Discovery, Endpoint, Version, VersionData, VersionDocument, VersionRange},
};

use crate::{
    Case, Difference, Unanswered,
    arguments::{Args, text},
    comparison::Failed,
    operations,
    plugins::{Described, Plugin},
    versions::{parts, version_arg},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Unanswered> {
    operations::replay(case, differences, brief)
}

/// A request in the form of this file.
fn brief(request: &Value) -> Value {
    let token = request["headers"].get("x-auth-token").is_some();
    json!({"method": request["method"], "url": request["url"], "token": token})
}

/// Whom the calls of a case are made on, beside the plugin.
pub(crate) struct Asked {
    discovery: Discovery,
    /// How interfaces are spelled in the catalog of the case.
    spelling: IdentityVersion,
    /// The endpoint data of the case, or of the call before.
    pub(crate) endpoint: Option<Endpoint>,
}

impl Asked {
    pub(crate) fn new(discovery: Discovery, plugin: Option<&Plugin>) -> Self {
        let spelling = match plugin {
            Some(Plugin::AccessInfo(_, access_info)) => access_info.version(),
            _ => IdentityVersion::V3,
        };
        Self { discovery, spelling, endpoint: None }
    }

    pub(crate) async fn of_document(&self, op: &str, args: Args<'_>) -> Result<Value, Failed> {
        if args.flag("authenticated")? == Some(true) {
            return Err(
                Unanswered::NotExpressible("a version document fetched with a token".to_owned()).into()
            );
        }
        let document = self.discovery.document(args.text("url")?.unwrap_or_default()).await?;
        document_answer(&document, op, args)
    }

    pub(crate) async fn of_plugin(
        &mut self,
        plugin: &dyn IdentityPlugin,
        op: &str,
        args: Args<'_>,
    ) -> Result<Value, Failed> {
        if op == "get_endpoint" && args.given("discover_versions").is_some() {
            return Err(Unanswered::NotExpressible("get_endpoint with discover_versions".to_owned()).into());
        }
        // It takes a range alone, and does not see a version.
        let without: Map<_, _> = args.members().filter(|(name, _)| name != "version").collect();
        let without = Value::Object(without);
        let filter = filter(if op == "get_endpoint_data" { Args::new(&without)? } else { args })?;
        if op == "get_all_version_data" {
            // It alone has no default in place of what is given as null.
            let filter =
                if args.given("interface") == Some(&Value::Null) { filter.any_interface() } else { filter };
            let all = self.discovery.all_version_data(plugin, &filter).await?;
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
                                        versions.iter().map(|data| version_data(data, spelled)).collect();
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
        match self.endpoint_answer(plugin, op, args, &filter).await {
            // The reference has no endpoint then, and does not say why.
            Err(Failed::Error(Error::DiscoveryFailure(_) | Error::NoAuthUrl | Error::NoEndpointFilter)) => {
                Ok(Value::Null)
            }
            answer => answer,
        }
    }

    async fn endpoint_answer(
        &mut self,
        plugin: &dyn IdentityPlugin,
        op: &str,
        args: Args<'_>,
        filter: &EndpointFilter,
    ) -> Result<Value, Failed> {
        let discover_versions = args.flag("discover_versions")?;
        let skipped = args.flag("skip_discovery")? == Some(true);
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
            _ => {
                let answer = self.endpoint_data(&endpoint);
                self.endpoint = Some(endpoint);
                answer
            }
        })
    }

    /// Asks the endpoint of the case, or that of the call before.
    pub(crate) async fn of_endpoint(&mut self, op: &str, args: Args<'_>) -> Result<Value, Failed> {
        if op == "get_all_version_string_data" {
            return Err(Unanswered::NotExpressible("all versions of one endpoint data".to_owned()).into());
        }
        let without = || Unanswered::Malformed(format!("{op} without endpoint data"));
        let endpoint = self.endpoint.clone().ok_or_else(without)?;
        let mut filter = filter(args)?;
        let mut project_id = args.text("project_id")?;
        if op == "get_current_versioned_data" {
            // The reference's own, which looks for the version that the URL names, and for no project.
            project_id = None;
            if let Some(version) = endpoint.api_version() {
                filter = filter.version(version.major, version.minor);
            }
        }
        let discover = args.flag("discover_versions")? != Some(false);
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
fn document_answer(document: &VersionDocument, op: &str, args: Args<'_>) -> Result<Value, Failed> {
    let allow = allow(args)?;
    let reverse = args.flag("reverse")? == Some(true);
    let all = |spelled: fn(Version) -> Value| -> Value {
        let mut all: Vec<_> = document.version_data(allow).collect();
        if reverse {
            // Equal versions stay in their order.
            all.sort_by_key(|data| std::cmp::Reverse(data.version));
        }
        all.into_iter().map(|data| version_data(data, spelled)).collect()
    };
    let range = || -> Result<_, Failed> {
        Ok(VersionRange::new(None, version_arg(args, "min_version")?, version_arg(args, "max_version")?)?)
    };
    let version = || -> Result<_, Failed> { Ok(version_arg(args, "version")?.ok_or(Error::NoDiscovery)?) };
    let at = args.text("match_url")?;
    Ok(match op {
        "raw_version_data" => document
            .raw_version_data(allow)
            .map(|entry| serde_json::from_str::<Value>(entry.get()).unwrap_or_default())
            .collect(),
        "version_data" => all(parts),
        "version_string_data" => all(spelled),
        "data_for" => json!(document.data_for(version()?, allow).map(|data| version_data(data, parts))),
        "url_for" => json!(document.data_for(version()?, allow).map(|data| &*data.url)),
        "versioned_data_for" => {
            let found = document.versioned_data_for(range()?, at, allow);
            json!(found.map(|data| version_data(data, parts)))
        }
        "versioned_url_for" => {
            json!(document.versioned_data_for(range()?, None, allow).map(|data| &*data.url))
        }
        other => return Err(Unanswered::Malformed(format!("no such operation: discover.{other}")).into()),
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

fn spelled(version: Version) -> Value {
    version.to_string().into()
}

fn allow(args: Args<'_>) -> Result<Allow, Unanswered> {
    let mut allow = Allow::default();
    allow.experimental = args.flag("allow_experimental")?.unwrap_or(allow.experimental);
    allow.deprecated = args.flag("allow_deprecated")?.unwrap_or(allow.deprecated);
    allow.unknown = args.flag("allow_unknown")?.unwrap_or(allow.unknown);
    Ok(allow)
}

/// The endpoint that arguments ask for, by the names that the reference has for them everywhere.
pub(crate) fn filter(args: Args<'_>) -> Result<EndpointFilter, Failed> {
    let mut filter = EndpointFilter::new(args.text("service_type")?.unwrap_or_default())
        .region(args.text("region_name")?.unwrap_or_default())
        .service_name(args.text("service_name")?.unwrap_or_default())
        .endpoint_override(args.text("endpoint_override")?.unwrap_or_default());
    filter = match args.get("interface") {
        Some(Value::Object(sentinel)) if sentinel.get("auth_interface") == Some(&Value::Bool(true)) => {
            filter.interface(Interface::Auth)
        }
        Some(Value::Array(names)) if !names.is_empty() => {
            let names = names.iter().map(|name| text(name, "an interface")).collect::<Result<Vec<_>, _>>()?;
            filter.interfaces(names)
        }
        None | Some(Value::Array(_)) => filter,
        Some(_) => match args.text("interface")? {
            Some(name) if !name.is_empty() => filter.interface(name),
            _ => filter,
        },
    };
    type Setter = fn(EndpointFilter, u32, u32) -> EndpointFilter;
    let setters: [(&str, Setter); 3] = [
        ("version", EndpointFilter::version),
        ("min_version", EndpointFilter::min_version),
        ("max_version", EndpointFilter::max_version),
    ];
    for (name, set) in setters {
        if let Some(version) = version_arg(args, name)? {
            if version != Version::new(version.major, version.minor) {
                return Err(
                    Unanswered::NotExpressible("a filter for a version of three parts".to_owned()).into()
                );
            }
            filter = set(filter, version.major, version.minor);
        }
    }
    filter = filter.allow(allow(args.object("allow")?)?);
    if args.flag("allow_version_hack")? == Some(false) {
        filter = filter.no_version_hack();
    }
    Ok(filter)
}

/// The endpoint data that a case starts with.
pub(crate) fn endpoint(described: &Described) -> Result<Endpoint, Unanswered> {
    let mut endpoint = Endpoint::default();
    endpoint.catalog_url = described.get("catalog_url")?;
    endpoint.service_url = described.get("service_url")?;
    endpoint.service_type = described.get("service_type")?;
    endpoint.service_name = described.get("service_name")?;
    endpoint.service_id = described.get("service_id")?;
    endpoint.interface = described.get::<Box<str>>("interface")?.map(|name| Interface::from(&*name));
    endpoint.region_name = described.get("region_name")?;
    endpoint.endpoint_id = described.get("endpoint_id")?;
    Ok(endpoint)
}
