use std::time::SystemTime;

use http::HeaderValue;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    timestamp,
    token_header::{self, BEARER},
};
use crate::{Error, Secret, json};

/// An OAuth 2.0 access token that is sent as `Authorization: Bearer`, beside the token of Keystone.
pub(crate) struct Bearer {
    header: HeaderValue,
    expires: Option<SystemTime>,
}

impl Bearer {
    /// # Errors
    ///
    /// [`Error::InvalidToken`] if the access token is not 1 to 131,072 bytes of visible ASCII.
    pub(crate) fn new(access_token: &str, expires: Option<SystemTime>) -> Result<Self, Error> {
        Ok(Self { header: token_header::bearer_value(access_token)?, expires })
    }

    /// Returns the value of `Authorization`, which is marked sensitive.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    fn access_token(&self) -> &str {
        self.header.to_str().ok().and_then(|value| value.strip_prefix(BEARER)).unwrap_or_default()
    }

    /// Returns the maximum length of the text that [`push_member`](Self::push_member) adds.
    pub(super) fn member_len(&self) -> usize {
        const NAMES_AND_TIME: usize = 80;
        2 * self.access_token().len() + NAMES_AND_TIME
    }

    /// Appends the member `bearer` to an auth state.
    pub(super) fn push_member(&self, state: &mut String) {
        state.push_str(r#", "bearer": {"access_token": "#);
        token_header::push_json(self.access_token(), state);
        if let Some(expires) = self.expires.and_then(whole_seconds) {
            state.push_str(r#", "expires_at": ""#);
            state.push_str(&expires.to_string());
            state.push('"');
        }
        state.push('}');
    }

    /// Reads the value of the member that [`push_member`](Self::push_member) has written.
    pub(super) fn from_json(json: &RawValue) -> Result<Self, Error> {
        let (mut access_token, mut expires_at) = (None, None);
        let read = json::for_each_member(json.get(), |name, value| match name {
            "access_token" => access_token = json::text(value).map(Secret::new),
            "expires_at" => expires_at = json::text(value),
            _ => {}
        });
        let invalid = || Error::invalid_response("the `bearer` of the auth state is malformed", 0, 0);
        let access_token = read.ok().and(access_token).ok_or_else(invalid)?;
        let expires = expires_at.map(|text| timestamp::parse(&text).ok_or_else(invalid)).transpose()?;
        Self::new(access_token.expose(), expires)
    }
}

fn whole_seconds(time: SystemTime) -> Option<Timestamp> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Timestamp::from_second(i64::try_from(since_epoch.as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, header::AUTHORIZATION};

    use super::*;
    use crate::{AccessInfo, ServiceAccess};

    const DOCUMENT: &str = r#"{"token": {"expires_at": "1970-01-01T01:00:00Z", "catalog": []}}"#;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn access_info(access_token: &str, expires: Option<SystemTime>) -> AccessInfo {
        let bearer = Bearer::new(access_token, expires).unwrap();
        AccessInfo::new("token", DOCUMENT).unwrap().with_bearer(bearer).unwrap()
    }

    fn headers(access_info: &AccessInfo) -> HeaderMap {
        let mut headers = HeaderMap::new();
        ServiceAccess::from_auth_ref(access_info.clone()).unwrap().insert_headers(&mut headers);
        headers
    }

    #[test]
    fn it_is_sent_beside_the_token_and_not_shown() {
        let access_info = access_info("canary", None);
        let headers = headers(&access_info);
        assert_eq!(headers["x-auth-token"], "token");
        assert_eq!(headers[AUTHORIZATION], "Bearer canary");
        assert!(headers[AUTHORIZATION].is_sensitive());
        let access = ServiceAccess::from_auth_ref(access_info.clone()).unwrap();
        assert!(access.secrets().any(|secret| secret == "canary"));
        assert!(!format!("{access:?} {access_info:?}").contains("canary"));
    }

    #[test]
    fn the_earlier_expiry_counts() {
        assert_eq!(access_info("a", None).expires().unwrap(), Some(at(3600)));
        assert_eq!(access_info("a", Some(at(3601))).expires().unwrap(), Some(at(3600)));
        assert_eq!(access_info("a", Some(at(60))).expires().unwrap(), Some(at(60)));
        let bearer = Bearer::new("a", Some(at(60))).unwrap();
        let endless = AccessInfo::new("token", r#"{"token": {}}"#).unwrap().with_bearer(bearer).unwrap();
        assert_eq!(endless.expires().unwrap(), Some(at(60)));
    }

    #[test]
    fn it_is_part_of_the_auth_state() {
        for (access_token, expires) in [(r#"a"b\c"#, None), ("a", Some(at(60)))] {
            let state = access_info(access_token, expires).auth_state();
            let restored = AccessInfo::from_auth_state(&state).unwrap();
            assert_eq!(headers(&restored)[AUTHORIZATION], format!("Bearer {access_token}"));
            assert_eq!(restored.bearer().unwrap().expires(), expires);
            assert_eq!(restored.body().expose(), DOCUMENT);
            assert_eq!(restored.auth_state(), state);
            assert!(serde_json::from_str::<serde_json::Value>(state.expose()).is_ok(), "{}", state.expose());
        }
        let without = AccessInfo::new("token", DOCUMENT).unwrap();
        assert!(!without.auth_state().expose().contains("bearer"));
        assert!(AccessInfo::from_auth_state(&without.auth_state()).unwrap().bearer().is_none());
    }

    #[test]
    fn a_state_is_written_without_growing() {
        for access_token in ["a".to_owned(), r#"\""#.repeat(1000)] {
            let access_info = access_info(&access_token, Some(at(60)));
            let mut member = String::new();
            access_info.bearer().unwrap().push_member(&mut member);
            assert!(member.len() <= access_info.bearer().unwrap().member_len());
        }
    }

    #[test]
    fn a_malformed_one_is_an_error_that_does_not_show_it() {
        for bearer in [
            "null",
            "{}",
            r#""canary""#,
            r#"{"access_token": 1}"#,
            r#"{"access_token": "can ary"}"#,
            r#"{"access_token": "canary", "expires_at": "soon"}"#,
        ] {
            let state = format!(r#"{{"auth_token": "token", "body": {DOCUMENT}, "bearer": {bearer}}}"#);
            let error = AccessInfo::from_auth_state(&state.into()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn it_is_added_to_a_clone_alone() {
        let original = AccessInfo::new("token", DOCUMENT).unwrap();
        let copy = original.clone().with_bearer(Bearer::new("a", None).unwrap()).unwrap();
        assert!(original.bearer().is_none() && copy.bearer().is_some());
    }
}
