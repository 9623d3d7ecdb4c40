//! Certificates, and a proxy that adds TLS to the services.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderValue, Request, Uri, uri::Scheme};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring::default_provider,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

/// A certificate authority of one test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its private key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key pair");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// Returns the certificate of the authority, in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for a server on loopback, or for a client.
    pub(crate) fn issue(&self) -> Identity {
        let (certificate, key) = self.certify();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn certify(&self) -> (Certificate, KeyPair) {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let key = KeyPair::generate().expect("a key pair");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        roots
    }

    /// Returns TLS settings of a server. It requires certificates of the authority `clients`, if there is one.
    fn server_config(&self, clients: Option<&Self>) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                config.with_client_cert_verifier(verifier.expect("it has a root"))
            }
        };
        let (certificate, key) = self.certify();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        config.with_single_cert(vec![certificate.into()], key).expect("the key fits")
    }
}

/// A proxy on a loopback port that passes on requests over TLS to one service.
///
/// The service sees the host and the scheme that the client used.
pub(crate) struct TlsProxy {
    origin: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TlsProxy {
    /// Starts a proxy in front of the service at this URL, with a certificate of `authority`.
    ///
    /// The proxy requires client certificates of the authority `clients`, if there is one.
    pub(crate) async fn start(authority: &Authority, clients: Option<&Authority>, service: &Uri) -> Self {
        let config = authority.server_config(clients);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let origin = format!("https://{}", listener.local_addr().expect("an address"));
        let service = service.authority().expect("an absolute URL").clone();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let tls = TlsAcceptor::from(Arc::new(config));
        let client: Client<_, Incoming> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();

        let forward = service_fn(move |mut request: Request<Incoming>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut target = request.uri().clone().into_parts();
            (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(service.clone()));
            *request.uri_mut() = Uri::from_parts(target).expect("the parts of a URI");
            request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
            client.request(request)
        });
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (tls, forward) = (tls.clone(), forward.clone());
                tokio::spawn(async move {
                    // The client sees why a handshake or a connection fails.
                    if let Ok(stream) = tls.accept(stream).await {
                        http1::Builder::new().serve_connection(TokioIo::new(stream), forward).await.ok();
                    }
                });
            }
        });
        Self { origin, requests, task }
    }

    /// Returns the URL of the proxy, without a path.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the number of requests that arrived.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
