//! A token, token documents as Keystone writes them, and plugins with them.

use std::{
    fmt::Write,
    future::ready,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use tower::BoxError;
use tower_keystone::{
    AccessInfo, AuthMethod, EndpointFilter, RenewingPlugin, Transport, User, V3Credentials,
    renewal::{Clock, Now},
};

pub type Body = Full<Bytes>;

/// The service that requests are for, in the middle of the catalog.
pub const SERVICE_TYPE: &str = "compute";
pub const REGION: &str = "RegionOne";
pub const ENDPOINT: &str = "https://compute.example.com:9876/v2.1";
pub const PATH: &str = "/servers/detail?limit=9&status=ACTIVE";
pub const TOKEN: &str = "gAAAAABnZ3V5-b3BlbnN0YWNrIGtleXN0b25lIHRva2VuIG9mIHRoZSB1c3VhbCBsZW5ndGg_\
    IHdoaWNoIGlzIDE4MyBieXRlcywgYXMgRmVybmV0IG1ha2VzIHRoZW0gZm9yIGEgcHJvamVjdC4gTm90aGluZyBpcyBpbiBpdC4";

/// The audit id in the documents.
pub const AUDIT_ID: &str = "5Y7XGVAbRHiJW9Z0FhUyKw";

/// The ids of the user and the project in the documents.
pub const USER_ID: &str = "fe0a18befc31ac2e0ad8326d9cedc835";
pub const PROJECT_ID: &str = "5ddcb7c47918dc462213a47adcedc835";

const INTERFACES: [&str; 3] = ["admin", "internal", "public"];

const TYPES: [(&str, &str); 20] = [
    ("identity", "keystone"),
    ("image", "glance"),
    ("network", "neutron"),
    ("placement", "placement"),
    ("block-storage", "cinder"),
    ("volumev3", "cinderv3"),
    ("object-store", "swift"),
    ("orchestration", "heat"),
    ("dns", "designate"),
    ("key-manager", "barbican"),
    ("compute", "nova"),
    ("load-balancer", "octavia"),
    ("baremetal", "ironic"),
    ("shared-file-system", "manila"),
    ("container-infrastructure-management", "magnum"),
    ("database", "trove"),
    ("workflow", "mistral"),
    ("metering", "ceilometer"),
    ("alarm", "aodh"),
    ("rating", "cloudkitty"),
];

/// Returns the document of a project token, with this many services of three interfaces each. It expires in a hundred
/// years.
pub fn document(services: usize) -> String {
    let mut catalog = String::new();
    let before_known = services.saturating_sub(TYPES.len()) / 2;
    for number in 0..services {
        let known = number.checked_sub(before_known).and_then(|number| TYPES.get(number));
        let (service_type, name) = match known {
            Some((service_type, name)) => ((*service_type).to_owned(), (*name).to_owned()),
            None => (format!("service-{number}"), format!("name-{number}")),
        };
        let comma = if number > 0 { ", " } else { "" };
        write!(catalog, "{comma}{{\"endpoints\": [").unwrap();
        for (index, interface) in INTERFACES.into_iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let id = id(number * 4 + index);
            write!(
                catalog,
                "{comma}{{\"id\": \"{id}\", \"interface\": \"{interface}\", \"region_id\": \"{REGION}\", \
                 \"url\": \"https://{service_type}.example.com:9876/v2.1\", \"region\": \"{REGION}\"}}"
            )
            .unwrap();
        }
        let id = id(number * 4 + 3);
        write!(catalog, "], \"id\": \"{id}\", \"type\": \"{service_type}\", \"name\": \"{name}\"}}").unwrap();
    }
    let (user, project) = (USER_ID, PROJECT_ID);
    format!(
        "{{\"token\": {{\"methods\": [\"password\"], \"user\": {{\"domain\": {{\"id\": \"default\", \
         \"name\": \"Default\"}}, \"id\": \"{user}\", \"name\": \"alice\", \"password_expires_at\": null}}, \
         \"audit_ids\": [\"{AUDIT_ID}\"], \"expires_at\": \"2126-01-15T13:00:00.000000Z\", \
         \"issued_at\": \"2026-01-15T12:00:00.000000Z\", \"project\": {{\"domain\": {{\"id\": \"default\", \
         \"name\": \"Default\"}}, \"id\": \"{project}\", \"name\": \"demo\"}}, \"is_domain\": false, \
         \"roles\": [{{\"id\": \"{project}\", \"name\": \"member\"}}, {{\"id\": \"{user}\", \"name\": \"reader\"}}], \
         \"catalog\": [{catalog}]}}}}"
    )
}

/// Returns an id of 32 digits, as Keystone's are.
fn id(number: usize) -> String {
    format!("{:032x}", (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

/// Returns a clone of one filter, which is created once, as in a program.
pub fn filter() -> EndpointFilter {
    thread_local! {
        static FILTER: EndpointFilter = new_filter();
    }
    FILTER.with(Clone::clone)
}

/// Returns a new filter, which shares nothing with others.
pub fn new_filter() -> EndpointFilter {
    EndpointFilter::new(SERVICE_TYPE).region(REGION)
}

/// Returns a plugin that can renew, with a fresh token.
pub fn renewing(access_info: &AccessInfo) -> RenewingPlugin<V3Credentials> {
    let nobody =
        tower::service_fn(|_: Request<Body>| ready(Err::<Response<Body>, BoxError>("nobody".into())));
    let auth_url = Uri::from_static("https://identity.example.com/v3");
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"));
    let plugin = RenewingPlugin::new(credentials, Transport::new(nobody)).clock(Clocks);
    plugin.set_auth_state(Some(&access_info.auth_state())).expect("a good token");
    plugin
}

/// A clock that costs the same as `SystemClock` in a program.
///
/// In a bench, `SystemClock` is slower, because tokio's clock is built with support for pausing.
pub struct Clocks;

impl Clock for Clocks {
    fn now(&self) -> Now {
        Now::new(SystemTime::now(), Instant::now())
    }
}
