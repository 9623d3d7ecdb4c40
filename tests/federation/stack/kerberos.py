"""A Kerberos KDC with the user carol and the service HTTP/localhost, and mod_auth_gssapi in front of Keystone."""

import os
import sys

from apache import Port, wait_for
from services import run, spawn

REALM = "FED.TEST"
USER = {"username": "carol", "password": "krb-pass"}
KRB5_CONF = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = {realm}
"""
KDC_CONF = """\
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {data}/principal
  key_stash_file = {data}/stash
  acl_file = {data}/kadm5.acl
 }}
"""
LOCATION = """\
  <Location "{path}">
    AuthType GSSAPI
    AuthName kerberos
    GssapiSSLonly Off
    GssapiCredStore keytab:{keytab}
    GssapiLocalName On
    MellonEnable off
    Require valid-user
    RequestHeader set X-Fed-Remote-User "expr=%{{REMOTE_USER}}"
  </Location>
"""
PATHS = ("/krb/v3/auth/tokens", "/v3/OS-FEDERATION/identity_providers/krb/protocols/mapped/auth")


class Kerberos:
    """Its database is in `data`. The files that Apache reads are in `directory`."""

    def __init__(self, programs, data, directory):
        self.programs, self.data = programs, data
        self.keytab, conf, kdc_conf = directory / "http.keytab", directory / "krb5.conf", data / "kdc.conf"
        self.port = Port()
        values = {"realm": REALM, "port": self.port.number, "data": data}
        data.mkdir()
        conf.write_text(KRB5_CONF.format(**values))
        kdc_conf.write_text(KDC_CONF.format(**values))
        self.environment = programs.environment | {
            "KRB5_CONFIG": str(conf),
            "KRB5_KDC_PROFILE": str(kdc_conf),
            # Without a replay cache, which would be a file outside the directories of the tests.
            "KRB5RCACHENAME": "none:",
        }

    def start(self):
        variables = os.environ | self.environment
        database = [self.programs.path("usr/sbin/kdb5_util"), "create", "-s", "-r", REALM, "-P", "master-secret"]
        run(database, sys.stderr, env=variables)
        for query in (
            f"addprinc -pw {USER['password']} {USER['username']}",
            "addprinc -randkey HTTP/localhost",
            f"ktadd -k {self.keytab} HTTP/localhost",
        ):
            run([self.programs.path("usr/sbin/kadmin.local"), "-q", query], sys.stderr, env=variables)
        self.keytab.chmod(0o644)
        with open(self.data.parent / "kdc.log", "ab") as log:
            process = spawn([self.programs.path("usr/sbin/krb5kdc"), "-n"], log, env=variables)
        wait_for(process, self.port.number)

    def locations(self):
        return "".join(LOCATION.format(path=path, keytab=self.keytab) for path in PATHS)

    def facts(self, site):
        """The service is named after the host in the URL, so that is `localhost`."""
        url = f"http://localhost:{site.http.number}"
        return USER | {
            "auth_url": f"{url}/krb/v3",
            "federated_auth_url": f"{url}/v3",
            "kinit": str(self.programs.path("usr/bin/kinit")),
            "environment": self.environment,
        }
