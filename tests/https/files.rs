//! Files and settings with which no client can be built.

use std::path::Path;

use tower_keystone::{Error, HttpsClientBuilder};

use crate::{
    builder,
    certificates::{Authority, Directory},
};

fn build_error(builder: HttpsClientBuilder) -> Error {
    let built = builder.build();
    let error = built.unwrap_err();
    assert!(!error.is_transient());
    error
}

/// Expects an error that names the file and contains a text.
fn assert_names(builder: HttpsClientBuilder, file: &Path, expected: &str) {
    let text = build_error(builder).to_string();
    assert!(text.starts_with("cannot build the HTTPS client: "), "{text}");
    assert!(text.contains(&*file.to_string_lossy()), "{text}");
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn an_unusable_ca_file_is_named() {
    let files = Directory::new();
    let pem = Authority::new("CA").pem();
    let cut = pem.split("-----END").next().unwrap().to_owned();
    for (name, content, expected) in [
        ("empty.pem", "", "it contains no certificate; it must contain"),
        ("text.pem", "secret", "it contains no certificate"),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "no certificate"),
        ("cut.pem", &cut, "a line `-----END ...-----` is missing"),
        ("base64.pem", &pem.replacen("MI", "M!secret", 1), "the base64 text is wrong"),
        (
            "der.pem",
            "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n",
            "its certificates are malformed",
        ),
    ] {
        let file = files.file(name, content);
        assert_names(builder().ca_file(&file), &file, expected);
    }
    let missing = files.path("missing.pem");
    assert_names(builder().ca_file(&missing), &missing, "it cannot be read: No such file");
    let long = files.file("long.pem", vec![b' '; 8 * 1024 * 1024 + 1]);
    assert_names(builder().ca_file(&long), &long, "longer than 8 MiB");
}

#[test]
fn an_unusable_client_certificate_is_named() {
    let (files, ca) = (Directory::new(), Authority::new("CA"));
    let (client, other) = (ca.issue(&["client"]), ca.issue(&["other"]));
    let certificate = files.file("cert.pem", client.certificate_pem());
    let with_key = |content: &str| {
        let key = files.file("key.pem", content);
        (builder().client_certificate(&certificate, Some(key.clone())), key)
    };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
                         c2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    let unknown = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    for (content, expected) in [
        ("", "it contains no private key; it must contain"),
        ("secret", "it contains no private key"),
        (&*client.certificate_pem(), "it contains no private key"),
        (&*other.key_pem(), "does not belong to the client certificate"),
        (encrypted, "its private key is encrypted"),
        (old_encrypted, "its private key is encrypted"),
        (unknown, "its private key cannot be used; it must be an RSA key"),
        ("-----BEGIN PRIVATE KEY-----\nc2Vj", "a line `-----END ...-----` is missing"),
    ] {
        let (builder, key) = with_key(content);
        assert_names(builder, &key, expected);
    }
    let (builder_with_key, _) = with_key(&client.key_pem());
    let built = builder_with_key.build();
    assert!(built.is_ok());

    assert_names(
        builder().client_certificate(&certificate, None),
        &certificate,
        "it contains no private key",
    );
    let both = files.file("both.pem", client.certificate_pem() + old_encrypted);
    assert_names(builder().client_certificate(&both, None), &both, "its private key is encrypted");
    let missing = files.path("missing.pem");
    assert_names(builder().client_certificate(&missing, None), &missing, "client certificate");
    assert_names(builder().client_certificate(&certificate, Some(missing.clone())), &missing, "private key");
}

#[test]
fn a_user_agent_must_be_one_line() {
    let text = build_error(builder().user_agent("name/1.0\r\nx: y")).to_string();
    assert!(text.contains("user agent: it must be text on one line"), "{text}");
}
