//! Logs in with a Kerberos ticket, which a library for GSSAPI makes for each request.
//!
//! ```sh
//! cargo run --example kerberos
//! ```
//!
//! This crate has no such library, because all of them link to the one of the system. The function [`ticket`] is the place
//! for a call of yours, such as `cross-krb5` or `libgssapi`. Here it makes a ticket that only this example accepts: a
//! stand-in for the web server in front of Keystone. With a real cloud, `Transport::new(client)` takes the place of the
//! transport, and an HTTPS client that of `cloud`.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keystone::{
    AuthLayer, AuthMethod, BoxError, EndpointFilter, RaiseForStatusLayer, ReauthPolicy, RenewingPlugin,
    Scope, Transport, User, V3Credentials, federation::LoginHeader, fixture::Cloud,
};

/// Returns the first token of GSSAPI for this service, such as `HTTP@keystone.example.com`.
///
/// With `cross-krb5`:
///
/// ```ignore
/// let service = service.replace('@', "/");
/// let (_, ticket) = ClientCtx::new(InitiateFlags::empty(), None, &service, None)?;
/// Ok(ticket.to_vec())
/// ```
///
/// With `libgssapi`:
///
/// ```ignore
/// let name = Name::new(service.as_bytes(), Some(&GSS_NT_HOSTBASED_SERVICE))?;
/// let mut context = ClientCtx::new(None, name, CtxFlags::GSS_C_MUTUAL_FLAG, Some(&GSS_MECH_SPNEGO));
/// let ticket = context.step(None, None)?.ok_or("no ticket; run kinit")?;
/// Ok(ticket.to_vec())
/// ```
fn ticket(service: &str) -> Result<Vec<u8>, BoxError> {
    Ok(format!("a ticket of alice for {service}").into_bytes())
}

/// Returns the header of each login request: `Negotiate` and a new ticket.
fn negotiate() -> LoginHeader {
    LoginHeader::new(|_, url| {
        let service = format!("HTTP@{}", url.host().unwrap_or_default());
        async move {
            // GSSAPI blocks: it reads files, and asks the Kerberos server.
            let ticket = tokio::task::spawn_blocking(move || ticket(&service)).await??;
            Ok(HeaderValue::try_from(format!("Negotiate {}", BASE64_STANDARD.encode(ticket)))?)
        }
    })
    // The user of the tickets, which errors show.
    .named("alice@EXAMPLE.COM")
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");

    // Many clouds have a path of its own for Kerberos, such as https://keystone.example.com/krb/v3.
    let credentials =
        V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::kerberos(negotiate())).scope(demo());
    let plugin = RenewingPlugin::new(credentials, web_server(cloud.clone()));
    let mut nova = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
        .service(cloud);

    let request = Request::get("/servers").body(Full::<Bytes>::default())?;
    let response = nova.ready().await?.call(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    Ok(())
}

fn demo() -> Scope {
    Scope::new().project_name("demo").project_domain_name("Default")
}

/// Plays the web server in front of Keystone, which checks the ticket and says who logs in.
fn web_server(cloud: Cloud) -> Transport {
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let cloud = cloud.clone();
        async move {
            let host = request.uri().host().unwrap_or_default();
            let expected = format!("a ticket of alice for HTTP@{host}");
            let expected = format!("Negotiate {}", BASE64_STANDARD.encode(expected));
            if request.headers().get("authorization").is_none_or(|value| *value != *expected) {
                let challenge = Response::builder().status(401).header("www-authenticate", "Negotiate");
                return Ok::<_, BoxError>(challenge.body(Bytes::from_static(b"<html>").into())?);
            }
            // The in-memory cloud has no method for Kerberos.
            let alice = User::new().username("alice").user_domain_name("Default");
            let login = V3Credentials::new(request.uri(), AuthMethod::password(alice, "wonderland"));
            let mut login = login.scope(demo()).request()?.map(Full::new);
            *login.uri_mut() = request.uri().clone();
            let (parts, body) = cloud.oneshot(login).await?.into_parts();
            Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
        }
    }))
}
