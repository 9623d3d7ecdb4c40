//! Logins with an access token that was obtained elsewhere.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use tower_keystone::{
    Credentials, Error, Secret,
    error::LoginStep,
    federation::{AccessTokenSource, FederatedCredentials, Grant, IdentityProvider},
    fixture::Cloud,
};

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).identity_provider("op", "openid");
    cloud.oidc_provider().add_user("alice", "wonderland");
    cloud
}

fn credentials(cloud: &Cloud, source: impl Into<AccessTokenSource>) -> FederatedCredentials {
    let keystone = IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid");
    FederatedCredentials::new(keystone, Grant::access_token(source))
}

fn token(cloud: &Cloud) -> String {
    cloud.oidc_provider().issue_access_token("alice").unwrap()
}

/// A file that is removed when it is dropped.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tower-keystone-source-{name}-{}", std::process::id())))
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_anew() {
    let (cloud, file) = (cloud(), TokenFile::new("replaced"));
    let credentials = credentials(&cloud, AccessTokenSource::file(&file.0));

    let error = credentials.get_auth_ref(cloud.transport()).await.unwrap_err();
    assert!(error.to_string().contains(file.0.to_str().unwrap()), "{error}");
    assert!(error.is_transient(), "{error}");

    let first = token(&cloud);
    fs::write(&file.0, format!("{first}\n")).unwrap();
    let access_info = credentials.get_auth_ref(cloud.transport()).await.unwrap();
    assert_eq!(access_info.username(), Some("alice"));

    cloud.oidc_provider().revoke(&first);
    let error = credentials.get_auth_ref(cloud.transport()).await.unwrap_err();
    let Error::FederatedLoginFailed(failed) = &error else { panic!("{error}") };
    assert_eq!(failed.step, LoginStep::Federation);
    assert!(!error.to_string().contains(&first), "{error}");

    fs::write(&file.0, token(&cloud)).unwrap();
    credentials.get_auth_ref(cloud.transport()).await.unwrap();
}

#[tokio::test]
async fn a_function_is_called_for_each_login() {
    let (cloud, calls) = (cloud(), std::sync::Arc::new(AtomicUsize::new(0)));
    let (provider, counter) = (cloud.clone(), calls.clone());
    let source = AccessTokenSource::function(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let token = token(&provider);
        async move { Ok(Secret::new(token)) }
    });
    let credentials = credentials(&cloud, source);
    for _ in 0..2 {
        credentials.get_auth_ref(cloud.transport()).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_fixed_token_that_has_ended_is_a_definite_error() {
    let cloud = cloud();
    let token = token(&cloud);
    let credentials = credentials(&cloud, token.clone());
    credentials.get_auth_ref(cloud.transport()).await.unwrap();
    cloud.oidc_provider().revoke(&token);
    let error = credentials.get_auth_ref(cloud.transport()).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("401") && !error.to_string().contains(&token), "{error}");
}
