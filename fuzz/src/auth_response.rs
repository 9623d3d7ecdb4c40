//! Reading Keystone's response to a login.

use http::Uri;
use tower_keystone::{
    AccessInfo, AuthMethod, Credentials, Error, RenewingPlugin, User, V2Credentials, V3Credentials,
};

use crate::{
    auth_state, input,
    requests::{keystone, now},
};

/// The input is an HTTP response.
pub fn run(input: &[u8]) {
    let Some(answer) = input::answer(input) else { return };
    let read = AccessInfo::from_response(answer.headers(), answer.body());
    let auth_url = Uri::from_static("https://keystone.example.com/v3");
    let user = || User::new().user_id("u");

    let v3 = V3Credentials::new(auth_url.clone(), AuthMethod::password(user(), "pw"));
    let obtained = now(v3.get_auth_ref(keystone(answer.clone())));
    match &obtained {
        Ok(access_info) => {
            assert!(answer.status().is_success());
            assert!(access_info.auth_token().is_some());
            assert_eq!(read.as_ref().expect("the same answer").body(), access_info.body());
            auth_state::look_at(access_info);
            let renewing = RenewingPlugin::new(v3, keystone(answer.clone()));
            let _ = renewing.set_auth_state(Some(&access_info.auth_state()));
        }
        Err(error) => look_at(error),
    }
    let v2 = V2Credentials::password(auth_url.clone(), User::new().username("alice"), "pw");
    now(v2.get_auth_ref(keystone(answer.clone()))).err().iter().for_each(look_at);
}

/// Checks that an error can be shown, with a limited length.
fn look_at(error: &Error) {
    let shown = error.to_string();
    assert!(shown.len() < 100_000, "{} bytes", shown.len());
    let _ = (format!("{error:?}"), error.is_transient());
}
