"""Runs Keystone in gunicorn behind an Apache on the same machine, in place of mod_wsgi.

In mod_wsgi, the authentication modules put their results into the WSGI environment. In front of another server they can
only send headers, which this puts back into the environment. Apache removes such headers from the requests of clients.
They are also dropped here on all paths that no authentication module protects, because Keystone reads its assertions
from the environment of `POST /v3/auth/tokens` too.
"""

import base64
import re

from keystone_wsgi import application as keystone

PROTECTED = re.compile(
    r"^/v3/(OS-FEDERATION/identity_providers/[^/]+/protocols/[^/]+/auth"
    r"|auth/OS-FEDERATION/(websso|identity_providers/[^/]+/protocols/[^/]+/websso)(/.*)?)/?$"
)
KERBEROS = re.compile(r"^/krb(?=/v3/auth/tokens$)")
OURS, MELLON, OPENID = "HTTP_X_FED_", "HTTP_X_FED_MELLON_", "HTTP_OIDC_"
NOTHING = ("", "(null)")


def pop(environ, prefix):
    found = {key: environ.pop(key) for key in list(environ) if key.startswith(prefix)}
    return {key: value for key, value in found.items() if value not in NOTHING}


def mellon_name(header):
    """gunicorn drops headers with an underscore, so `MELLON_openstack_user` comes as `Openstack-User`."""
    name = header[len(MELLON) :]
    return "MELLON_" + (name.lower() if name.startswith("OPENSTACK_") else name)


def application(environ, start_response):
    path = environ.get("PATH_INFO", "")
    headers = pop(environ, OURS)
    user = headers.pop(f"{OURS}REMOTE_USER", None)
    if PROTECTED.match(path):
        environ.update({mellon_name(key): value for key, value in headers.items() if key.startswith(MELLON)})
        if user:
            environ["REMOTE_USER"] = user
    else:
        pop(environ, OPENID)
    if headers.get(f"{OURS}SSL_CLIENT_VERIFY") == "SUCCESS":
        environ.update({key[len(OURS) :]: value for key, value in headers.items() if not key.startswith(MELLON)})
        environ["SSL_CLIENT_CERT"] = base64.b64decode(environ["SSL_CLIENT_CERT"]).decode()
    # This path is /v3/auth/tokens behind mod_auth_gssapi.
    if KERBEROS.match(path):
        environ["PATH_INFO"] = KERBEROS.sub("", path)
        if user:
            environ |= {"REMOTE_USER": user, "AUTH_TYPE": "Negotiate"}
    return keystone(environ, start_response)
