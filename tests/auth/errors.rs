//! Errors of the layer in a stack of middleware.

use std::{error::Error as StdError, fmt, time::Duration};

use http::Request;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, buffer::BufferLayer, timeout::TimeoutLayer};
use tower_keystone::{AuthLayer, Error};

use crate::support::*;

async fn refused_foreign_origin<S>(service: S) -> BoxError
where
    S: Service<Request<()>, Error: Into<BoxError>>,
{
    match service.oneshot(get("https://evil.example.org/")).await {
        Err(error) => error.into(),
        Ok(_) => panic!("the request was not refused"),
    }
}

fn is_origin_not_allowed(error: &BoxError) -> bool {
    matches!(Error::find(&**error), Some(Error::OriginNotAllowed { .. }))
}

#[tokio::test]
async fn an_error_is_found_through_other_middleware() {
    let layer = AuthLayer::new(fixed_token());
    assert!(is_origin_not_allowed(
        &refused_foreign_origin(ServiceBuilder::new().layer(&layer).service(Inner::new())).await
    ));

    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(BufferLayer::new(4))
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(&layer)
        .service(Inner::new());
    assert!(is_origin_not_allowed(&refused_foreign_origin(stack).await));
}

#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn an_error_is_found_among_the_sources_of_another() {
    let stack =
        ServiceBuilder::new().map_err(Wrapped).layer(AuthLayer::new(fixed_token())).service(Inner::new());
    let error = refused_foreign_origin(stack).await;
    assert!(error.is::<Wrapped>());
    assert!(is_origin_not_allowed(&error));
    assert!(is_origin_not_allowed(&Wrapped(error).into()));
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_returned_unchanged() {
    for waiting in [false, true] {
        let inner = tower::service_fn(|_: Request<()>| async {
            Err::<http::Response<()>, _>(std::io::Error::other("connection reset"))
        });
        let plugin = ScriptedPlugin::default();
        if waiting {
            drop(plugin.hold());
        }
        let layer = AuthLayer::new(plugin.clone());
        let error = ServiceBuilder::new().layer(&layer).service(inner).oneshot(get(NOVA)).await.unwrap_err();
        assert_eq!(error.downcast::<std::io::Error>().unwrap().to_string(), "connection reset");
        assert!(plugin.invalidated().is_empty());
    }
}

#[tokio::test]
async fn an_error_of_the_plugin_fails_the_request_at_once_or_after_waiting() {
    for waiting in [false, true] {
        let plugin = ScriptedPlugin::default();
        plugin.fail(Error::plugin(true, "keystone is down"));
        if waiting {
            drop(plugin.hold());
        }
        let error = refused(&AuthLayer::new(plugin.clone()), get(NOVA)).await;
        assert!(error.is_transient());
        assert_eq!(error.source().unwrap().to_string(), "keystone is down");
        assert!(plugin.invalidated().is_empty());
    }
}

mod globs {
    use tower::*;
    use tower_keystone::*;

    #[test]
    fn glob_imports_of_tower_and_this_crate_do_not_conflict() {
        let error: BoxError = Error::NoToken.into();
        let _: (&tower::BoxError, &tower_keystone::BoxError) = (&error, &error);
        let fails = service_fn(async |()| Err::<(), BoxError>(Error::NoToken.into()));
        drop(ServiceBuilder::new().service(fails).oneshot(()));
    }
}
