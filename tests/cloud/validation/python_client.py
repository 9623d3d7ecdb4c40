"""Calls an application with keystoneauth1, and prints what happens in JSON.

Standard input is a JSON object: `application` is the URL, `auth_url` is Keystone's, `user` and
`service` are options of a v3 password plugin, and `credential` is an application credential whose
only access rule allows a GET of /allowed.
"""

import json
import sys

from keystoneauth1 import adapter, exceptions, service_token, session
from keystoneauth1.identity import v3


class Password(v3.Password):
    """Counts its logins."""

    logins = 0

    def get_auth_ref(self, *arguments, **options):
        self.logins += 1
        return super().get_auth_ref(*arguments, **options)


def client(auth):
    return adapter.Adapter(session.Session(auth=auth), endpoint_override=given["application"])


def password(account):
    return Password(given["auth_url"], **given[account])


def revoke(auth):
    """Revokes the token of a plugin, which does not notice it."""
    keystone = session.Session(auth=auth)
    token = auth.get_token(keystone)
    keystone.delete(f"{given['auth_url']}/auth/tokens", headers={"X-Subject-Token": token})


def call(path):
    user = password("user")
    application = client(user)
    return {"reports": [application.get(path).json() for _ in range(2)], "logins": user.logins}


def call_after_revocation(path):
    user = password("user")
    application = client(user)
    application.get(path)
    revoke(user)
    return {"report": application.get(path).json(), "logins": user.logins}


def call_for_a_user(path):
    wrapper = service_token.ServiceTokenAuthWrapper(password("user"), password("service"))
    return client(wrapper).get(path).json()


def call_for_a_user_after_revocations(path):
    user, service = password("user"), password("service")
    application = client(service_token.ServiceTokenAuthWrapper(user, service))
    application.get(path)
    revoke(user)
    revoke(service)
    return {"report": application.get(path).json(), "logins": [user.logins, service.logins]}


def call_with_access_rules(path):
    options = dict(zip(("application_credential_id", "application_credential_secret"), given["credential"]))
    application = client(v3.ApplicationCredential(given["auth_url"], **options))
    try:
        return application.get(path).json()
    except exceptions.Unauthorized as error:
        headers = error.response.headers
        return {"error": error.message, "www_authenticate": headers["WWW-Authenticate"]}


given = json.load(sys.stdin)
print(
    json.dumps(
        {
            "call": call("/"),
            "call_after_revocation": call_after_revocation("/"),
            "call_for_a_user": call_for_a_user("/"),
            "call_for_a_user_after_revocations": call_for_a_user_after_revocations("/"),
            "allowed": call_with_access_rules("/allowed"),
            "forbidden": call_with_access_rules("/elsewhere"),
        }
    )
)
