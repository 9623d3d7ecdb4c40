"""The Apache in front of Keystone: its configuration and its process."""

import grp
import os
import pwd
import socket
import tempfile
import time
from pathlib import Path
from string import Template

from programs import MODULES
from services import spawn

HERE = Path(__file__).resolve().parent
LOADED = (
    "mpm_event authn_core authz_core authz_user headers proxy proxy_http socache_shmcb ssl sed auth_openidc auth_mellon"
)

# What mod_auth_mellon and mod_ssl say is sent to Keystone in headers, see behind_apache.py.
MELLON_HEADERS = {
    "Idp": "MELLON_IDP",
    "Name-Id": "MELLON_NAME_ID",
    "Openstack-User": "MELLON_openstack_user",
    "Openstack-User-Domain": "MELLON_openstack_user_domain",
    "Openstack-Roles": "MELLON_openstack_roles",
    "Openstack-Project": "MELLON_openstack_project",
    "Openstack-Project-Domain": "MELLON_openstack_project_domain",
    "Openstack-Groups": "MELLON_openstack_groups",
}
TLS_HEADERS = {
    "Verify": "%{SSL_CLIENT_VERIFY}s",
    "Cert": "expr=%{base64:%{SSL_CLIENT_CERT}}",
    "I-Dn": "%{SSL_CLIENT_I_DN}s",
    "S-Dn": "%{SSL_CLIENT_S_DN}s",
    "S-Dn-Cn": "%{SSL_CLIENT_S_DN_CN}s",
    "S-Dn-O": "%{SSL_CLIENT_S_DN_O}s",
}
REMOVED = [
    "X-Fed-Remote-User",
    *(f"X-Fed-Mellon-{name}" for name in MELLON_HEADERS),
    *(f"X-Fed-Ssl-Client-{name}" for name in TLS_HEADERS),
    "X-Forwarded-Proto",
    "Forwarded",
]

# With `optional` for all paths, the handshake asks for the certificate, and no renegotiation is needed.
TLS = """\
  RequestHeader set X-Forwarded-Proto https
  SSLEngine On
  SSLCertificateFile {keys}/server.crt
  SSLCertificateKeyFile {keys}/server.key
  SSLCACertificateFile {keys}/client-cas.crt
  SSLVerifyClient optional
  SSLVerifyDepth 2
  SSLOptions +StdEnvVars
"""

SAML = """\
  <Location "/v3">
    MellonEnable "info"
    MellonEndpointPath /v3/mellon
    MellonSPPrivateKeyFile {keys}/sp.key
    MellonSPCertFile {keys}/sp.crt
    MellonSPMetadataFile {directory}/{metadata}
    MellonIdPMetadataFile {directory}/home-metadata.xml
    MellonIdPMetadataFile {directory}/ecp-metadata.xml
    MellonVariable "keystone-sp"
    MellonIdP "IDP"
    MellonSecureCookie Off
    MellonMergeEnvVars On ";"
    MellonSubjectConfirmationDataAddressCheck Off
    MellonDefaultLoginPath /v3
  </Location>
  <Location "/v3/mellon/paosResponse">
    # The assertion of a Keystone comes with the RelayState `ss:mem:...`. Shibboleth understands it, and mod_auth_mellon
    # returns 400. The replacement has the same length.
    SetInputFilter Sed
    InputSed "s,ss:mem:,/v3/?x=,"
  </Location>
"""
SAML_LOGIN = """\
  <Location "/v3/OS-FEDERATION/identity_providers/{provider}/protocols/saml2/auth">
    AuthType Mellon
    MellonEnable auth
    Require valid-user
{headers}
  </Location>
"""
SP_METADATA = """\
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{url}/v3/mellon/metadata">
 <SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" AuthnRequestsSigned="false">
  <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>\
<X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
  <NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:transient</NameIDFormat>
  <AssertionConsumerService index="0" isDefault="true" \
Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{url}/v3/mellon/postResponse"/>
  <AssertionConsumerService index="1" \
Binding="urn:oasis:names:tc:SAML:2.0:bindings:PAOS" Location="{url}/v3/mellon/paosResponse"/>
 </SPSSODescriptor>
</EntityDescriptor>
"""


class Port:
    """A free port for a program that cannot be given a socket.

    It stays bound until this process ends, so that nobody else gets it. The program can bind it too, because both
    sockets have SO_REUSEADDR by then and this one does not listen.
    """

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number = self.socket.getsockname()[1]


class Site:
    """A virtual host with http and one with https, in front of a Keystone."""

    def __init__(self, name):
        self.name = name
        self.http, self.https = Port(), Port()
        self.url = f"http://127.0.0.1:{self.http.number}"
        self.tls_url = f"https://127.0.0.1:{self.https.number}"
        self.metadata = f"{name}-metadata.xml"

    def write_metadata(self, keys, directory):
        """Writes the SAML metadata of mod_auth_mellon at this site, and returns their path."""
        certificate = "".join((keys / "sp.crt").read_text().split("-----")[2].split())
        path = directory / self.metadata
        path.write_text(SP_METADATA.format(url=self.url, certificate=certificate))
        return path


def header_lines(headers, prefix, value="{}"):
    lines = (f'  RequestHeader set X-Fed-{prefix}-{name} "{value.format(text)}"' for name, text in headers.items())
    return "\n".join(lines)


class Apache:
    """Files that the workers of Apache must be able to read are in `directory`."""

    def __init__(self, programs, keys, log):
        self.programs, self.keys, self.log, self.kerberos = programs, keys, log, None
        # The workers of a root's Apache are another user, who may have no access to the directory of the project.
        self.directory = Path(tempfile.mkdtemp(prefix="tower-keystone-federation-"))
        self.directory.chmod(0o755)

    def start(self, keystones, issuer, client_secret, crypto_passphrase):
        """Starts Apache with these sites, each with the URL of its Keystone, and waits until it listens."""
        is_root = os.geteuid() == 0
        sites = "".join(self.site(site, keystone, issuer, is_tls) for site, keystone in keystones for is_tls in (0, 1))
        names = LOADED.split() + (["auth_gssapi"] if self.kerberos else [])
        modules = (f"LoadModule {name}_module {self.programs.path(f'{MODULES}/mod_{name}.so')}" for name in names)
        values = {
            "directory": self.directory,
            "log": self.log,
            "modules": "\n".join(modules),
            "user": "www-data" if is_root else pwd.getpwuid(os.geteuid()).pw_name,
            "group": "www-data" if is_root else grp.getgrgid(os.getegid()).gr_name,
            "issuer": issuer,
            "client_secret": client_secret,
            "crypto_passphrase": crypto_passphrase,
            "introspection_port": keystones[0][0].https.number,
            "sites": sites,
        }
        conf = self.directory / "apache.conf"
        conf.touch(mode=0o600)
        conf.write_text(fill("apache.conf.in", values))
        command = [self.programs.path("usr/sbin/apache2"), "-f", conf, "-D", "FOREGROUND"]
        environment = os.environ | self.programs.environment | (self.kerberos.environment if self.kerberos else {})
        with open(self.log, "ab") as log:
            process = spawn(command, log, env=environment)
        for site, _ in keystones:
            for port in (site.http, site.https):
                wait_for(process, port.number)

    def site(self, site, keystone, issuer, is_tls):
        tls = TLS.format(keys=self.keys) + header_lines(TLS_HEADERS, "Ssl-Client")
        values = {
            "port": (site.https if is_tls else site.http).number,
            "unset": "\n".join(f"  RequestHeader unset {name} early" for name in REMOVED),
            "tls": tls if is_tls else "",
            "saml": "" if is_tls else self.saml(site),
            "kerberos": self.kerberos.locations() if self.kerberos and not is_tls else "",
            "issuer": issuer,
            "keystone": keystone,
        }
        return fill("site.conf.in", values)

    def saml(self, site):
        headers = header_lines(MELLON_HEADERS, "Mellon", "%{{{}}}e")
        common = SAML.format(keys=self.keys, directory=self.directory, metadata=site.metadata)
        return common + "".join(SAML_LOGIN.format(provider=name, headers=headers) for name in ("k2k", "ecp"))


def fill(name, values):
    return Template((HERE / name).read_text()).substitute(values)


def wait_for(process, port):
    """Waits until the process listens on this port."""
    while process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
