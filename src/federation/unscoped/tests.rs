use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{sync::Semaphore, task::yield_now, time::advance};
use tower::service_fn;

use super::{Rescoped, UnscopedFuture, UnscopedLogin, UnscopedToken};
use crate::{AccessInfo, Error, Scope, Transport};

const HOUR: Duration = Duration::from_secs(3600);

/// A provider and a Keystone. The unscoped tokens are `unscoped-1`, `unscoped-2` and so on, and live an hour.
#[derive(Clone)]
struct Cloud(Arc<Inner>);

struct Inner {
    logins: AtomicUsize,
    /// The errors of the next logins.
    errors: Mutex<Vec<Error>>,
    /// A permit for each login that may end.
    permits: Semaphore,
    can_log_in: AtomicBool,
    /// The unscoped tokens of the rescopes.
    rescoped: Mutex<Vec<String>>,
    /// The statuses of the next rescopes.
    statuses: Mutex<Vec<u16>>,
}

impl Cloud {
    fn new() -> Self {
        Self(Arc::new(Inner {
            logins: AtomicUsize::new(0),
            errors: Mutex::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            can_log_in: AtomicBool::new(true),
            rescoped: Mutex::default(),
            statuses: Mutex::default(),
        }))
    }

    fn login(&self) -> Box<dyn UnscopedLogin> {
        Box::new(self.clone())
    }

    fn credentials(&self) -> Rescoped {
        Rescoped::new(self.login())
    }

    /// The credentials of a person who has obtained `unscoped-0`.
    fn credentials_of_person(&self) -> Rescoped {
        self.0.can_log_in.store(false, Ordering::Relaxed);
        Rescoped::new(self.login()).with_token_of_person(token("unscoped-0"))
    }

    fn logins(&self) -> usize {
        self.0.logins.load(Ordering::Relaxed)
    }

    fn rescoped(&self) -> Vec<String> {
        self.0.rescoped.lock().unwrap().clone()
    }

    fn respond_with(&self, statuses: &[u16]) {
        self.0.statuses.lock().unwrap().extend(statuses);
    }

    fn transport(&self) -> Transport {
        let this = self.clone();
        Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
            let this = this.clone();
            async move {
                assert_eq!(request.uri(), "https://keystone.example.com/v3/auth/tokens");
                let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
                this.0.rescoped.lock().unwrap().push(token.clone());
                let mut statuses = this.0.statuses.lock().unwrap();
                let status = if statuses.is_empty() { 201 } else { statuses.remove(0) };
                let body = match status {
                    201 => document(),
                    _ => format!(r#"{{"error": {{"code": {status}, "message": "m", "title": "t"}}}}"#),
                };
                let response =
                    Response::builder().status(status).header("x-subject-token", format!("scoped-{token}"));
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body)).unwrap())
            }
        }))
    }
}

fn document() -> String {
    r#"{"token": {"issued_at": "2026-01-15T12:00:00Z", "expires_at": "2026-01-15T13:00:00Z", "user": {"id": "u"}}}"#.into()
}

fn token(token: &str) -> UnscopedToken {
    let headers = [("x-subject-token", token), ("date", "Thu, 15 Jan 2026 12:00:00 GMT")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let access_info = AccessInfo::from_response(&headers.into_iter().collect(), document()).unwrap();
    UnscopedToken { access_info, auth_url: "https://keystone.example.com".into() }
}

impl UnscopedLogin for Cloud {
    fn log_in(&self, _: Transport) -> UnscopedFuture {
        let this = self.clone();
        Box::pin(async move {
            let number = this.0.logins.fetch_add(1, Ordering::Relaxed) + 1;
            this.0.permits.acquire().await.unwrap().forget();
            let mut errors = this.0.errors.lock().unwrap();
            if errors.is_empty() { Ok(token(&format!("unscoped-{number}"))) } else { Err(errors.remove(0)) }
        })
    }

    fn cache_id(&self) -> Option<String> {
        Some("id".to_owned())
    }

    fn public_id(&self) -> Option<String> {
        None
    }

    fn can_lock_account(&self) -> bool {
        true
    }

    fn can_log_in(&self) -> bool {
        self.0.can_log_in.load(Ordering::Relaxed)
    }
}

fn project(id: &str) -> Scope {
    Scope::new().project_id(id)
}

async fn get(credentials: &Rescoped, cloud: &Cloud) -> Result<String, Error> {
    let access_info = credentials.get_auth_ref(cloud.transport()).await?;
    Ok(access_info.auth_token().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_unscoped_token_serves_each_scope_once() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials();
    let (a, b) = (credentials.clone().scope(project("a")), credentials.scope(project("b")));
    assert_eq!(get(&a, &cloud).await.unwrap(), "scoped-unscoped-1");
    assert_eq!(get(&b, &cloud).await.unwrap(), "scoped-unscoped-1");
    // A renewal logs in anew, and the other scope takes that newer token.
    assert_eq!(get(&a, &cloud).await.unwrap(), "scoped-unscoped-2");
    assert_eq!(get(&b.clone(), &cloud).await.unwrap(), "scoped-unscoped-2");
    assert_eq!(get(&b, &cloud).await.unwrap(), "scoped-unscoped-3");
    assert_eq!(cloud.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unscoped_token_serves_others_while_more_than_half_of_its_life_is_left() {
    for (age, logins) in [(HOUR / 2 - Duration::from_secs(1), 1), (HOUR / 2, 2), (HOUR, 2)] {
        let cloud = Cloud::new();
        let a = cloud.credentials().scope(project("a"));
        let b = a.clone().scope(project("b"));
        get(&a, &cloud).await.unwrap();
        advance(age).await;
        get(&b, &cloud).await.unwrap();
        assert_eq!(cloud.logins(), logins, "{age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_result_without_a_scope_is_always_of_a_new_login() {
    let cloud = Cloud::new();
    let unscoped = cloud.credentials();
    assert_eq!(get(&unscoped.clone().scope(project("a")), &cloud).await.unwrap(), "scoped-unscoped-1");
    assert_eq!(get(&unscoped, &cloud).await.unwrap(), "unscoped-2");
    assert_eq!(get(&unscoped.clone().scope(Scope::new().unscoped()), &cloud).await.unwrap(), "unscoped-3");
    assert_eq!(get(&unscoped.scope(project("b")), &cloud).await.unwrap(), "scoped-unscoped-3");
    assert_eq!(cloud.rescoped(), ["unscoped-1", "unscoped-3"]);
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_share_a_login_and_its_error() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials();
    let scopes = ["a", "b", "c"].map(|id| credentials.clone().scope(project(id)));
    cloud.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    cloud.0.errors.lock().unwrap().push(Error::NoEndpoint);
    for expected in [Err(()), Ok("scoped-unscoped-2".to_owned())] {
        let (cloud, scopes) = (cloud.clone(), scopes.clone());
        let tasks = scopes.map(|scope| {
            let cloud = cloud.clone();
            tokio::spawn(async move { get(&scope, &cloud).await.map_err(drop) })
        });
        yield_now().await;
        cloud.0.permits.add_permits(1);
        for task in tasks {
            assert_eq!(task.await.unwrap(), expected);
        }
    }
    assert_eq!(cloud.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_ends_when_nobody_waits_for_it() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials().scope(project("a"));
    cloud.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    for logins in 1..=2 {
        let waiting = get(&credentials, &cloud);
        assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_err());
        assert_eq!(cloud.logins(), logins);
        yield_now().await;
    }
    cloud.0.permits.add_permits(1);
    assert_eq!(get(&credentials, &cloud).await.unwrap(), "scoped-unscoped-3");
    assert_eq!(cloud.0.permits.available_permits(), 0, "the other logins are gone");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_that_was_shared_causes_one_login() {
    for status in [401, 404] {
        let cloud = Cloud::new();
        let credentials = cloud.credentials();
        get(&credentials.clone().scope(project("a")), &cloud).await.unwrap();
        cloud.respond_with(&[status]);
        let b = credentials.clone().scope(project("b"));
        assert_eq!(get(&b, &cloud).await.unwrap(), "scoped-unscoped-2");
        // The token of a new login is not tried again.
        cloud.respond_with(&[status, status]);
        let c = credentials.scope(project("c"));
        let error = get(&c, &cloud).await.unwrap_err();
        assert!(matches!(&error, Error::Keystone(error) if error.status == status), "{error}");
        assert!(!error.is_transient());
        assert_eq!(cloud.logins(), 3);
    }
}

#[cfg(feature = "store")]
#[tokio::test(start_paused = true)]
async fn the_token_of_a_login_for_the_scope_itself_counts_as_new() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials();
    credentials.set_store(crate::SharedTokens::in_memory());
    let a = credentials.clone().scope(project("a"));
    for logins in [1, 2] {
        // The second attempt prepares nothing, because the token of the first one could serve the scope.
        cloud.respond_with(&[401; 3][..logins]);
        a.prepare(cloud.transport()).await.unwrap();
        let error = get(&a, &cloud).await.unwrap_err();
        assert!(matches!(&error, Error::Keystone(error) if error.status == 401), "{error}");
        assert_eq!((cloud.logins(), cloud.0.statuses.lock().unwrap().len()), (logins, 0));
    }
    // A token that was prepared for another attempt may be old.
    let b = credentials.scope(project("b"));
    a.prepare(cloud.transport()).await.unwrap();
    b.prepare(cloud.transport()).await.unwrap();
    cloud.respond_with(&[404]);
    assert_eq!(get(&b, &cloud).await.unwrap(), "scoped-unscoped-3");
}

#[tokio::test(start_paused = true)]
async fn other_errors_of_the_rescope_keep_the_unscoped_token() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials().scope(project("a"));
    cloud.respond_with(&[503]);
    assert!(get(&credentials, &cloud).await.unwrap_err().is_transient());
    assert_eq!(get(&credentials, &cloud).await.unwrap(), "scoped-unscoped-1");
    assert_eq!(cloud.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_rescope_says_what_to_check() {
    let cloud = Cloud::new();
    cloud.respond_with(&[401]);
    let error = get(&cloud.credentials().scope(project("a")), &cloud).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "login to Keystone at https://keystone.example.com/ with the unscoped token of a federated login for project id \
         \"a\" failed with 401 Unauthorized: m; check that the scope exists, and that the user has a role in it: \
         directly, or by a group of the mapping of the identity provider"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unusable_scope_is_an_error_before_the_login() {
    let cloud = Cloud::new();
    let error = get(&cloud.credentials().scope(project("a").domain_id("d")), &cloud).await.unwrap_err();
    assert!(matches!(error, Error::AuthorizationFailure { .. }));
    assert_eq!(cloud.logins(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_login_of_a_person_ends() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials_of_person();
    let scope = |id| credentials.clone().scope(project(id));
    let a = scope("a");
    for _ in 0..2 {
        assert_eq!(get(&a, &cloud).await.unwrap(), "scoped-unscoped-0");
        assert_eq!(get(&credentials, &cloud).await.unwrap(), "unscoped-0");
    }
    advance(HOUR / 2).await;
    for ended in [&a, &credentials] {
        assert!(matches!(get(ended, &cloud).await, Err(Error::LoginEnded)));
    }
    assert_eq!(get(&scope("b"), &cloud).await.unwrap(), "scoped-unscoped-0");
    // Keystone rejects another scope.
    cloud.respond_with(&[401]);
    assert!(matches!(get(&scope("c"), &cloud).await, Err(Error::Keystone(_))));
    // The unscoped token was revoked.
    cloud.respond_with(&[404]);
    assert!(matches!(get(&scope("c"), &cloud).await, Err(Error::LoginEnded)));
    advance(HOUR / 2).await;
    let error = get(&scope("d"), &cloud).await.unwrap_err();
    assert!(matches!(error, Error::LoginEnded) && !error.is_transient());
    assert_eq!(cloud.logins(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_person_is_renewed_if_that_is_possible() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials_of_person();
    cloud.0.can_log_in.store(true, Ordering::Relaxed);
    assert_eq!(get(&credentials, &cloud).await.unwrap(), "unscoped-0");
    assert_eq!(get(&credentials, &cloud).await.unwrap(), "unscoped-1");
    let a = credentials.scope(project("a"));
    assert_eq!(get(&a, &cloud).await.unwrap(), "scoped-unscoped-1");
    assert_eq!(get(&a, &cloud).await.unwrap(), "scoped-unscoped-2");
}

#[test]
fn outside_of_a_runtime_the_login_is_an_error() {
    let cloud = Cloud::new();
    let credentials = cloud.credentials().scope(project("a"));
    let mut future = tokio_test::task::spawn(get(&credentials, &cloud));
    let result = tokio_test::assert_ready!(future.poll());
    assert!(matches!(result, Err(Error::NoRuntime)));
}
