"""certificates.py DIR: makes the keys and certificates of the servers and their clients in DIR.

- `ca` signs the certificate of Apache, `client` (of the user `svc-mtls`) and `stranger` (of nobody in Keystone).
- `x509-ca` signs `tokenless`. Keystone treats each request with a certificate of this CA and without a token as a
  tokenless one, even a login. So this CA signs nothing else.
- `other-ca`, which Apache does not know, signs `foreign`.
- `sp`, `saml` and `ecp` sign SAML messages, and `provider` signs ID tokens.
"""

import datetime
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

DIRECTORY = Path(sys.argv[1])
NOW = datetime.datetime.now(datetime.timezone.utc)
LIFETIME = datetime.timedelta(days=3650)
ADDRESS = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]


def make(name, common_name, issuer=None, is_ca=False):
    """Writes a key and a certificate, which is signed by itself without an issuer. Returns both."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    names = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fed-test"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    subject = x509.Name(names)
    issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(ADDRESS), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (DIRECTORY / f"{name}.key").write_bytes(private)
    (DIRECTORY / f"{name}.crt").write_bytes(certificate.public_bytes(encoding))
    return key, certificate


DIRECTORY.mkdir(parents=True)
authorities = {
    name: make(name, common_name, is_ca=True)
    for name, common_name in (("ca", "fed-ca"), ("x509-ca", "x509-ca"), ("other-ca", "other-ca"))
}
for name, common_name, authority in (
    ("server", "127.0.0.1", "ca"),
    ("client", "svc-mtls", "ca"),
    ("stranger", "nobody", "ca"),
    ("tokenless", "svc-mtls", "x509-ca"),
    ("foreign", "svc-mtls", "other-ca"),
):
    make(name, common_name, issuer=authorities[authority])
for name in ("sp", "saml", "ecp", "provider"):
    make(name, name)
known = [(DIRECTORY / f"{name}.crt").read_bytes() for name in ("ca", "x509-ca")]
(DIRECTORY / "client-cas.crt").write_bytes(b"".join(known))
