//! Valkey over TLS. The server of the tests has none, so a proxy in front of it has.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::PrivateKeyDer,
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};
use tower_keystone::{
    Error,
    store::{RedisStore, TokenStore},
};

use crate::{
    contract,
    valkey::Valkey,
    valkey_store::{check_contract, patient, publish},
};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Starts a proxy with a certificate of the authority for `localhost`. Returns its port.
async fn start_proxy(port: u16, authority: &Authority, wants_client_certificate: bool) -> u16 {
    let (certificate, key) = authority.issue("localhost");
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = if wants_client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap()
    } else {
        WebPkiClientVerifier::no_client_auth()
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own_port
}

fn store(host: &str, port: u16) -> RedisStore {
    patient(RedisStore::new(format!("rediss://{host}:{port}")).unwrap())
}

#[tokio::test]
async fn a_store_keeps_the_contract_over_tls() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    let authority = Authority::new("authority");
    let port = start_proxy(server.port(), &authority, false).await;
    let store = store("localhost", port).root_certificates(authority.pem()).unwrap();
    check_contract(&store, &store.clone()).await;
}

#[tokio::test]
async fn the_certificate_of_a_server_must_be_of_a_trusted_authority_and_for_its_name() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    let authority = Authority::new("authority");
    let port = start_proxy(server.port(), &authority, false).await;
    for (store, reason) in [
        (
            store("localhost", port).root_certificates(Authority::new("another").pem()).unwrap(),
            "UnknownIssuer",
        ),
        (store("localhost", port), "UnknownIssuer"),
        (store("127.0.0.1", port).root_certificates(authority.pem()).unwrap(), "not valid for name"),
    ] {
        let error = store.get(&contract::name()).await.unwrap_err();
        assert!(error.to_string().contains("cannot connect to"), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_sent() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    let authority = Authority::new("authority");
    let port = start_proxy(server.port(), &authority, true).await;
    let store = store("localhost", port).root_certificates(authority.pem()).unwrap();
    store.get(&contract::name()).await.unwrap_err();
    let (certificate, key) = authority.issue("client");
    let store = store.client_certificate(certificate.pem(), key.serialize_pem()).unwrap();
    assert!(publish(&store, &contract::name(), b"record").await);
    let broken = store.client_certificate(certificate.pem(), "hidden key").unwrap();
    let error = broken.get(&contract::name()).await.unwrap_err();
    assert!(!format!("{error} {error:?} {broken:?}").contains("hidden"), "{error}");
}

#[test]
fn certificates_that_would_not_be_used_are_refused() {
    let pem = Authority::new("authority").pem();
    for url in ["redis://localhost", "valkey://localhost", "unix:///run/valkey.sock"] {
        let store = || RedisStore::new(url).unwrap();
        for result in [store().root_certificates(&*pem), store().client_certificate(&*pem, "key")] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InvalidStore { .. }), "{error:?}");
            assert!(error.to_string().contains("needs TLS; begin the URL with `rediss://`"), "{error}");
        }
    }
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n"] {
        let store = || RedisStore::new("valkeys://localhost").unwrap();
        for (result, setting) in [
            (store().root_certificates(text), "root_certificates"),
            (store().client_certificate(text, "key"), "client_certificate"),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InvalidStore { .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("{setting} has no certificate")), "{error}");
        }
    }
}
