//! What is sent.

use serde_json::json;
use tower_keystone::federation::ClientAuthentication;

use super::stub::{DEVICE, EXCHANGE, Received, Stub, TOKEN, challenge, client, codes, pending_login, tokens};

const DEVICE_CODE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";

#[tokio::test(start_paused = true)]
async fn a_login_has_a_code_challenge() {
    let stub = Stub::new([pending_login(), tokens()]);
    let mut login = stub.start().await.unwrap();
    assert_eq!(login.user_code(), "WDJB-MJHT");
    assert_eq!(login.verification_uri(), "https://op.example.com/activate");
    assert_eq!(login.verification_uri_complete(), None);
    assert_eq!(login.expires_in().as_secs(), 600);

    let completed = login.complete().await.unwrap();
    assert_eq!(completed.access_info().auth_token(), Some("unscoped-1"));
    assert_eq!(completed.access_info().user_id(), Some("u1"));
    assert_eq!(completed.refresh_token().map(|token| token.expose()), Some("refresh-1"));

    let [device] = &*stub.requests(DEVICE) else { panic!() };
    assert_eq!(device.field_names(), ["client_id", "scope", "code_challenge_method", "code_challenge"]);
    assert_eq!(device.field("client_id"), "cli");
    assert_eq!(device.field("scope"), "openid+profile");
    assert_eq!(device.field("code_challenge_method"), "S256");
    assert_eq!(device.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!device.headers.contains_key("authorization"));
    let polls = stub.requests(TOKEN);
    assert_eq!(polls.len(), 2);
    for poll in &polls {
        assert_eq!(poll.field_names(), ["device_code", "code_verifier", "grant_type", "client_id"]);
        assert_eq!(poll.field("device_code"), "device-1");
        assert_eq!(poll.field("grant_type"), DEVICE_CODE);
        assert_eq!(poll.field("client_id"), "cli");
        assert_eq!(challenge(poll.field("code_verifier")), device.field("code_challenge"));
        assert_eq!(poll.headers["content-type"], "application/x-www-form-urlencoded");
    }
    let [exchange] = &*stub.requests(EXCHANGE) else { panic!() };
    assert_eq!(exchange.headers["authorization"], "Bearer bearer-1");
    assert!(exchange.headers["authorization"].is_sensitive());
    assert_eq!(exchange.body, "");
}

#[tokio::test(start_paused = true)]
async fn each_login_has_a_verifier_of_its_own() {
    let stub = Stub::new([tokens()]);
    for _ in 0..2 {
        stub.start().await.unwrap().complete().await.unwrap();
    }
    let verifiers: Vec<_> =
        stub.requests(TOKEN).iter().map(|poll| poll.field("code_verifier").to_owned()).collect();
    assert_ne!(verifiers[0], verifiers[1]);
}

#[tokio::test(start_paused = true)]
async fn the_code_challenge_can_be_left_out() {
    let stub = Stub::new([tokens()]);
    let mut login = stub.start_with(client().without_code_challenge()).await.unwrap();
    login.complete().await.unwrap();
    assert_eq!(stub.requests(DEVICE)[0].body, "client_id=cli&scope=openid+profile");
    let poll = format!("device_code=device-1&grant_type={DEVICE_CODE}&client_id=cli");
    assert_eq!(stub.requests(TOKEN)[0].body, poll);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_secret_authenticates_and_sends_its_id() {
    let secret =
        |authentication| client().secret("s").authentication(authentication).without_code_challenge();
    let run = async |authentication| {
        let stub = Stub::new([tokens()]);
        stub.start_with(secret(authentication)).await.unwrap().complete().await.unwrap();
        [stub.requests(DEVICE)[0].clone(), stub.requests(TOKEN)[0].clone()]
    };
    let authorization =
        |request: &Received| Some(request.headers.get("authorization")?.to_str().unwrap().to_owned());

    let [device, poll] = run(ClientAuthentication::Basic).await;
    assert_eq!(authorization(&device).as_deref(), Some("Basic Y2xpOnM="));
    assert_eq!(authorization(&poll).as_deref(), Some("Basic Y2xpOnM="));
    assert_eq!(device.body, "client_id=cli&scope=openid+profile");
    assert_eq!(poll.body, format!("device_code=device-1&grant_type={DEVICE_CODE}&client_id=cli"));

    let [device, poll] = run(ClientAuthentication::Form).await;
    assert_eq!((authorization(&device), authorization(&poll)), (None, None));
    assert_eq!(device.body, "client_id=cli&scope=openid+profile&client_secret=s");
    let form = format!("device_code=device-1&grant_type={DEVICE_CODE}&client_id=cli&client_secret=s");
    assert_eq!(poll.body, form);
}

#[tokio::test(start_paused = true)]
async fn the_complete_url_is_shown_too() {
    let stub = Stub::new([tokens()]);
    let complete = "https://op.example.com/activate?user_code=WDJB-MJHT";
    stub.script(DEVICE, [codes(json!({"verification_uri_complete": complete}))]);
    let login = stub.start().await.unwrap();
    assert_eq!(login.verification_uri_complete(), Some(complete));
}

#[tokio::test(start_paused = true)]
async fn nothing_shows_a_secret() {
    let stub = Stub::new([tokens()]);
    let mut login = stub.start().await.unwrap();
    let shown = format!("{login:?} {login:#?}");
    let completed = login.complete().await.unwrap();
    let shown = format!("{shown} {login:?} {completed:?}");
    let verifier = stub.requests(TOKEN)[0].field("code_verifier").to_owned();
    for secret in ["device-1", "WDJB", "bearer-1", "refresh-1", "unscoped-1", &verifier] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[test]
fn a_login_can_move_between_threads() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<tower_keystone::federation::DeviceLogin>();
}
