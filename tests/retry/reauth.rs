//! `ReauthPolicy`: retries after a 401, and request bodies that can be replayed.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, BoxError, EndpointFilter, IdentityPlugin, ReauthPolicy, ReplayBody,
    ServiceAccess, TokenRejected,
    fixture::{Cloud, ResponseBody},
};

use crate::support::*;

/// The requests that Nova received: token and length of the body.
#[derive(Clone, Default)]
struct ReceivedRequests(Arc<Mutex<Vec<(String, usize)>>>);

fn token(access: &ServiceAccess) -> String {
    access.auth_ref().unwrap().auth_token().unwrap().to_owned()
}

/// Returns a Nova that reads the whole body before it responds. Without `reads_body`, it reads no body if the token is
/// invalid.
fn nova<B>(
    cloud: &Cloud,
    seen: &ReceivedRequests,
    reads_body: bool,
) -> impl Service<Request<B>, Response = Response<ResponseBody>, Error = BoxError, Future: Send> + Clone
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (cloud, seen) = (cloud.clone(), seen.clone());
    service_fn(move |request: Request<B>| {
        let (cloud, seen) = (cloud.clone(), seen.clone());
        async move {
            let (parts, body) = request.into_parts();
            let token = parts.headers["x-auth-token"].to_str().unwrap().to_owned();
            let bytes = if reads_body || cloud.keystone().validate(&token) {
                body.collect().await.map_err(Into::into)?.to_bytes()
            } else {
                Bytes::new()
            };
            seen.0.lock().unwrap().push((token, bytes.len()));
            cloud.oneshot(Request::from_parts(parts, Full::new(bytes))).await.map_err(Into::into)
        }
    })
}

/// A stream of chunks of 10 bytes, with trailers.
struct Chunks(VecDeque<Frame<Bytes>>);

fn chunks(count: usize) -> Chunks {
    let data = (0..count).map(|index| Frame::data(Bytes::from(format!("chunk {index:>3}\n"))));
    Chunks(
        data.chain([Frame::trailers(HeaderMap::from_iter([(
            "x-sum".parse().unwrap(),
            "1".parse().unwrap(),
        )]))])
        .collect(),
    )
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// A stream that yields the data of these chunks, and then an error.
struct FailingBody(Chunks);

impl Body for FailingBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let data = self.0.0.pop_front().filter(Frame::is_data);
        Poll::Ready(Some(data.ok_or("it broke")))
    }
}

async fn post<B>(
    cloud: &Cloud,
    policy: ReauthPolicy<B>,
    body: B,
    reads_body: bool,
) -> (Response<ResponseBody>, Vec<usize>)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let plugin = password(cloud, cloud.transport());
    let seen = ReceivedRequests::default();
    let mut nova = ServiceBuilder::new()
        .retry(policy)
        .layer(AuthLayer::new(plugin.clone()))
        .service(nova::<B>(cloud, &seen, reads_body));
    let first = plugin.renew().await.unwrap();
    cloud.keystone().revoke(&token(&first));

    let request = Request::post("/servers").extension(EndpointFilter::new("compute")).body(body).unwrap();
    let response = nova.ready().await.unwrap().call(request).await.unwrap();

    let seen = seen.0.lock().unwrap().clone();
    assert_eq!(seen[0].0, token(&first));
    assert!(seen.iter().skip(1).all(|(used, _)| *used != token(&first)), "the retry uses the new token");
    let next = plugin.access().await.unwrap();
    assert!(cloud.keystone().validate(&token(&next)), "the next request gets a valid token");
    (response, seen.into_iter().map(|(_, bytes)| bytes).collect())
}

#[tokio::test]
async fn a_rejected_request_is_sent_once_more_with_its_filter_and_body() {
    let cloud = cloud();
    let (response, bodies) = post(&cloud, ReauthPolicy::new(), Full::new(Bytes::from("body")), true).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(bodies, [4, 4]);
    assert_eq!(cloud.keystone().logins(), 2);
}

#[tokio::test]
async fn a_body_that_cannot_be_cloned_is_not_sent_again() {
    let cloud = cloud();
    let (response, bodies) = post(&cloud, ReauthPolicy::with_clone_body(|_| None), chunks(3), true).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(bodies, [30]);
}

#[tokio::test]
async fn a_custom_clone_of_the_body_is_sent_again() {
    let cloud = cloud();
    let policy = ReauthPolicy::with_clone_body(|_| Some(chunks(3)));
    let (response, bodies) = post(&cloud, policy, chunks(3), true).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(bodies, [30, 30]);
}

#[tokio::test]
async fn a_replay_body_is_sent_again_whether_or_not_it_was_read() {
    for reads_body in [true, false] {
        let cloud = cloud();
        let body = ReplayBody::new(chunks(3), 30);
        let (response, bodies) = post(&cloud, ReauthPolicy::replaying(), body, reads_body).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(bodies, [if reads_body { 30 } else { 0 }, 30]);
    }
}

#[tokio::test]
async fn a_body_longer_than_the_replay_limit_is_not_sent_again() {
    let cloud = cloud();
    let (response, bodies) =
        post(&cloud, ReauthPolicy::replaying(), ReplayBody::new(chunks(3), 29), true).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(bodies, [30]);
}

#[tokio::test]
async fn a_second_401_is_returned() {
    let cloud = cloud();
    let plugin = password(&cloud, cloud.transport());
    let sent = Arc::new(Mutex::new(0));
    let count = Arc::clone(&sent);
    let rejecting = service_fn(move |_: Request<Full<Bytes>>| {
        *count.lock().unwrap() += 1;
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        async { Ok::<_, Infallible>(response) }
    });
    let nova =
        ServiceBuilder::new().retry(ReauthPolicy::new()).layer(AuthLayer::new(plugin)).service(rejecting);
    let request = Request::get("/").extension(EndpointFilter::new("compute")).body(Full::default()).unwrap();
    let response = nova.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((*sent.lock().unwrap(), cloud.keystone().logins()), (2, 2));
}

#[tokio::test]
async fn a_final_rejection_is_not_retried() {
    let cloud = cloud();
    let info = cloud.keystone().issue("alice", Some("demo")).unwrap();
    cloud.keystone().revoke(info.auth_token().unwrap());
    let nova = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(AccessInfoPlugin::new(info)).endpoint(EndpointFilter::new("compute")))
        .service(cloud.clone());
    let response = nova.oneshot(Request::get("/").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(cloud.requests_to("compute"), 1);
}

#[tokio::test]
async fn a_replayed_body_continues_after_the_part_read_by_the_first_attempt() {
    let mut first = ReplayBody::new(chunks(3), 100);
    let second = first.clone();
    let frame = first.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, "chunk   0\n");
    drop(first);
    let whole = second.collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["x-sum"], "1");
    assert_eq!(whole.to_bytes(), "chunk   0\nchunk   1\nchunk   2\n");
}

#[tokio::test]
async fn a_body_whose_beginning_was_discarded_is_an_error_and_not_truncated() {
    let mut first = ReplayBody::new(chunks(3), 10);
    let second = first.clone();
    for _ in 0..2 {
        first.frame().await.unwrap().unwrap();
    }
    assert!(!second.can_replay());
    assert_eq!(first.collect().await.unwrap().to_bytes(), "chunk   2\n", "the first attempt continues");
    // A client checks these two first, and would send an empty body if they said so.
    assert!(!second.is_end_stream() && second.size_hint().exact().is_none());
    assert!(second.collect().await.is_err());
}

#[tokio::test]
async fn a_body_that_failed_cannot_be_sent_again() {
    for read in [0, 1] {
        let mut first = ReplayBody::new(FailingBody(chunks(read)), 100);
        let second = first.clone();
        for _ in 0..read {
            first.frame().await.unwrap().unwrap();
        }
        assert!(second.can_replay());
        assert_eq!(first.frame().await.unwrap().unwrap_err().to_string(), "it broke");
        assert!(!second.can_replay());
        assert!(second.collect().await.is_err());
    }
}

#[tokio::test]
async fn a_clone_of_a_replay_body_keeps_the_full_size_hint() {
    let mut first = ReplayBody::new(Full::new(Bytes::from("12345")), 100);
    assert_eq!(first.size_hint().exact(), Some(5));
    let second = first.clone();
    first.frame().await.unwrap().unwrap();
    assert_eq!((first.size_hint().exact(), second.size_hint().exact()), (Some(0), Some(5)));
    assert!(first.is_end_stream() && !second.is_end_stream());
}
