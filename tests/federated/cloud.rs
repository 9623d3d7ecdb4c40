//! The fixture's cloud, with a count of the requests of each step, and steps that can be stopped.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::{Semaphore, watch};
use tower::service_fn;
use tower_keystone::{
    BoxError, Credentials, Error, Scope, SharedTokens, Transport,
    federation::{CompletedLogin, DeviceLogin, FederatedCredentials, Grant, IdentityProvider, OidcClient},
    fixture::Cloud,
};

/// The steps of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The token endpoint of the provider.
    Token,
    /// The federation URL of Keystone.
    Exchange,
    Rescope,
}

/// A cloud with the users `alice` and `bob` at its provider, and the projects `one` and `two`.
#[derive(Clone)]
pub struct TestCloud {
    pub cloud: Cloud,
    steps: watch::Sender<Vec<Step>>,
    stopped: Arc<Mutex<Option<Stopped>>>,
    /// The step whose requests fail.
    failing: Arc<Mutex<Option<Step>>>,
}

/// The step that is stopped, with a permit for each response that goes on.
type Stopped = (Step, Arc<Semaphore>);

impl TestCloud {
    pub fn new() -> Self {
        let cloud = Cloud::new([("compute", "nova")]).project("one").project("two");
        let cloud = cloud.identity_provider("op", "openid");
        for user in ["alice", "bob"] {
            cloud.oidc_provider().add_user(user, "wonderland");
        }
        cloud.oidc_provider().add_client("robot", "robot-secret");
        cloud.oidc_provider().add_public_client("cli");
        Self { cloud, steps: watch::Sender::default(), stopped: Arc::default(), failing: Arc::default() }
    }

    pub fn provider(&self) -> IdentityProvider {
        IdentityProvider::new(self.cloud.keystone().auth_url(), "op", "openid")
    }

    pub fn client(&self, id: &str) -> OidcClient {
        OidcClient::new(id)
            .access_token_endpoint(format!("{}/token", self.cloud.oidc_provider().issuer()))
            .device_authorization_endpoint(format!("{}/device/auth", self.cloud.oidc_provider().issuer()))
            .scope("openid profile offline_access")
    }

    pub fn robot(&self) -> FederatedCredentials {
        let client = self.client("robot").secret("robot-secret");
        FederatedCredentials::new(self.provider(), Grant::client_credentials(client))
    }

    pub fn password(&self, user: &str, password: &str) -> FederatedCredentials {
        let client = self.client("robot").secret("robot-secret");
        FederatedCredentials::new(self.provider(), Grant::password(client, user, password))
    }

    /// Logs a person in. The steps of this login are not counted.
    pub async fn log_in(&self, user: &str, client: OidcClient) -> CompletedLogin {
        let mut login = DeviceLogin::start(self.provider(), client, self.cloud.transport()).await.unwrap();
        self.cloud.oidc_provider().approve(login.user_code(), user);
        login.complete().await.unwrap()
    }

    /// Returns the steps since the last call.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.send_replace(Vec::new())
    }

    pub fn count(&self, step: Step) -> usize {
        self.steps.borrow().iter().filter(|other| **other == step).count()
    }

    /// Waits until a step has been requested so often.
    pub async fn requested(&self, step: Step, count: usize) {
        let mut steps = self.steps.subscribe();
        let has_count = |steps: &Vec<Step>| steps.iter().filter(|other| **other == step).count() >= count;
        steps.wait_for(has_count).await.unwrap();
    }

    /// Stops the responses of a step. Each permit lets one of them go on.
    pub fn stop(&self, step: Step) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        *self.stopped.lock().unwrap() = Some((step, Arc::clone(&permits)));
        permits
    }

    /// Stops no step any more.
    pub fn start(&self) {
        *self.stopped.lock().unwrap() = None;
    }

    /// Makes a step respond with 503, or none.
    pub fn fail(&self, step: Option<Step>) {
        *self.failing.lock().unwrap() = step;
    }

    pub fn transport(&self) -> Transport {
        let this = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let this = this.clone();
            async move {
                let (parts, body) = request.into_parts();
                let request = Request::from_parts(parts, body.collect().await?.to_bytes());
                let step = match request.uri().path() {
                    path if path.ends_with("/token") => Step::Token,
                    path if path.ends_with("/protocols/openid/auth") => Step::Exchange,
                    _ => Step::Rescope,
                };
                this.steps.send_modify(|steps| steps.push(step));
                if *this.failing.lock().unwrap() == Some(step) {
                    return Ok(Response::builder().status(503).body(Full::default())?);
                }
                let response = this.cloud.transport().send(request).await?;
                let stopped = this.stopped.lock().unwrap().clone().filter(|(stopped, _)| *stopped == step);
                if let Some((_, permits)) = stopped {
                    permits.acquire().await?.forget();
                }
                Ok::<_, BoxError>(response.map(Full::new))
            }
        }))
    }

    /// Obtains a token with these credentials.
    pub async fn get(&self, credentials: &impl Credentials) -> Result<String, Error> {
        let access_info = credentials.get_auth_ref(self.transport()).await?;
        Ok(access_info.auth_token().unwrap().to_owned())
    }
}

pub fn project(name: &str) -> Scope {
    Scope::new().project_name(name).project_domain_name("Default")
}

/// Returns the credentials of several processes, which share a store.
pub fn processes<const N: usize>(
    tokens: &SharedTokens,
    credentials: impl Fn() -> FederatedCredentials,
) -> [FederatedCredentials; N] {
    std::array::from_fn(|_| credentials().store(tokens.clone()))
}
