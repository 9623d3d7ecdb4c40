//! The same requests to an application behind keystonemiddleware and to one behind our layer, on the same Keystone.

use std::{collections::HashMap, net::TcpListener, time::Duration};

use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tower_keystone::{
    AuthMethod, FixedEndpointPlugin, IdentityPlugin, RenewingPlugin, Secret, V3Credentials,
    ValidateTokenLayer,
};

use super::{
    application,
    reference::Reference,
    table::{Outage, Row, Sent, table},
    world::{SECRET, World, by_credential, token},
};
use crate::support::{Client, PASSWORD, Person, Real, body_of, real};

/// The same application behind keystonemiddleware and behind our layer, in several configurations.
struct Applications {
    client: Client,
    /// The challenge of every 401.
    www_authenticate: String,
    /// The two URLs for each configuration.
    served: HashMap<&'static str, [Uri; 2]>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_is_that_of_keystonemiddleware_or_a_better_one() {
    let Some(real) = real() else { return };
    let mut reference = Reference::start(real);
    let world = World::new(real, &real.admin().await).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let applications = serve_all(real, &mut reference, &world, &silent).await;

    println!("{:70} {:30} {:30} why ours is better", "request", "keystonemiddleware", "ours");
    let mut faults = Vec::new();
    for row in table(&world) {
        faults.extend(applications.compare(&row).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_keystone_has_the_same_outcome_or_a_better_one() {
    let Some(real) = real() else { return };
    let mut reference = Reference::start(real);
    let admin = real.admin().await;
    let (account, user) = (admin.person("service").await, admin.person("member").await);
    let own = token(real, account.credentials(real.auth_url())).await;
    let outage = Outage::new(&token(real, user.credentials(real.auth_url())).await);
    let mut keystone = real.mortal().await;
    let url = keystone.start();
    let applications = serve_during_an_outage(real, &mut reference, &url, &own, &account).await;

    warm_up(real, &url, &own).await;
    let mut faults = Vec::new();
    for row in &outage.before {
        faults.extend(applications.compare(row).await);
    }
    keystone.kill();
    for row in &outage.during {
        faults.extend(applications.compare(row).await);
    }
    keystone.start();
    warm_up(real, &url, &own).await;
    for row in &outage.after {
        applications.recover(row).await;
        faults.extend(applications.compare(row).await);
    }
    keystone.kill();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Sends the first request to a Keystone that has just started. If several came at once, it could reject one.
async fn warm_up(real: &Real, keystone: &Uri, token: &str) {
    let request = Request::get(format!("{keystone}/auth/tokens"))
        .header("x-auth-token", token)
        .header("x-subject-token", token)
        .body(body_of(""))
        .unwrap();
    assert_eq!(real.client().oneshot(request).await.unwrap().status(), StatusCode::OK);
}

/// A response, in comparable form.
struct Outcome {
    /// The status, and what the application saw if it was called.
    outcome: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Row {
    fn compare(&self, theirs: &Outcome, ours: &Outcome, www_authenticate: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |what: &str, is_so: bool| {
            if !is_so {
                let (theirs, ours) = (&theirs.body, &ours.body);
                faults.push(format!("{}: {what}\n    reference: {theirs}\n    ours: {ours}", self.name));
            }
        };
        expect(&format!("{} is not {}", theirs.outcome, self.reference), theirs.outcome == self.reference);
        expect(&format!("{} is not {}", ours.outcome, self.ours), ours.outcome == self.ours);
        expect("a reason where outcomes differ", self.reason.is_empty() == (self.reference == self.ours));
        let challenge = |outcome: &Outcome| {
            let values = outcome.headers.get_all(header::WWW_AUTHENTICATE);
            values.iter().map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).collect::<Vec<_>>()
        };
        if ours.status == StatusCode::UNAUTHORIZED {
            expect("challenge", challenge(ours) == [www_authenticate]);
            expect(
                "content type",
                ours.headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json"),
            );
        } else {
            expect("no challenge", challenge(ours).is_empty());
        }
        let retry_after = ours.headers.get(header::RETRY_AFTER);
        expect("Retry-After", retry_after.is_some() == (ours.status == StatusCode::SERVICE_UNAVAILABLE));
        if self.reference == self.ours && ours.status != StatusCode::SERVICE_UNAVAILABLE {
            expect("the same challenge", challenge(theirs) == challenge(ours));
            expect("the same document", theirs.body == ours.body);
        }
        faults
    }
}

impl Applications {
    /// Sends the request of this row to both applications, and returns what is not as the row says.
    async fn compare(&self, row: &Row) -> Vec<String> {
        let (theirs, ours) = self.ask(&row.sent).await;
        println!("{:70} {:30} {:30} {}", row.name, theirs.outcome, ours.outcome, row.reason);
        row.compare(&theirs, &ours, &self.www_authenticate)
    }

    /// Sends the request of this row until both outcomes are as it says, or two minutes have passed. After an outage, a
    /// plugin waits before it logs in again.
    async fn recover(&self, row: &Row) {
        let recovery = async {
            loop {
                let (theirs, ours) = self.ask(&row.sent).await;
                if row.compare(&theirs, &ours, &self.www_authenticate).is_empty() {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let _ = timeout(Duration::from_secs(120), recovery).await;
    }

    /// Sends the request to both applications at once.
    async fn ask(&self, sent: &Sent) -> (Outcome, Outcome) {
        let [theirs, ours] = &self.served[sent.to];
        tokio::join!(ask(&self.client, sent, theirs), ask(&self.client, sent, ours))
    }
}

async fn ask(client: &Client, sent: &Sent, application: &Uri) -> Outcome {
    let Ok(response) = client.clone().oneshot(sent.request(application)).await else {
        let outcome = "no response".to_owned();
        return Outcome {
            outcome,
            status: StatusCode::BAD_GATEWAY,
            headers: HeaderMap::new(),
            body: Value::Null,
        };
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut outcome = parts.status.as_str().to_owned();
    if let Some(status) = body["status"].as_str() {
        outcome += &format!(" {status}");
    }
    if let Some(status) = body["service_status"].as_str() {
        outcome += &format!(" + {status}");
    }
    if body["forged"].as_array().is_some_and(|names| !names.is_empty()) {
        outcome += ", forged headers";
    }
    Outcome { outcome, status: parts.status, headers: parts.headers, body }
}

/// An account of both applications, and what all its configurations have in common.
struct Account {
    options: Value,
    layer: ValidateTokenLayer,
}

impl Account {
    fn new(real: &Real, options: Value, plugin: impl IdentityPlugin) -> Self {
        let common = json!({
            "auth_url": real.text("auth_url"),
            "www_authenticate_uri": real.text("auth_url"),
            "region_name": real.text("region_name"),
            "service_type": "placement",
            "token_cache_time": -1,
            "http_request_max_retries": 1,
        });
        let layer = ValidateTokenLayer::new(plugin, real.transport())
            .www_authenticate_uri(real.auth_url())
            .region(real.text("region_name"))
            .service_type("placement")
            .token_cache_time(Duration::ZERO)
            .unknown_token_cache_time(Duration::ZERO)
            .connect_retries(1)
            .validation_timeout(Duration::from_secs(600));
        Self { options: merged(common, options), layer }
    }

    fn password(real: &Real, auth_url: Uri, person: &Person, password: &str) -> Self {
        let options = json!({
            "auth_type": "v3password",
            "auth_url": auth_url.to_string(),
            "user_id": person.id,
            "password": password,
            "project_id": person.project_id,
        });
        let method = AuthMethod::password(person.user(), password);
        let credentials = V3Credentials::new(auth_url, method).scope(person.scope());
        Self::new(real, options, RenewingPlugin::new(credentials, real.transport()))
    }

    fn application_credential(real: &Real, id: &str) -> Self {
        let options = json!({
            "auth_type": "v3applicationcredential",
            "application_credential_id": id,
            "application_credential_secret": SECRET,
        });
        Self::new(real, options, RenewingPlugin::new(by_credential(real.auth_url(), id), real.transport()))
    }

    /// An account with a token and a URL of Keystone.
    fn fixed(real: &Real, keystone: &Uri, token: &str) -> Self {
        let options = json!({"auth_type": "admin_token", "endpoint": keystone.to_string(), "token": token});
        let plugin = FixedEndpointPlugin::admin_token(keystone.clone(), &Secret::new(token)).expect("a URL");
        Self::new(real, options, plugin)
    }
}

fn merged(mut options: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    options.as_object_mut().expect("an object").extend(more);
    options
}

type Layer = ValidateTokenLayer;

/// The name of a configuration, its account, and what it changes for keystonemiddleware and for our layer.
type Configuration<'a> = (&'static str, &'a Account, Value, fn(Layer) -> Layer);

fn optional() -> Value {
    json!({"delay_auth_decision": true})
}

fn cached(layer: Layer) -> Layer {
    layer.token_cache_time(Duration::from_secs(300))
}

/// Serves both applications in each configuration that the table names.
async fn serve_all(
    real: &Real,
    reference: &mut Reference,
    world: &World,
    silent: &TcpListener,
) -> Applications {
    let good = Account::password(real, real.auth_url(), &world.account, PASSWORD);
    let wrong_password = Account::password(real, real.auth_url(), &world.account, "wrong");
    let deleted = Account::application_credential(real, &world.account_credential);
    let role_missing = Account::password(real, real.auth_url(), &world.stranger, PASSWORD);
    let silent = format!("http://{}/v3", silent.local_addr().expect("it is bound")).parse().expect("a URL");
    let silence = Account::fixed(real, &silent, &world.service);
    let configurations: [Configuration<'_>; 14] = [
        ("default", &good, json!({}), |layer| layer),
        ("optional", &good, optional(), Layer::delay_auth_decision),
        ("roles optional", &good, json!({"service_token_roles_required": false}), |layer| {
            layer.service_token_roles_required(false)
        }),
        ("no catalog", &good, json!({"include_service_catalog": false}), Layer::without_catalog),
        ("identity", &good, json!({"service_type": "identity"}), |layer| layer.service_type("identity")),
        ("headers", &good, json!({}), Layer::identity_headers),
        ("mounted", &good, json!({"mount": "/mount"}), |layer| layer),
        ("cached", &good, json!({"token_cache_time": 300}), cached),
        ("wrong password", &wrong_password, json!({}), |layer| layer),
        ("wrong password, optional", &wrong_password, optional(), Layer::delay_auth_decision),
        ("deleted credential", &deleted, json!({}), |layer| layer),
        ("role missing", &role_missing, json!({}), |layer| layer),
        ("role missing, optional", &role_missing, optional(), Layer::delay_auth_decision),
        ("silence", &silence, json!({"http_connect_timeout": 1, "http_request_max_retries": 0}), |layer| {
            layer.connect_retries(0).validation_timeout(Duration::from_secs(1))
        }),
    ];
    serve(real, reference, &configurations).await
}

/// Serves both applications with a Keystone that will be killed.
async fn serve_during_an_outage(
    real: &Real,
    reference: &mut Reference,
    keystone: &Uri,
    own_token: &str,
    account: &Person,
) -> Applications {
    // The catalog has the URL of another Keystone, so these accounts use none.
    let fixed = Account::fixed(real, keystone, own_token);
    let login = Account::password(real, keystone.clone(), account, PASSWORD);
    let configurations: [Configuration<'_>; 4] = [
        ("default", &fixed, json!({}), |layer| layer),
        ("optional", &fixed, optional(), Layer::delay_auth_decision),
        ("cached", &fixed, json!({"token_cache_time": 300}), cached),
        ("login", &login, json!({}), |layer| layer.validation_timeout(Duration::from_secs(2))),
    ];
    serve(real, reference, &configurations).await
}

async fn serve(real: &Real, reference: &mut Reference, configurations: &[Configuration<'_>]) -> Applications {
    let mut served = HashMap::new();
    for (name, account, options, change) in configurations {
        let theirs = reference.serve(&merged(account.options.clone(), options.clone()));
        let layer = change(account.layer.clone());
        let ours = match options["mount"].as_str() {
            Some(prefix) => application::serve_below(prefix, layer).await,
            None => application::serve(layer).await,
        };
        served.insert(*name, [theirs, ours]);
    }
    let www_authenticate = format!("Keystone uri=\"{}\"", real.text("auth_url"));
    Applications { client: real.client(), www_authenticate, served }
}
