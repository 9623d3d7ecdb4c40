//! Lookups in the service catalog.

use serde_json::{Map, Value, json};
use tower_keystone::{AccessInfo, EndpointData, EndpointFilter, Error, Interface, access::IdentityVersion};

use crate::{
    Case, Difference, Incomplete,
    arguments::Args,
    comparison::{self, error_to_json},
};

pub(crate) fn replay(case: &Case, differences: &mut Vec<Difference>) -> Result<(), Incomplete> {
    let filter = filter(Args::new(case.input("query"))?)?;
    let access_info = match AccessInfo::from_body(case.text()) {
        Ok(access_info) => access_info,
        Err(error) => {
            comparison::compare(
                differences,
                (0, "create"),
                &case.expect["create"],
                Err(error_to_json(&error)),
            );
            return Ok(());
        }
    };
    let version = access_info.version();
    let catalog = access_info.service_catalog();
    let mut check = |subject: &str, got: Result<Value, Error>| {
        let got = got.map_err(|error| error_to_json(&error));
        comparison::compare(differences, (0, subject), &case.expect[subject], got);
    };

    check(
        "endpoint_data_for",
        catalog.endpoint_data_for(&filter).map(|found| {
            let mut data = endpoint(version, found);
            data["catalog_url"] = json!(found.url());
            // Only version discovery sets these members.
            for name in [
                "service_url",
                "major_version",
                "min_microversion",
                "max_microversion",
                "next_min_version",
                "not_before",
                "status",
            ] {
                data[name] = Value::Null;
            }
            data
        }),
    );
    check("url_for", catalog.url_for(&filter).map(|url| json!(url)));
    check("get_urls", Ok(catalog.urls(&filter).collect()));

    let found = catalog.endpoints_data(&filter);
    let order: Value = found.iter().map(|(service_type, _)| *service_type).collect();
    let by_type: Map<_, _> = found
        .into_iter()
        .map(|(service_type, found)| {
            let endpoints: Value = found.into_iter().map(|found| endpoint(version, found)).collect();
            (service_type.to_owned(), endpoints)
        })
        .collect();
    let expected = &case.expect["get_endpoints_data"];
    comparison::compare(differences, (0, "get_endpoints_data"), expected, Ok(Value::Object(by_type)));
    if expected.get("error").is_none() {
        comparison::compare(differences, (0, "order"), &expected["order"], Ok(order));
    }
    Ok(())
}

/// Returns the filter of a query. A missing or null member matches everything, but a missing interface is the default.
fn filter(query: Args<'_>) -> Result<EndpointFilter, Incomplete> {
    let text = |name: &str| query.text(name).map(Option::unwrap_or_default);
    let filter = EndpointFilter::new(text("service_type")?)
        .region(text("region_name")?)
        .service_name(text("service_name")?)
        .service_id(text("service_id")?)
        .endpoint_id(text("endpoint_id")?);
    Ok(match query.given("interface") {
        None => filter,
        Some(Value::String(interface)) if !interface.is_empty() => filter.interface(interface.as_str()),
        Some(Value::Array(list)) => filter.interfaces(list.iter().filter_map(Value::as_str)),
        Some(Value::Null | Value::String(_)) => filter.any_interface(),
        Some(_) => return Err(Incomplete::NotExpressible("an interface that is not a text".to_owned())),
    })
}

fn endpoint(version: IdentityVersion, found: EndpointData<'_>) -> Value {
    // keystoneauth spells interfaces in the form of the API version of the document.
    let spelling = |interface: &Interface| match version {
        IdentityVersion::V2 => format!("{interface}URL"),
        _ => interface.to_string(),
    };
    json!({
        "url": found.url(),
        "service_type": found.service_type(),
        "service_name": found.service_name(),
        "service_id": found.service_id(),
        "interface": found.interface().map(spelling),
        "region_name": found.region_name(),
        "endpoint_id": found.endpoint_id(),
        "api_version": found.api_version().map(|version| [version.major, version.minor]),
    })
}
