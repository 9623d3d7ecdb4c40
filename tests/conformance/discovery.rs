//! Endpoints, their versions, and the requests that discover them.

use serde_json::{Map, Value, json};
use tower_keystone::{
    EndpointFilter, Error, IdentityPlugin, Interface,
    access::IdentityVersion,
    discovery::{Allow, Discovery, Endpoint, Version, VersionData, VersionDocument, VersionRange},
};

use crate::{
    Case, Difference, Incomplete,
    arguments::{Args, text},
    comparison::CallError,
    operations,
    plugins::{Plugin, PluginSpec},
    versions::{parts, version_arg},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    operations::replay(case, differences, request_summary)
}

/// Returns a request in the format of this file.
fn request_summary(request: &Value) -> Value {
    let token = request["headers"].get("x-auth-token").is_some();
    json!({"method": request["method"], "url": request["url"], "token": token})
}

/// The target of discovery calls, besides the plugin.
pub(crate) struct DiscoveryCalls {
    discovery: Discovery,
    /// The API version whose spelling of interfaces the case uses.
    spelling: IdentityVersion,
    /// The endpoint data of the case, or of the previous call.
    pub(crate) endpoint: Option<Endpoint>,
}

impl DiscoveryCalls {
    pub(crate) fn new(discovery: Discovery, plugin: Option<&Plugin>) -> Self {
        let spelling = match plugin {
            Some(Plugin::AccessInfo(_, access_info)) => access_info.version(),
            _ => IdentityVersion::V3,
        };
        Self { discovery, spelling, endpoint: None }
    }

    pub(crate) async fn call_document(&self, op: &str, args: Args<'_>) -> Result<Value, CallError> {
        if args.flag("authenticated")? == Some(true) {
            return Err(
                Incomplete::NotExpressible("a version document fetched with a token".to_owned()).into()
            );
        }
        let document = self.discovery.document(args.text("url")?.unwrap_or_default()).await?;
        document_result(&document, op, args)
    }

    pub(crate) async fn call_plugin(
        &mut self,
        plugin: &dyn IdentityPlugin,
        op: &str,
        args: Args<'_>,
    ) -> Result<Value, CallError> {
        if op == "get_endpoint" && args.given("discover_versions").is_some() {
            return Err(Incomplete::NotExpressible("get_endpoint with discover_versions".to_owned()).into());
        }
        // `get_endpoint_data` accepts only a range, and ignores a version.
        let without: Map<_, _> = args.members().filter(|(name, _)| name != "version").collect();
        let without = Value::Object(without);
        let filter = filter(if op == "get_endpoint_data" { Args::new(&without)? } else { args })?;
        if op == "get_all_version_data" {
            // Only in this operation, a null interface means any interface.
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
        match self.endpoint_result(plugin, op, args, &filter).await {
            // keystoneauth returns no endpoint instead of an error.
            Err(CallError::Error(
                Error::DiscoveryFailure(_) | Error::NoAuthUrl | Error::NoEndpoint | Error::NoEndpointFilter,
            )) => Ok(Value::Null),
            result => result,
        }
    }

    async fn endpoint_result(
        &mut self,
        plugin: &dyn IdentityPlugin,
        op: &str,
        args: Args<'_>,
        filter: &EndpointFilter,
    ) -> Result<Value, CallError> {
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
                let result = self.endpoint_data(&endpoint);
                self.endpoint = Some(endpoint);
                result
            }
        })
    }

    /// Calls the endpoint data of the case, or of the previous call.
    pub(crate) async fn call_endpoint(&mut self, op: &str, args: Args<'_>) -> Result<Value, CallError> {
        if op == "get_all_version_string_data" {
            return Err(Incomplete::NotExpressible("all versions of one endpoint data".to_owned()).into());
        }
        let without = || Incomplete::Malformed(format!("{op} without endpoint data"));
        let endpoint = self.endpoint.clone().ok_or_else(without)?;
        let mut filter = filter(args)?;
        let mut project_id = args.text("project_id")?;
        if op == "get_current_versioned_data" {
            // This call of keystoneauth uses the version in the URL, and no project.
            project_id = None;
            if let Some(version) = endpoint.api_version() {
                filter = filter.version(version.major, version.minor);
            }
        }
        let discover = args.flag("discover_versions")? != Some(false);
        let found = self.discovery.versioned_data(&endpoint, &filter, project_id, discover).await?;
        let result = self.endpoint_data(&found);
        self.endpoint = Some(found);
        Ok(result)
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

    /// keystoneauth spells interfaces in the form of the API version of the document.
    fn spelled(&self, interface: &Interface) -> String {
        match self.spelling {
            IdentityVersion::V2 => format!("{interface}URL"),
            _ => interface.to_string(),
        }
    }
}

/// Calls an operation on a version document.
fn document_result(document: &VersionDocument, op: &str, args: Args<'_>) -> Result<Value, CallError> {
    let allow = allow(args)?;
    let reverse = args.flag("reverse")? == Some(true);
    let all = |spelled: fn(Version) -> Value| -> Value {
        let mut all: Vec<_> = document.version_data(allow).collect();
        if reverse {
            // A stable sort keeps the order of equal versions.
            all.sort_by_key(|data| std::cmp::Reverse(data.version));
        }
        all.into_iter().map(|data| version_data(data, spelled)).collect()
    };
    let range = || -> Result<_, CallError> {
        Ok(VersionRange::new(None, version_arg(args, "min_version")?, version_arg(args, "max_version")?)?)
    };
    let version = || -> Result<_, CallError> { Ok(version_arg(args, "version")?.ok_or(Error::NoDiscovery)?) };
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
        other => return Err(Incomplete::Malformed(format!("unknown operation: discover.{other}")).into()),
    })
}

/// Returns version data, with its version and microversions formatted by `spelled`.
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

fn allow(args: Args<'_>) -> Result<Allow, Incomplete> {
    let mut allow = Allow::default();
    allow.experimental = args.flag("allow_experimental")?.unwrap_or(allow.experimental);
    allow.deprecated = args.flag("allow_deprecated")?.unwrap_or(allow.deprecated);
    allow.unknown = args.flag("allow_unknown")?.unwrap_or(allow.unknown);
    Ok(allow)
}

/// Returns the endpoint filter of the arguments, which have the same names in all calls.
pub(crate) fn filter(args: Args<'_>) -> Result<EndpointFilter, CallError> {
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
                    Incomplete::NotExpressible("a filter for a version with three parts".to_owned()).into()
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

/// Returns the initial endpoint data of a case.
pub(crate) fn endpoint(spec: &PluginSpec) -> Result<Endpoint, Incomplete> {
    let mut endpoint = Endpoint::default();
    endpoint.catalog_url = spec.get("catalog_url")?;
    endpoint.service_url = spec.get("service_url")?;
    endpoint.service_type = spec.get("service_type")?;
    endpoint.service_name = spec.get("service_name")?;
    endpoint.service_id = spec.get("service_id")?;
    endpoint.interface = spec.get::<Box<str>>("interface")?.map(|name| Interface::from(&*name));
    endpoint.region_name = spec.get("region_name")?;
    endpoint.endpoint_id = spec.get("endpoint_id")?;
    Ok(endpoint)
}
