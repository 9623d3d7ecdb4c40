//! The requests that are sent to both applications, and the two outcomes of each.

use http::{HeaderName, HeaderValue, Method, Request};

use super::{application::FORGED, world::World};
use crate::support::{Body, body_of};

/// One request and its two outcomes.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) sent: Sent,
    /// The outcome with keystonemiddleware: the status, and what the application saw if it was called.
    pub(super) reference: &'static str,
    pub(super) ours: &'static str,
    /// Why our outcome is the better one. Empty if it is the same.
    pub(super) reason: &'static str,
}

impl Row {
    fn new(name: &'static str, sent: Sent, outcome: &'static str) -> Self {
        Self { name, sent, reference: outcome, ours: outcome, reason: "" }
    }

    /// Sets another outcome for our layer, and why it is the better one.
    fn but(self, ours: &'static str, reason: &'static str) -> Self {
        Self { ours, reason, ..self }
    }
}

/// A request to the application in one configuration.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) to: &'static str,
    method: Method,
    path: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Sent {
    fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = name.parse().expect("a header name");
        self.headers.push((name, HeaderValue::from_bytes(value.as_ref()).expect("a header value")));
        self
    }

    fn user(self, token: impl AsRef<[u8]>) -> Self {
        self.header("x-auth-token", token)
    }

    fn service(self, token: impl AsRef<[u8]>) -> Self {
        self.header("x-service-token", token)
    }

    /// Adds every identity header, with `-` and with `_` in its name.
    fn forged(mut self) -> Self {
        let of_both = "domain-id domain-name project-id project-name project-domain-id project-domain-name user-id \
                       user-name user-domain-id user-domain-name roles identity-status";
        let of_user = "x-is-admin-project x-service-catalog x-role x-user x-tenant x-tenant-id x-tenant-name \
                       openstack-system-scope";
        let both =
            of_both.split_whitespace().flat_map(|name| [format!("x-{name}"), format!("x-service-{name}")]);
        for name in both.chain(of_user.split_whitespace().map(str::to_owned)) {
            self = self.header(&name, FORGED).header(&name.replace('-', "_"), FORGED);
        }
        self
    }

    pub(super) fn request(&self, application: &http::Uri) -> Request<Body> {
        let uri = format!("{}{}", application.to_string().trim_end_matches('/'), self.path);
        let mut request = Request::new(body_of(""));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.parse().expect("a URL");
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        request
    }
}

fn to(configuration: &'static str) -> Sent {
    Sent { to: configuration, method: Method::GET, path: "/", headers: Vec::new() }
}

const CONFIRMED: &str = "200 Confirmed";
const BOTH_CONFIRMED: &str = "200 Confirmed + Confirmed";

const TOO_LONG: &str = "a token that is too long is a bad token, not an outage";
const TWICE: &str = "both headers are one and the same token";

pub(super) fn table(world: &World) -> Vec<Row> {
    let mut rows = scopes(world);
    rows.extend(spellings(world));
    rows.extend(methods(world));
    rows.extend(ended(world));
    rows.extend(service_tokens(world));
    rows.extend(access_rules(world));
    rows.extend(forged_headers(world));
    rows.extend(identity_headers(world));
    rows.extend(optional(world));
    rows.extend(own_account(world));
    rows
}

fn scopes(world: &World) -> Vec<Row> {
    let row = |name, token: &String| Row::new(name, to("default").user(token), CONFIRMED);
    vec![
        row("project token", &world.project),
        row("domain token", &world.domain),
        row("system token", &world.system),
        row("unscoped token", &world.unscoped),
        row("trust token", &world.trust),
        row("application credential", &world.application_credential),
        Row::new("project token, no catalog asked for", to("no catalog").user(&world.project), CONFIRMED),
        Row::new("project token, cached", to("cached").user(&world.project), CONFIRMED),
        Row::new("project token, cached, again", to("cached").user(&world.project), CONFIRMED),
    ]
}

fn spellings(world: &World) -> Vec<Row> {
    let good = &world.project;
    let row = |name, sent, outcome| Row::new(name, sent, outcome);
    let user = |token: &dyn AsRef<[u8]>| to("default").user(token.as_ref());
    vec![
        row("no token", to("default"), "401"),
        row("garbage", user(&"garbage"), "401"),
        row("32 hexadecimal digits", user(&"0123456789abcdef0123456789abcdef"), "401"),
        row("three parts, as in JWS", user(&"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"), "401"),
        row("first half of a token", user(&&good[..good.len() / 2]), "401"),
        row("a character in the middle changed", user(&changed(good)), "401"),
        row("a dot inside", user(&format!("{}.{}", &good[..20], &good[20..])), "401"),
        row("a blank inside", user(&format!("{} {}", &good[..20], &good[20..])), "401"),
        row("in quotes", user(&format!("\"{good}\"")), CONFIRMED),
        row("= appended", user(&format!("{good}=")), CONFIRMED),
        row("== appended", user(&format!("{good}==")), CONFIRMED),
        row("==junk appended", user(&format!("{good}==junk")), CONFIRMED),
        row("!!! appended", user(&format!("{good}!!!")), CONFIRMED),
        row("one ! appended", user(&format!("{good}!")), "401"),
        row("blanks around it", user(&format!("  {good} \t")), CONFIRMED),
        row("empty", user(&""), "401"),
        row("blanks only", user(&"   "), "401"),
        row("bytes outside ASCII", user(&b"gAAAA\xe4\xff\x80"), "401"),
        row("bytes outside ASCII after a good token", user(&[good.as_bytes(), b"\xff"].concat()), "401"),
        row("8,000 characters", user(&"a".repeat(8_000)), "401"),
        row("9,000 characters", user(&"a".repeat(9_000)), "503").but("401", TOO_LONG),
        row("a good and a bad header", user(good).user("garbage"), "401"),
        row("a bad and a good header", user(&"garbage").user(good), "401"),
        row("two good headers that differ", user(good).user(&world.unscoped), "401"),
        row("the same header twice", user(good).user(good), "401").but(CONFIRMED, TWICE),
        row("X-Storage-Token", to("default").header("x-storage-token", good), CONFIRMED),
        row("empty, with a good X-Storage-Token", user(&"").header("x-storage-token", good), "401"),
        row("garbage, with a good X-Storage-Token", user(&"garbage").header("x-storage-token", good), "401"),
        row("good, with a bad X-Storage-Token", user(good).header("x-storage-token", "garbage"), CONFIRMED),
        row("Authorization: Bearer", to("default").header("authorization", format!("Bearer {good}")), "401"),
    ]
}

/// Returns the token with another character in its middle.
fn changed(token: &str) -> String {
    let (before, after) = token.split_at(token.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    format!("{before}{other}{}", &after[1..])
}

fn methods(world: &World) -> Vec<Row> {
    let user = || to("default").user(&world.project);
    vec![
        Row::new("HEAD", user().method(Method::HEAD), "200"),
        Row::new("HEAD without a token", to("default").method(Method::HEAD), "401"),
        Row::new("OPTIONS", user().method(Method::OPTIONS), CONFIRMED),
        Row::new("OPTIONS without a token", to("default").method(Method::OPTIONS), "401"),
        Row::new("POST", user().method(Method::POST), CONFIRMED),
        Row::new("DELETE without a token", to("default").method(Method::DELETE), "401"),
        Row::new("another path", user().path("/healthcheck?full=1"), CONFIRMED),
        Row::new("another path without a token", to("default").path("/healthcheck"), "401"),
    ]
}

fn ended(world: &World) -> Vec<Row> {
    let row = |name, token: &String| Row::new(name, to("default").user(token), "401");
    vec![
        row("expired", &world.expired),
        row("revoked", &world.revoked),
        row("disabled user", &world.disabled_user),
        row("deleted user", &world.deleted_user),
        row("disabled project", &world.disabled_project),
        row("removed role", &world.removed_role),
        row("changed password", &world.changed_password),
        row("deleted trust", &world.deleted_trust),
        row("deleted application credential", &world.deleted_credential),
    ]
}

fn service_tokens(world: &World) -> Vec<Row> {
    let World { project, service, expired, expired_service, .. } = world;
    let row = |name, user: &String, service: &str, outcome| {
        Row::new(name, to("default").user(user).service(service), outcome)
    };
    let lenient = |name, user: &String, service: &String, outcome| {
        Row::new(name, to("roles optional").user(user).service(service), outcome)
    };
    vec![
        row("service token", project, service, BOTH_CONFIRMED),
        row("service token in quotes", project, &format!("\"{service}\""), BOTH_CONFIRMED),
        row("service token without the role", project, project, "401"),
        row("service token: unscoped", project, &world.unscoped, "401"),
        row("service token: expired", project, expired_service, "401"),
        row("service token: revoked", project, &world.revoked, "401"),
        row("service token: garbage", project, "garbage", "401"),
        row("service token: empty", project, "", CONFIRMED),
        row("service token: bytes outside ASCII", project, "gAAAA\u{e4}", "401"),
        row("service token: 9,000 characters", project, &"a".repeat(9_000), "503").but("401", TOO_LONG),
        Row::new(
            "service token: two that differ",
            to("default").user(project).service(service).service(project),
            "401",
        ),
        Row::new(
            "service token: the same header twice",
            to("default").user(project).service(service).service(service),
            "401",
        )
        .but(BOTH_CONFIRMED, TWICE),
        row("service token as both tokens", service, service, BOTH_CONFIRMED),
        row("expired, with a service token", expired, service, BOTH_CONFIRMED),
        row("expired, with a service token without the role", expired, project, "401"),
        row("expired, with an expired service token", expired, expired_service, "401"),
        row("revoked, with a service token", &world.revoked, service, "401"),
        row("disabled user, with a service token", &world.disabled_user, service, "401"),
        row("removed role, with a service token", &world.removed_role, service, "401"),
        Row::new("service token alone", to("default").service(service), "401"),
        lenient("service token without the role, which is optional", project, project, BOTH_CONFIRMED),
        lenient("expired, with a token without the role, which is optional", expired, project, "401"),
        lenient("expired, with a service token, the role optional", expired, service, BOTH_CONFIRMED),
        Row::new(
            "expired, with a service token, cached",
            to("cached").user(expired).service(service),
            BOTH_CONFIRMED,
        ),
        Row::new("the same without the service token", to("cached").user(expired), "401"),
    ]
}

fn access_rules(world: &World) -> Vec<Row> {
    let World { restricted, project, service, .. } = world;
    let row = |name, path, outcome| Row::new(name, to("default").user(restricted).path(path), outcome);
    let method =
        |name, method| Row::new(name, to("default").user(restricted).path("/allowed").method(method), "401");
    let parenthesis = |name, path| Row::new(name, to("default").user(&world.parenthesis).path(path), "500");
    let literal = "a path with a parenthesis is matched literally";
    let no_catalog = "rules are enforced without a catalog, too";
    let elsewhere = |to: Sent| to.user(restricted).path("/elsewhere");
    vec![
        row("rules: the path", "/allowed", CONFIRMED),
        row("rules: the path and a query", "/allowed?limit=1", CONFIRMED),
        row("rules: a longer path", "/allowed/more", "401"),
        row("rules: another path", "/elsewhere", "401"),
        row("rules: the root", "/", "401"),
        method("rules: another method", Method::POST),
        method("rules: HEAD instead of GET", Method::HEAD),
        row("rules: * for a part", "/servers/one", CONFIRMED),
        row("rules: * for no part", "/servers/", "401"),
        row("rules: * for two parts", "/servers/one/ips", "401"),
        row("rules: {id} for a part", "/ports/one", CONFIRMED),
        row("rules: ** for many parts", "/deep/one/two/three", CONFIRMED),
        row("rules: ** for nothing", "/deep/", CONFIRMED),
        row("rules: two slashes", "/servers//one", "401"),
        row("rules: a percent-encoded letter", "/all%6Fwed", CONFIRMED),
        row("rules: a percent-encoded slash", "/servers/one%2Fips", "401"),
        row("rules: dots", "/deep/../elsewhere", CONFIRMED),
        Row::new("rules: mounted", to("mounted").user(restricted).path("/mount/inside"), CONFIRMED),
        Row::new(
            "rules: mounted, the path without the mount",
            to("mounted").user(restricted).path("/mount/allowed"),
            "401",
        ),
        row("rules: a dot", "/v2.1", CONFIRMED),
        row("rules: another character for the dot", "/v2x1", CONFIRMED)
            .but("401", "a dot in a rule is a dot"),
        parenthesis("rules: a parenthesis", "/v2/(x").but(CONFIRMED, literal),
        parenthesis("rules: a parenthesis, another path", "/elsewhere").but("401", literal),
        Row::new("rules: no catalog, the path", to("no catalog").user(restricted).path("/allowed"), "500")
            .but(CONFIRMED, no_catalog),
        Row::new("rules: no catalog, another path", elsewhere(to("no catalog")), "500")
            .but("401", no_catalog),
        Row::new(
            "rules: the token about itself",
            to("identity").user(restricted).path("/v3/auth/tokens"),
            CONFIRMED,
        ),
        Row::new("rules: another path of Keystone", to("identity").user(restricted).path("/v3/users"), "401"),
        Row::new("rules: another service", to("identity").user(restricted).path("/allowed"), "401"),
        Row::new(
            "rules: another path, with a service token",
            elsewhere(to("default")).service(service),
            BOTH_CONFIRMED,
        ),
        Row::new(
            "rules: another path, service token without the role",
            elsewhere(to("default")).service(project),
            "401",
        ),
        Row::new(
            "rules: another path, expired service token",
            elsewhere(to("default")).service(&world.expired_service),
            "401",
        ),
        Row::new(
            "rules: another path, service token without the role, which is optional",
            elsewhere(to("roles optional")).service(project),
            BOTH_CONFIRMED,
        )
        .but("401", "only a service token with the role lifts the rules"),
        Row::new("rules: cached, the path", to("cached").user(restricted).path("/allowed"), CONFIRMED),
        Row::new("rules: cached, another path", elsewhere(to("cached")), "401"),
        Row::new("rules: optional, another path", elsewhere(to("optional")), "200 Invalid"),
        Row::new(
            "rules: optional, another path, garbage as service token",
            elsewhere(to("optional")).service("garbage"),
            "200 Confirmed + Invalid",
        )
        .but("200 Invalid + Invalid", "only a confirmed service token lifts the rules"),
    ]
}

fn forged_headers(world: &World) -> Vec<Row> {
    let absent = "200 Absent";
    let system_scope = "no forged header reaches the application";
    vec![
        Row::new("forged headers, no token", to("default").forged(), "401"),
        Row::new("forged headers, garbage", to("default").user("garbage").forged(), "401"),
        Row::new("forged headers, project token", to("default").user(&world.project).forged(), CONFIRMED),
        Row::new("forged headers, system token", to("default").user(&world.system).forged(), CONFIRMED),
        Row::new("forged headers, unscoped token", to("default").user(&world.unscoped).forged(), CONFIRMED),
        Row::new("forged headers, cached token", to("cached").user(&world.project).forged(), CONFIRMED),
        Row::new(
            "forged headers, service token",
            to("default").user(&world.project).service(&world.service).forged(),
            BOTH_CONFIRMED,
        ),
        Row::new(
            "forged headers, optional, no token",
            to("optional").forged(),
            "200 Invalid, forged headers",
        )
        .but(absent, system_scope),
        Row::new(
            "forged headers, optional, garbage",
            to("optional").user("garbage").forged(),
            "200 Invalid, forged headers",
        )
        .but("200 Invalid", system_scope),
        Row::new(
            "forged headers, optional, project token",
            to("optional").user(&world.project).forged(),
            CONFIRMED,
        ),
    ]
}

/// At this path, both applications report the identity headers that they got, which must be the same.
fn identity_headers(world: &World) -> Vec<Row> {
    let user = |token: &String| to("headers").path("/headers").user(token);
    vec![
        Row::new("headers: project token", user(&world.project), CONFIRMED),
        Row::new("headers: domain token", user(&world.domain), CONFIRMED),
        Row::new("headers: system token", user(&world.system), CONFIRMED),
        Row::new("headers: unscoped token", user(&world.unscoped), CONFIRMED),
        Row::new("headers: trust token", user(&world.trust), CONFIRMED),
        Row::new("headers: application credential", user(&world.application_credential), CONFIRMED),
        Row::new("headers: service token", user(&world.project).service(&world.service), BOTH_CONFIRMED),
        Row::new("headers: forged headers", user(&world.project).forged(), CONFIRMED),
    ]
}

fn optional(world: &World) -> Vec<Row> {
    let no_token = "the application can tell that there is no token";
    let row = |name, sent, outcome| Row::new(name, sent, outcome);
    let user = |token: &str| to("optional").user(token);
    vec![
        row("optional: no token", to("optional"), "200 Invalid").but("200 Absent", no_token),
        row("optional: project token", user(&world.project), CONFIRMED),
        row("optional: garbage", user("garbage"), "200 Invalid"),
        row("optional: expired", user(&world.expired), "200 Invalid"),
        row("optional: revoked", user(&world.revoked), "200 Invalid"),
        row("optional: two headers that differ", user(&world.project).user("garbage"), "200 Invalid"),
        row("optional: service token", user(&world.project).service(&world.service), BOTH_CONFIRMED),
        row(
            "optional: service token without the role",
            user(&world.project).service(&world.project),
            "200 Confirmed + Invalid",
        ),
        row(
            "optional: expired service token",
            user(&world.project).service(&world.expired_service),
            "200 Confirmed + Invalid",
        ),
        row(
            "optional: expired, with a service token",
            user(&world.expired).service(&world.service),
            BOTH_CONFIRMED,
        ),
        row(
            "optional: service token alone",
            to("optional").service(&world.service),
            "200 Invalid + Confirmed",
        )
        .but("200 Absent + Confirmed", no_token),
    ]
}

/// Rows for a Keystone that is killed and started again.
pub(super) struct Outage {
    pub(super) before: Vec<Row>,
    pub(super) during: Vec<Row>,
    pub(super) after: Vec<Row>,
}

impl Outage {
    pub(super) fn new(good: &str) -> Self {
        let row = |name, configuration, outcome| Row::new(name, to(configuration).user(good), outcome);
        let before = vec![
            row("before the outage", "default", CONFIRMED),
            row("before the outage, optional", "optional", CONFIRMED),
            row("before the outage, cached", "cached", CONFIRMED),
        ];
        let during = vec![
            row("Keystone down", "default", "503"),
            row("Keystone down, optional", "optional", "200 Invalid")
                .but("200 Unavailable", "the application can tell an outage from a bad token"),
            row("Keystone down, cached", "cached", CONFIRMED),
            row("Keystone down for the own login", "login", "503"),
            Row::new("Keystone down, garbage", to("default").user("garbage"), "503"),
            Row::new("Keystone down, no token", to("default"), "401"),
            Row::new(
                "Keystone down, two headers that differ",
                to("default").user(good).user("garbage"),
                "503",
            )
            .but("401", "a malformed token is known to be bad without Keystone"),
            Row::new("Keystone down, with a service token", to("default").user(good).service(good), "503"),
        ];
        let after = vec![
            row("after the outage", "default", CONFIRMED),
            row("after the outage, optional", "optional", CONFIRMED),
            row("after the outage, cached", "cached", CONFIRMED),
            row("after the outage, own login", "login", CONFIRMED),
            Row::new("after the outage, garbage", to("default").user("garbage"), "401"),
        ];
        Self { before, during, after }
    }
}

/// What the application does while its own account is not right.
fn own_account(world: &World) -> Vec<Row> {
    let good = &world.project;
    let outage = "the application can tell an outage from a bad token";
    vec![
        Row::new("own password wrong", to("wrong password").user(good), "503"),
        Row::new("own password wrong, no token", to("wrong password"), "401"),
        Row::new("own password wrong, optional", to("wrong password, optional").user(good), "200 Invalid")
            .but("200 Unavailable", outage),
        Row::new("own application credential deleted", to("deleted credential").user(good), "401")
            .but("503", "the token of the user is good"),
        Row::new("own role missing", to("role missing").user(good), "503"),
        Row::new("own role missing, optional", to("role missing, optional").user(good), "200 Invalid")
            .but("200 Unavailable", outage),
        Row::new("Keystone does not answer", to("silence").user(good), "500")
            .but("503", "an outage is no fault of the application"),
        Row::new("Keystone does not answer, no token", to("silence"), "401"),
    ]
}
