use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{Cloud, Identity};
use crate::{AuthLayer, BoxError, EndpointFilter, Error};

/// Sends a request through the plugin, and returns its URI and headers.
async fn send(cloud: &Cloud, filter: EndpointFilter) -> Result<(String, HeaderMap), BoxError> {
    let Identity::Fixed(plugin) = cloud.build().unwrap().identity else { panic!("no plugin") };
    let echo = service_fn(|request: Request<Full<bytes::Bytes>>| async move {
        let mut response = Response::new(request.uri().to_string());
        *response.headers_mut() = request.headers().clone();
        Ok::<_, BoxError>(response)
    });
    let mut request = Request::get("/servers").body(Full::default())?;
    request.extensions_mut().insert(filter);
    let mut service = AuthLayer::new(plugin).layer(echo);
    let response = service.ready().await?.call(request).await?;
    Ok((response.body().clone(), response.headers().clone()))
}

#[tokio::test]
async fn fixed_endpoints_get_all_requests() {
    let none = Cloud::new().top("auth_type", "none").top("endpoint", "https://ironic.example.com:6385/");
    let (url, headers) = send(&none, EndpointFilter::new("compute")).await.unwrap();
    assert_eq!((&*url, headers.len()), ("https://ironic.example.com:6385/servers", 0));

    let token = Cloud::new()
        .top("auth_type", "admin_token")
        .auth("url", " https://n.example.com\n")
        .auth("token", "t");
    let (url, headers) = send(&token, EndpointFilter::new("compute")).await.unwrap();
    assert_eq!((&*url, &headers["x-auth-token"]), ("https://n.example.com/servers", &"t".parse().unwrap()));
}

#[tokio::test]
async fn without_an_endpoint_requests_need_an_override() {
    let none = Cloud::new().top("auth_type", "none");
    let basic = Cloud::new().top("auth_type", "http_basic").top("username", "ironic").top("password", "pw");
    for (cloud, authorization) in [(none, None), (basic, Some("Basic aXJvbmljOnB3"))] {
        let overridden = EndpointFilter::new("baremetal").endpoint_override("https://i.example.com");
        let (url, headers) = send(&cloud, overridden).await.unwrap();
        assert_eq!(url, "https://i.example.com/servers");
        assert_eq!(headers.get("authorization").map(|value| value.to_str().unwrap()), authorization);

        for filter in [EndpointFilter::new("baremetal"), EndpointFilter::default()] {
            let error = send(&cloud, filter).await.unwrap_err();
            assert!(matches!(Error::find(&*error), Some(Error::NoEndpoint)), "{error}");
        }
    }
}

#[test]
fn unusable_settings_are_named() {
    let message = |cloud: Cloud| cloud.error().to_string();
    let none = Cloud::new().top("auth_type", "none");
    assert_eq!(
        message(none.auth("endpoint", "ironic.example.com")),
        "clouds.yaml:2:7: auth.endpoint: expected the URL of an endpoint, but the URL is neither http nor https"
    );
    let basic = Cloud::new().top("auth_type", "http_basic").auth("username", "a:b").auth("password", "p");
    assert_eq!(message(basic), "clouds.yaml:2:7: auth.username: expected a username without a colon");
}
