use std::{path::PathBuf, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, ConfigBuilder, WantsVerifier,
    client::WantsClientCert,
    crypto::{CryptoProvider, ring},
    sign::{CertifiedKey, SingleCertAndKey},
};
use zeroize::Zeroize;

use super::{ca_file_verifier::CaFileVerifier, no_verification::NoVerification, pem_file::PemFile};
use crate::Error;

/// The TLS settings of a client.
#[derive(Clone, Debug)]
pub(super) struct TlsSettings {
    pub(super) trust: Trust,
    pub(super) client_certificate: Option<ClientCertificate>,
    pub(super) accept_invalid_certificates: bool,
}

/// The CA certificates that are trusted.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// The roots of Mozilla, which are part of the program.
    Webpki,
    /// The roots of the operating system.
    #[cfg(feature = "rustls-native-roots")]
    Native,
    /// The certificates of a file.
    File(PathBuf),
}

/// The files of the client certificate.
#[derive(Clone, Debug)]
pub(super) struct ClientCertificate {
    pub(super) certificate: PathBuf,
    /// `None` if the key is in the file of the certificate.
    pub(super) key: Option<PathBuf>,
}

impl TlsSettings {
    /// Reads the files and builds the configuration, without ALPN.
    pub(super) fn build(&self) -> Result<ClientConfig, Error> {
        // Passed explicitly: the default provider of the process belongs to the program.
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::invalid_client_setting("TLS", error.to_string()))?;
        let config = self.verifier(config, &provider)?;
        Ok(match &self.client_certificate {
            Some(certificate) => config.with_client_cert_resolver(Arc::new(certificate.load()?)),
            None => config.with_no_client_auth(),
        })
    }

    fn verifier(
        &self,
        config: ConfigBuilder<ClientConfig, WantsVerifier>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
        if self.accept_invalid_certificates {
            let verifier = NoVerification::new(provider);
            return Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)));
        }
        match &self.trust {
            Trust::Webpki => Ok(config.with_webpki_roots()),
            #[cfg(feature = "rustls-native-roots")]
            Trust::Native => config.with_native_roots().map_err(|error| {
                let reason =
                    format!("{error}; install the CA certificates of the system, or set SSL_CERT_FILE");
                Error::invalid_client_setting("native roots", reason)
            }),
            Trust::File(path) => {
                let file = PemFile::read("CA file", path)?;
                let (verifier, malformed) =
                    CaFileVerifier::new(file.certificates()?, provider).ok_or_else(|| {
                        file.error("its certificates are malformed; they must be X.509 v3 certificates")
                    })?;
                if malformed > 0 {
                    let file = path.display();
                    tracing::warn!(%file, malformed, "malformed certificates of the CA file are ignored");
                }
                Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
            }
        }
    }
}

impl ClientCertificate {
    fn load(&self) -> Result<SingleCertAndKey, Error> {
        let file = PemFile::read("client certificate", &self.certificate)?;
        let certificates = file.certificates()?;
        let key_file = match &self.key {
            Some(key) => PemFile::read("private key", key)?,
            None => file,
        };
        let mut key = key_file.private_key()?;
        let signing_key = ring::sign::any_supported_type(&key);
        key.zeroize();
        let signing_key = signing_key.map_err(|_| {
            key_file.error(
                "its private key cannot be used; it must be an RSA key of at least 2,048 bits, an ECDSA key \
                            on P-256 or P-384, or an Ed25519 key",
            )
        })?;
        let certified = CertifiedKey::new(certificates, signing_key);
        match certified.keys_match() {
            // Without the public key of the signing key, this cannot be checked.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified.into()),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(key_file.error("its private key does not belong to the client certificate; use the key with which \
                                    the certificate was requested, and put the certificate of the client first"))
            }
            Err(_) => Err(Error::invalid_client_setting(
                &format!("client certificate `{}`", self.certificate.display()),
                "its first certificate is malformed; it must be an X.509 v3 certificate",
            )),
        }
    }
}
