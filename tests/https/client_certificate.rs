//! Servers that require a client certificate.

use crate::{
    builder,
    certificates::{Authority, Directory, NAMES},
    chain, get,
    server::Server,
    transport_error,
};

/// A server that requires a client certificate of `clients`.
struct Setup {
    files: Directory,
    clients: Authority,
    server: Server,
}

impl Setup {
    async fn new() -> Self {
        let (ca, clients, files) = (Authority::new("CA"), Authority::new("Client CA"), Directory::new());
        let server = Server::start(ca.issue(&NAMES).server_for_clients_of(&clients)).await;
        files.file("ca.pem", ca.pem());
        Self { files, clients, server }
    }

    fn builder(&self) -> tower_keystone::HttpsClientBuilder {
        builder().ca_file(self.files.path("ca.pem"))
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let setup = Setup::new().await;
    let client = setup.clients.issue(&["client"]);
    let certificate = setup.files.file("cert.pem", client.certificate_pem());
    let key = setup.files.file("key.pem", client.key_pem());
    let both = setup.files.file("both.pem", client.certificate_pem() + &client.key_pem());
    let key_first = setup.files.file("key-first.pem", client.key_pem() + &client.certificate_pem());
    for (certificate, key) in [(certificate, Some(key)), (both, None), (key_first, None)] {
        let client = setup.builder().client_certificate(certificate, key).build().unwrap();
        assert_eq!(get(&client, &setup.server.url("localhost")).await.unwrap().body(), "hello");
    }
    assert!(setup.server.received().iter().all(|received| received.has_client_certificate));
}

#[tokio::test]
async fn a_server_rejects_a_client_without_a_certificate_or_with_a_wrong_one() {
    let setup = Setup::new().await;
    let wrong = Authority::new("Other CA").issue(&["client"]);
    let wrong = setup.files.file("wrong.pem", wrong.certificate_pem() + &wrong.key_pem());
    let without = setup.builder().build().unwrap();
    let with_wrong = setup.builder().client_certificate(wrong, None).build().unwrap();
    for client in [without, with_wrong] {
        let error = transport_error(&client, &setup.server.url("localhost")).await;
        assert!(
            error.to_string().contains("rejected the client certificate, or got none"),
            "{}",
            chain(&error)
        );
        assert!(!error.is_transient(), "{error}");
    }
    assert!(setup.server.received().is_empty());
}
