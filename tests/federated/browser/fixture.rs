//! Whole logins at the fixture, whose provider and Keystone respond to the browser.

use bytes::Bytes;
use http::{Request, Response};
use tower_keystone::{
    IdentityPlugin, RenewingPlugin, Scope, Transport,
    federation::{BrowserLogin, CompletedLogin, IdentityProvider, OidcClient, WebSsoLogin},
    fixture::Cloud,
};

use super::{
    LONG,
    page::{FORM, get, post, send},
    parameter, port, soon,
};

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("op", "openid");
    cloud.oidc_provider().add_user("alice", "wonderland");
    cloud.oidc_provider().add_public_client("cli");
    cloud.oidc_provider().sign_in("alice");
    cloud
}

fn identity_provider(cloud: &Cloud) -> IdentityProvider {
    IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid")
}

fn client(cloud: &Cloud) -> OidcClient {
    OidcClient::new("cli")
        .discovery_endpoint(cloud.oidc_provider().discovery_endpoint())
        .scope("openid profile offline_access")
}

/// Opens a URL of the fixture, without following redirects.
async fn open(transport: &Transport, url: &str) -> Response<Bytes> {
    transport.send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap()
}

/// Logs in, and returns the credentials with a scope, after a token for it was obtained.
async fn use_login(login: CompletedLogin, transport: Transport) {
    assert_eq!(login.access_info().username(), Some("alice"));
    let scope = Scope::new().project_name("demo").project_domain_id("default");
    let plugin = RenewingPlugin::new(login.into_credentials().scope(scope), transport);
    let access = soon(plugin.access()).await.unwrap();
    assert_eq!(access.auth_ref().and_then(|access_info| access_info.project_name()), Some("demo"));
}

#[tokio::test]
async fn a_browser_logs_in_with_a_code() {
    let cloud = cloud();
    let transport = cloud.transport();
    let login =
        BrowserLogin::start(identity_provider(&cloud), client(&cloud), transport.clone()).await.unwrap();
    let redirect = open(&transport, login.url()).await;
    let location = redirect.headers()["location"].to_str().unwrap().to_owned();
    let (host, path) =
        location.strip_prefix("http://").unwrap().split_at(location.find("/callback").unwrap() - 7);
    let completed = tokio::spawn(login.complete(LONG));
    assert_eq!(soon(get(host, path)).await, 200);
    let login = soon(completed).await.unwrap().unwrap();
    assert!(login.refresh_token().is_some());
    use_login(login, transport).await;
}

#[tokio::test]
async fn a_browser_logs_in_at_keystone() {
    // The fixture compares the origin, so the port must be known before.
    let (cloud, login, origin) = loop {
        let port = fastrand::u16(10_000..30_000);
        let origin = format!("http://localhost:{port}/auth/websso/");
        let cloud = cloud();
        cloud.keystone().add_trusted_dashboard(&origin);
        let builder = WebSsoLogin::builder(identity_provider(&cloud)).port(port);
        if let Ok(login) = builder.start(cloud.transport()).await {
            break (cloud, login, origin);
        }
    };
    let transport = cloud.transport();
    assert_eq!(parameter(login.url(), "origin"), origin);
    let page = open(&transport, login.url()).await.into_body();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains(&format!("action=\"{origin}\"")), "{page}");
    let token = page.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form =
        format!("token={}", url::form_urlencoded::byte_serialize(token.as_bytes()).collect::<String>());

    let completed = tokio::spawn(login.complete(LONG));
    let host = format!("localhost:{}", port(&origin));
    let headers = [FORM.as_slice(), &["Origin: null"]].concat();
    assert_eq!(soon(send(port(&origin), post(&host, "/auth/websso/", &headers, &form))).await, 200);
    let login = soon(completed).await.unwrap().unwrap();
    assert_eq!(login.access_info().auth_token(), Some(token));
    use_login(login, transport).await;
}
