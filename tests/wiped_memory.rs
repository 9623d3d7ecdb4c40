//! Secrets are wiped before their memory is freed. An allocator searches every freed block for secrets.
//!
//! The servers of these tests respond from static memory, so that only the crate can leave a secret in a block.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, AuthRefFuture, Credentials, Error,
    FixedEndpointPlugin, HttpsClient, HttpsClientBuilder, IdentityPlugin, RenewingPlugin, Scope, Secret,
    ServiceAccess, ServiceTokenAuthWrapper, Transport, User, V2Credentials, V3Credentials,
    federation::{OAuth2ClientCredentials, OAuth2MtlsCredentials},
    fixture::V3Token,
    store::{EntryName, MemoryStore, SharedTokens, StoreKey, TokenStore},
};

/// The secret, and part of its HTTP Basic encoding with the user name `al`.
const NEEDLES: [&[u8]; 2] = [b"canary-5c0e-91d7-token", b"Y2FuYXJ5LTVjMGUtOTFkNy10b2tl"];

const SECRET: &str = "canary-5c0e-91d7-token";

struct InspectingAllocator;

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    static FOUND: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl InspectingAllocator {
    /// Searches a block that is about to be freed.
    fn inspect(memory: *mut u8, layout: Layout) {
        if !WATCHING.replace(false) {
            return;
        }
        // Safety: the block is still allocated, and all of it was initialized with zeros.
        let block = unsafe { std::slice::from_raw_parts(memory, layout.size()) };
        if NEEDLES.iter().any(|needle| block.windows(needle.len()).any(|window| window == *needle)) {
            let found = format!("{} bytes freed by\n{}", layout.size(), Backtrace::force_capture());
            FOUND.with_borrow_mut(|all| all.push(found));
        }
        WATCHING.set(true);
    }
}

// Safety: each call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for InspectingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }

    /// Always moves the block, so that the old block is searched too.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::inspect(memory, layout);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: InspectingAllocator = InspectingAllocator;

/// Runs `work`, and returns a description of each freed block that contained a secret.
fn unwiped_blocks<T>(work: impl FnOnce() -> T) -> Vec<String> {
    WATCHING.set(true);
    drop(work());
    WATCHING.set(false);
    FOUND.take()
}

#[track_caller]
fn assert_wiped<T>(work: impl FnOnce() -> T) {
    let found = unwiped_blocks(work);
    assert!(found.is_empty(), "{} blocks: {}", found.len(), found.join("\n"));
}

fn resolve_now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}

/// A body of several chunks.
struct ChunkedBody(std::slice::Iter<'static, &'static str>);

impl Body for ChunkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
    }
}

/// Returns a transport to a Keystone that responds with this body, in chunks.
fn keystone(status: u16, header: Option<&'static str>, body: &'static [&'static str]) -> Transport {
    Transport::new(service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(ChunkedBody(body.iter()));
        *response.status_mut() = status.try_into().expect("a status");
        if let Some(header) = header {
            response.headers_mut().insert(header, HeaderValue::from_static(SECRET));
        }
        std::future::ready(Ok::<_, Infallible>(response))
    }))
}

const V3: &[&str] = &[r#"{"token": {"user": {"id": "u"}, "#, r#""project": {"id": "p"}}}"#];
const V2: &[&str] = &[r#"{"access": {"token": {"id": "#, r#""canary-5c0e-91d7-token"}, "user": {}}}"#];
const V2_DOCUMENT: &str = r#"{"access": {"token": {"id": "canary-5c0e-91d7-token"}, "user": {}}}"#;
const STATE: &str = r#"{"auth_token": "canary-5c0e-91d7-token", "body": {"token": {"user": {"id": "u"}}}}"#;

#[test]
fn an_unwiped_secret_is_found() {
    assert_eq!(unwiped_blocks(|| SECRET.to_owned()).len(), 1);
    assert_eq!(unwiped_blocks(|| "Basic YWw6Y2FuYXJ5LTVjMGUtOTFkNy10b2tlbg==".to_owned()).len(), 1);
    let grown = || {
        let mut text = SECRET.to_owned();
        text.reserve(1_000);
        Secret::new(text)
    };
    assert_eq!(unwiped_blocks(grown).len(), 1);
    assert!(unwiped_blocks(|| vec![0_u8; 100]).is_empty());
}

#[test]
fn a_secret_is_wiped() {
    assert_wiped(|| {
        let secret = Secret::new(SECRET);
        (secret.clone(), format!("{secret:?}"))
    });
}

#[test]
fn a_login_is_wiped() {
    let auth_url = || Uri::from_static("https://keystone.example.com/v3");
    let user = || User::new().username("alice").user_domain_name("Default");
    for method in [
        || AuthMethod::password(User::new().user_id("u"), SECRET),
        || AuthMethod::totp(User::new().user_id("u"), SECRET),
        || AuthMethod::token(SECRET),
        || AuthMethod::application_credential("id", SECRET),
    ] {
        assert_wiped(|| {
            let credentials = V3Credentials::new(auth_url(), method())
                .and(AuthMethod::receipt(SECRET))
                .and(AuthMethod::password(user(), SECRET))
                .scope(Scope::new().project_id("p"));
            let access_info =
                resolve_now(credentials.get_auth_ref(keystone(201, Some("x-subject-token"), V3)));
            assert_eq!(access_info.as_ref().unwrap().auth_token(), Some(SECRET));
            (credentials.cache_id(), format!("{credentials:?}"), access_info, credentials.request())
        });
    }
    let v2 = Uri::from_static("https://keystone.example.com/v2.0");
    for credentials in [
        |url| V2Credentials::password(url, User::new().username("alice"), SECRET),
        |url| V2Credentials::token(url, SECRET),
    ] {
        assert_wiped(|| {
            let access_info = resolve_now(credentials(v2.clone()).get_auth_ref(keystone(200, None, V2)));
            assert_eq!(access_info.as_ref().unwrap().auth_token(), Some(SECRET));
            (access_info, credentials(v2.clone()).cache_id())
        });
    }
}

/// Returns a transport to a Keystone whose token and whose OAuth 2.0 access token are the secret.
fn keystone_with_oauth2() -> Transport {
    const ACCESS_TOKEN: &[&str] =
        &[r#"{"access_token": "canary-5c0e-91"#, r#"d7-token", "expires_in": 3600}"#];
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let is_oauth2 = request.uri().path().ends_with("/OS-OAUTH2/token");
        let body = if is_oauth2 { ACCESS_TOKEN } else { V3 };
        let mut response = Response::new(ChunkedBody(body.iter()));
        if !is_oauth2 {
            response.headers_mut().insert("x-subject-token", HeaderValue::from_static(SECRET));
        }
        std::future::ready(Ok::<_, Infallible>(response))
    }))
}

#[test]
fn a_login_with_oauth2_is_wiped() {
    const KEYSTONE: &str = "https://keystone.example.com/v3";
    const ENDPOINT: &str = "https://keystone.example.com/v3/OS-OAUTH2/token";
    fn log_in(credentials: impl Credentials) -> impl Sized {
        let access_info = resolve_now(credentials.get_auth_ref(keystone_with_oauth2())).unwrap();
        let state = access_info.auth_state();
        assert_eq!(state.expose().matches(SECRET).count(), 2);
        let restored = AccessInfo::from_auth_state(&state).unwrap();
        let mut headers = HeaderMap::new();
        ServiceAccess::from_auth_ref(restored.clone()).unwrap().insert_headers(&mut headers);
        assert_eq!(headers["authorization"].to_str().unwrap().strip_prefix("Bearer "), Some(SECRET));
        (credentials.cache_id(), access_info, state, restored, headers)
    }
    assert_wiped(|| log_in(OAuth2ClientCredentials::new(KEYSTONE, ENDPOINT, "al", SECRET)));
    assert_wiped(|| log_in(OAuth2MtlsCredentials::new(KEYSTONE, ENDPOINT, "user")));
}

#[test]
fn a_receipt_is_wiped() {
    const RECEIPT: &[&str] = &[
        r#"{"receipt": {"methods": ["password"], "expires_at": "2026-01-15T13:00:00Z"},"#,
        r#" "required_auth_methods": [["password", "totp"]]}"#,
    ];
    assert_wiped(|| {
        let auth_url = Uri::from_static("https://keystone.example.com/v3");
        let credentials =
            V3Credentials::new(auth_url, AuthMethod::password(User::new().user_id("u"), SECRET));
        let error =
            resolve_now(credentials.get_auth_ref(keystone(401, Some("openstack-auth-receipt"), RECEIPT)))
                .unwrap_err();
        let Error::MissingAuthMethods(missing) = &error else { panic!("{error:?}") };
        (AuthMethod::receipt(missing.receipt.clone()), error)
    });
}

#[test]
fn documents_and_stored_tokens_are_wiped() {
    assert_wiped(|| {
        let from_state = AccessInfo::from_auth_state(&Secret::new(STATE)).unwrap();
        let state = from_state.auth_state();
        assert!(state.expose().contains(SECRET));
        let mut headers = HeaderMap::new();
        headers.insert("x-subject-token", HeaderValue::from_static(SECRET));
        let in_body = AccessInfo::from_body(V2_DOCUMENT).unwrap();
        assert_eq!(in_body.auth_token(), Some(SECRET));
        assert!(AccessInfo::from_auth_state(&in_body.auth_state()).is_ok());
        assert_eq!(in_body.body().expose(), V2_DOCUMENT);
        (state, from_state, AccessInfo::from_response(&headers, r#"{"token": {}}"#).unwrap(), in_body)
    });
    assert_wiped(|| {
        let auth_url = Uri::from_static("https://keystone.example.com/v3");
        let credentials = V3Credentials::new(auth_url, AuthMethod::token(SECRET));
        let renewing = RenewingPlugin::new(credentials, keystone(500, None, &[]));
        renewing.set_auth_state(Some(&Secret::new(STATE))).unwrap();
        let state = renewing.auth_state();
        renewing.reset();
        (state, renewing)
    });
}

#[test]
fn a_truncated_document_is_wiped() {
    static DOCUMENTS: [&str; 3] = [
        r#"{"access": {"token": {"id": "canary-5c0e-91d7-token", "expires": "#,
        r#"{"access": {"token": {"id": "canary-5c0e-91d7-token"}, "user": {"#,
        r#"{"access": {"token": {"id": "canary-5c0e-91d7-token"}}, "token": {}}"#,
    ];
    for document in DOCUMENTS.chunks(1) {
        assert_wiped(|| AccessInfo::new("other", document[0]));
        let auth = V2Credentials::password(
            Uri::from_static("https://keystone.example.com/v2.0"),
            User::new().username("al"),
            "other",
        );
        let transport = keystone(200, None, document);
        assert_wiped(|| resolve_now(auth.get_auth_ref(transport)));
    }
}

#[test]
fn a_request_is_wiped() {
    fn send(plugin: impl IdentityPlugin) {
        let inner = service_fn(|request: Request<()>| {
            assert!(!request.headers().is_empty());
            std::future::ready(Ok::<_, Infallible>(Response::new(())))
        });
        let layer =
            AuthLayer::new(plugin).allow_origin(&Uri::from_static("https://nova.example.com")).unwrap();
        let request = Request::get("https://nova.example.com/servers").body(()).unwrap();
        resolve_now(layer.layer(inner).oneshot(request)).unwrap();
    }
    let endpoint = || Uri::from_static("https://nova.example.com");
    let access_info = || AccessInfo::new(SECRET, r#"{"token": {}}"#).unwrap();
    let admin = || FixedEndpointPlugin::admin_token(endpoint(), &Secret::new(SECRET)).unwrap();
    assert_wiped(|| send(AccessInfoPlugin::new(access_info())));
    assert_wiped(|| send(admin()));
    assert_wiped(|| send(ServiceTokenAuthWrapper::new(admin(), admin())));
    assert_wiped(|| {
        send(FixedEndpointPlugin::http_basic(endpoint(), "al", &Secret::new(SECRET)).unwrap());
    });
    assert_wiped(|| Arc::new(ServiceAccess::from_auth_ref(access_info()).unwrap()));
    assert_wiped(|| AccessInfo::new(concat!("canary-5c0e-91d7-token", "\n"), r#"{"token": {}}"#));
}

#[test]
fn a_file_with_a_private_key_is_wiped() {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wiped-{}.pem", std::process::id()));
    let key = "Y2FuYXJ5LTVjMGUtOTFkNy10b2tlbi0t\n".repeat(100);
    let text = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n{key}-----END PRIVATE KEY-----\n");
    std::fs::write(&path, text).unwrap();
    assert_wiped(|| {
        let build = |builder: HttpsClientBuilder| {
            let built = builder.build();
            assert!(built.unwrap_err().to_string().contains("it contains no certificate"));
        };
        build(HttpsClient::builder().ca_file(&path));
        build(HttpsClient::builder().client_certificate(&path, None));
    });
    std::fs::remove_file(&path).unwrap();
}

/// A key that is a secret of these tests.
const KEY: [u8; 32] = *b"canary-5c0e-91d7-token0123456789";

/// [`STATE`], sealed with [`KEY`] for credentials with the cache id `wiped`. A program in another language made it.
const RECORD: &str = concat!(
    "746b0191a3d433010000019bc1bdccfb000003bb2cc3d800000102030405060708090a0b0c0d0e0f1011121314151617",
    "b5ebdcbea36a87cb6ccd5eab361862266e68dc4093b3969eac4e7e88b2eae9702b0bbf7be270adab15b274ec474a7a46",
    "f40d478094bbc6c18056ae7dcd0e182b08a9dbb8a2f675bc0d751fe02520a7b5172e63ef4b220008dd0fb8711fbda01f",
    "ae2e",
);

/// The name of [`RECORD`].
const NAME: &str = "5dliWqS9YeoCJr0AoGXB34zTLN8kntUHX2bcvROtEmE.token";

/// Credentials with the cache id `wiped`.
struct Wiped(Uri);

impl Credentials for Wiped {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        Box::pin(async { Err(Error::NoToken) })
    }

    fn auth_url(&self) -> &Uri {
        &self.0
    }

    fn cache_id(&self) -> Option<String> {
        Some("wiped".into())
    }
}

#[test]
fn a_store_key_is_wiped() {
    assert_wiped(|| {
        let base64 = Secret::new("Y2FuYXJ5LTVjMGUtOTFkNy10b2tlbjAxMjM0NTY3ODk=");
        let key = StoreKey::from_base64(base64).unwrap();
        assert_eq!(key, StoreKey::new(KEY));
        let boxed = Box::new(key.clone());
        let shared = SharedTokens::new(MemoryStore::new(), key.clone()).also_read_with(key);
        (boxed, shared.clone().name("other"), shared.also_read_with(StoreKey::new(KEY)))
    });
}

#[test]
fn a_stored_token_is_wiped() {
    let record: Vec<u8> =
        (0..RECORD.len()).step_by(2).map(|at| u8::from_str_radix(&RECORD[at..at + 2], 16).unwrap()).collect();
    let store = MemoryStore::new();
    let name = EntryName::parse(NAME).unwrap();
    assert!(resolve_now(store.publish(&name, None, &record, Duration::from_secs(3600))).unwrap());
    assert_wiped(|| {
        let credentials = Wiped(Uri::from_static("https://keystone.example.com/v3"));
        let shared = SharedTokens::new(store.clone(), StoreKey::new(KEY));
        let found = resolve_now(shared.access_info(&credentials)).unwrap().unwrap();
        assert_eq!(found.auth_token(), Some(SECRET));
        // Sealed once more, with another key.
        let rotated =
            SharedTokens::new(store.clone(), StoreKey::new([1; 32])).also_read_with(StoreKey::new(KEY));
        let again = resolve_now(rotated.access_info(&credentials)).unwrap().unwrap();
        assert_eq!(again.auth_token(), Some(SECRET));
        (found, again, shared, rotated)
    });
}

#[test]
fn a_token_that_plugins_share_is_wiped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let now = SystemTime::now();
    let document = V3Token::new("u", "al").issued(now).expires(now + Duration::from_secs(3600));
    let document: &'static str = document.document().to_string().leak();
    let body: &'static [&'static str] = vec![document].leak();
    let store = MemoryStore::new();
    let plugin = |status| {
        let auth_url = Uri::from_static("https://keystone.example.com/v3");
        let credentials =
            V3Credentials::new(auth_url, AuthMethod::password(User::new().user_id("u"), SECRET));
        RenewingPlugin::new(credentials, keystone(status, Some("x-subject-token"), body))
            .store(SharedTokens::new(store.clone(), StoreKey::new(KEY)))
    };
    // The first plugin logs in and publishes, the second one takes the token over.
    for status in [201, 500] {
        assert_wiped(|| {
            runtime.block_on(async {
                let plugin = plugin(status);
                let access = plugin.access().await.unwrap();
                assert_eq!(access.auth_ref().unwrap().auth_token(), Some(SECRET));
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                (plugin, access)
            })
        });
    }
}
