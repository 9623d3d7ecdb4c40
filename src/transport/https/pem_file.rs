use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use zeroize::Zeroizing;

use crate::{Error, error::escaped};

/// Maximum size of a file, in bytes. A bundle of all public CA certificates has less than 1 MiB.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// Editors on Windows put it before the text. It would hide the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A file with certificates or a private key in PEM format, which was read into memory. It is wiped when dropped.
pub(super) struct PemFile {
    /// What the file is for, and its path.
    name: String,
    content: Zeroizing<Vec<u8>>,
}

impl PemFile {
    /// Reads a file. `purpose` is what it is for, such as `CA file`.
    pub(super) fn read(purpose: &str, path: &Path) -> Result<Self, Error> {
        let name = format!("{purpose} `{}`", escaped(&path.to_string_lossy()));
        let fail = |reason: String| Error::invalid_client_setting(&name, reason);
        let content = read(path).map_err(|error| fail(format!("it cannot be read: {error}")))?;
        if u64::try_from(content.len()).is_ok_and(|length| length > MAX_FILE) {
            return Err(fail(
                "it is longer than 8 MiB; it must contain certificates or a key in PEM format".into(),
            ));
        }
        Ok(Self { name, content })
    }

    /// Returns all certificates of the file, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let text = self.without_private_keys();
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(self.error(
                "it contains no certificate; it must contain certificates in PEM format \
                 (`-----BEGIN CERTIFICATE-----`)",
            )),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(self.malformed(&error)),
        }
    }

    /// Returns the first private key of the file.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&self.content).map_err(|error| match error {
            _ if self.is_encrypted() => self.error(
                "its private key is encrypted; decrypt the key, for example with `openssl pkey`, and protect the file \
                 by its permissions",
            ),
            pem::Error::NoItemsFound => self.error(
                "it contains no private key; it must contain a key in PEM format (`-----BEGIN PRIVATE KEY-----`, \
                 `-----BEGIN RSA PRIVATE KEY-----` or `-----BEGIN EC PRIVATE KEY-----`)",
            ),
            error => self.malformed(&error),
        })
    }

    /// Returns the file without its private keys. They may be encrypted, and no copy of them is to be left behind.
    fn without_private_keys(&self) -> Vec<u8> {
        let mut is_key = false;
        let lines = self.content.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| {
            if line.starts_with(b"-----BEGIN ") {
                is_key = line.trim_ascii_end().ends_with(b"PRIVATE KEY-----");
            }
            !is_key
        });
        lines.flatten().copied().collect()
    }

    pub(super) fn error(&self, reason: &str) -> Error {
        Error::invalid_client_setting(&self.name, reason)
    }

    /// Whether a key of the file can be used only with a pass phrase (PKCS#8 and the older format of OpenSSL).
    fn is_encrypted(&self) -> bool {
        let contains = |marker: &[u8]| self.content.windows(marker.len()).any(|window| window == marker);
        contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED")
    }

    /// The texts of the PEM errors can contain lines of the file, and so parts of a key.
    fn malformed(&self, error: &pem::Error) -> Error {
        self.error(match error {
            pem::Error::MissingSectionEnd { .. } => {
                "its PEM is incomplete: a line `-----END ...-----` is missing"
            }
            pem::Error::IllegalSectionStart { .. } => {
                "its PEM is malformed: a line `-----BEGIN ...-----` is wrong"
            }
            pem::Error::Base64Decode(_) => "its PEM is malformed: the base64 text is wrong",
            _ => "its PEM is malformed",
        })
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // The buffer has its final size at once, so that no copy of a key is left behind in a smaller one.
    let size = file.metadata()?.len().min(MAX_FILE).saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut content)?;
    if content.starts_with(BYTE_ORDER_MARK) {
        content.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(content)
}
