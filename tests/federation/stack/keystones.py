"""The Keystones: the service provider, which has federated users, and the home of Keystone to Keystone."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from seed import fill_home, fill_service_provider
from services import (
    ADMIN_PASSWORD,
    METHODS,
    Cloud,
    listen,
    make_keys,
    point_catalog,
    run,
    say,
    stop_children,
    write_ahead,
)

HERE = Path(__file__).resolve().parent

# The protocol of an identity provider is a method too.
FEDERATED_METHODS = f"{METHODS},openid,saml2,x509"
LASTING = {"expiration": 3600, "cache": "dogpile.cache.null"}
SHORT_LIVED = {"expiration": 30, "cache": "dogpile.cache.null"}
HOME_ENTITY = "http://home.fed.test/v3/OS-FEDERATION/saml2/idp"

SERVICE_PROVIDER_CONF = """\
[oslo_middleware]
enable_proxy_headers_parsing = true
[federation]
{dashboards}
sso_callback_template = {here}/sso_callback.html
[oauth2]
oauth2_authn_methods = tls_client_auth,client_secret_basic
[tokenless_auth]
trusted_issuer = CN=x509-ca,O=fed-test
protocol = x509
"""
HOME_CONF = """\
[saml]
xmlsec1_binary = {xmlsec1}
certfile = {keys}/saml.crt
keyfile = {keys}/saml.key
idp_entity_id = {entity}
idp_sso_endpoint = http://home.fed.test/v3/OS-FEDERATION/saml2/sso
idp_metadata_path = {root}/home-metadata.xml
"""


class Keystones:
    """Both Keystones, with their files below `root`."""

    def __init__(self, venv, root):
        self.root = root
        self.keys = root / "keys"
        self.service_provider = Cloud(venv, root / "service_provider")
        self.home = Cloud(venv, root / "home")
        self.python = venv / "bin" / "python"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.service_provider.__exit__(*error)
        self.home.__exit__(*error)

    def configure(self, xmlsec1, origins=(), with_kerberos=False):
        methods = f"{FEDERATED_METHODS},kerberos" if with_kerberos else FEDERATED_METHODS
        dashboards = "\n".join(f"trusted_dashboard = {origin}" for origin in origins)
        more = SERVICE_PROVIDER_CONF.format(dashboards=dashboards, here=HERE)
        self.service_provider.configure_keystone("keystone", methods=methods, more=more, **LASTING)
        self.service_provider.configure_keystone("keystone-short", methods=methods, more=more, **SHORT_LIVED)
        more = HOME_CONF.format(xmlsec1=xmlsec1, keys=self.keys, entity=HOME_ENTITY, root=self.root)
        self.home.configure_keystone("keystone", more=more, **LASTING)

    def serve_service_provider(self, name, listener):
        self.service_provider.serve_keystone(name, listener, "behind_apache:application", [HERE])

    def point(self, site, short_site, home_url, issuer):
        """Replaces the URLs in the databases, whose ports differ from one boot to the next."""
        database = self.service_provider.data / "keystone.db"
        point_catalog(database, identity=f"{site.url}/v3")
        execute(database, "UPDATE idp_remote_ids SET remote_id = ? WHERE idp_id = 'op'", issuer)
        database = self.home.data / "keystone.db"
        point_catalog(database, identity=f"{home_url}/v3")
        for name, url in (("sp", site.url), ("sp-short", short_site.url)):
            login = f"{url}/v3/OS-FEDERATION/identity_providers/k2k/protocols/saml2/auth"
            changed = "UPDATE service_provider SET auth_url = ?, sp_url = ? WHERE id = ?"
            execute(database, changed, login, f"{url}/v3/mellon/paosResponse", name)


def execute(database, statement, *values):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


def make_seed(venv, programs, with_kerberos, root):
    say("filling the databases")
    root.mkdir()
    with Keystones(venv, root) as keystones:
        run([keystones.python, HERE / "certificates.py", keystones.keys], sys.stderr)
        urls = []
        for cloud in (keystones.service_provider, keystones.home):
            make_keys(cloud.data)
        keystones.configure(programs.path("usr/bin/xmlsec1"), with_kerberos=with_kerberos)
        for cloud in (keystones.service_provider, keystones.home):
            listener, url = listen()
            cloud.manage("keystone", "db_sync")
            bootstrap = ["--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", "RegionOne"]
            for interface in ("public", "internal", "admin"):
                bootstrap += [f"--bootstrap-{interface}-url", f"{url}/v3"]
            cloud.manage("keystone", "bootstrap", *bootstrap)
            cloud.serve_keystone("keystone", listener)
            urls.append(f"{url}/v3")
        facts = fill_service_provider(urls[0], HOME_ENTITY, with_kerberos) | fill_home(urls[1])
        stop_children()
        for cloud in (keystones.service_provider, keystones.home):
            write_ahead(cloud.data.glob("*.db"))
        (root / "facts.json").write_text(json.dumps(facts))
        (root / "home-metadata.xml").write_bytes(home_metadata(keystones.home))


def home_metadata(home):
    command = [home.bin / "keystone-manage", "--config-file", home.root / "keystone.conf", "saml_idp_metadata"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
