//! A login at a SAML identity provider, with hostile envelopes.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;
use tower_keystone::{
    Credentials, Transport,
    federation::{FederatedCredentials, Grant, IdentityProvider, SamlIdentityProvider},
};

const IDP: &str = "https://idp.example.com/ecp";

/// The line between both envelopes.
const SEPARATOR: &str = "\n-----\n";

/// The input is the envelope of the service provider, a line `-----`, and that of the identity provider.
pub fn run(input: &[u8]) {
    let at = input.windows(SEPARATOR.len()).position(|part| part == SEPARATOR.as_bytes());
    let (sp, idp) = match at {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, input),
    };
    let sent = log_in(Bytes::copy_from_slice(sp), Bytes::copy_from_slice(idp));
    let mut sent = sent.iter();

    let first = sent.next().expect("the service provider is asked first");
    assert_eq!(first.method(), Method::GET);
    let Some(to_provider) = sent.next() else { return };
    assert_eq!(to_provider.uri(), IDP);
    is_cut(sp, to_provider.body());
    for request in sent {
        assert_ne!(request.uri().host(), Some("idp.example.com"));
        assert!(!request.headers().contains_key("authorization"), "the password is for the provider only");
        assert_eq!(request.uri().host().map(str::to_ascii_lowercase).as_deref(), Some("sp.example.com"));
        assert_eq!(request.uri().scheme_str(), Some("https"));
        let body = std::str::from_utf8(request.body()).expect("an envelope is UTF-8");
        if request.method() == Method::POST
            && !body.contains("responseConsumerURL and AssertionConsumerServiceURL")
        {
            is_answered(std::str::from_utf8(idp).expect("it was read"), body);
        }
    }
}

/// Logs in, and returns the requests that were sent.
fn log_in(sp: Bytes, idp: Bytes) -> Vec<Request<Bytes>> {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let sent = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&sent);
    let transport = Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let (sp, idp, requests) = (sp.clone(), idp.clone(), Arc::clone(&requests));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let is_provider = parts.uri == IDP;
            let has_session = parts.headers.contains_key("cookie");
            let response = match parts.method {
                Method::POST if is_provider => Response::builder().body(idp),
                Method::POST => {
                    Response::builder().status(303).header("set-cookie", "s=1").body(Bytes::new())
                }
                _ if has_session => Response::builder().status(401).body(Bytes::new()),
                _ => Response::builder().header("content-type", "application/vnd.paos+xml").body(sp),
            };
            requests.lock().expect("no panic").push(Request::from_parts(parts, body));
            Ok::<_, Infallible>(response.expect("a response").map(Full::new))
        }
    }));
    let saml = SamlIdentityProvider::new(IDP, "erin", "canary");
    let keystone = IdentityProvider::new("https://sp.example.com:5000", "ecp", "saml2");
    let credentials = FederatedCredentials::new(keystone, Grant::saml(saml));
    let result = RUNTIME.with(|runtime| runtime.block_on(credentials.get_auth_ref(transport)));
    let error = result.expect_err("there is no token");
    assert!(!format!("{error:#} {error:?}").contains("canary"), "{error:?}");
    let requests = std::mem::take(&mut *sent.lock().expect("no panic"));
    requests
}

/// Checks that a text is another one without one part.
fn is_cut(whole: &[u8], cut: &[u8]) {
    let start = whole.iter().zip(cut).take_while(|(one, other)| one == other).count();
    let rest = &cut[start..];
    assert!(whole[start..].ends_with(rest), "it is sent byte for byte");
}

/// Checks that one element of an envelope was replaced, and nothing else was changed.
fn is_answered(envelope: &str, sent: &str) {
    let state = "<ecp:RelayState xmlns:ecp=\"urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp\" xmlns:S=";
    let found = sent.match_indices(state).any(|(start, _)| {
        let rest = &sent[start..];
        rest.find("</ecp:RelayState>").is_some_and(|end| {
            let (before, after) = (&sent[..start], &rest[end + "</ecp:RelayState>".len()..]);
            envelope.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
        })
    });
    if !found {
        // There was no state.
        is_cut(envelope.as_bytes(), sent.as_bytes());
    }
}
