"""Fills the databases of both Keystones through their API. URLs whose ports are not known yet are placeholders."""

import hashlib

from services import admin_token, request

FEDERATION = "/OS-FEDERATION"
PLACEHOLDER = "http://placeholder.fed.test"
ECP_ENTITY = "http://ecp.fed.test/ecp"
TOKENLESS_ISSUER = "CN=x509-ca,O=fed-test"
SERVICE_PASSWORD = "svc-pass"
HOME_USER = {"username": "dora", "password": "dora-pass", "project_name": "home"}


class Api:
    def __init__(self, url):
        self.url = url
        self.token = admin_token(url)

    def send(self, method, path, body=None, token=None):
        return request(method, self.url + path, token or self.token, body)[1]

    def create(self, kind, **fields):
        return self.send("POST", f"/{kind}s", {kind: fields})[kind]["id"]

    def roles(self):
        return {role["name"]: role["id"] for role in self.send("GET", "/roles")["roles"]}

    def map(self, name, *rules):
        self.send("PUT", f"{FEDERATION}/mappings/{name}", {"mapping": {"rules": rules}})

    def federate(self, name, protocol, rule, remote_id=None, attribute=None, domain_id=None):
        """Creates an identity provider with one protocol and its mapping."""
        mapping = f"{name[:32]}-map"
        self.map(mapping, rule)
        provider = {"enabled": True}
        if remote_id:
            provider["remote_ids"] = [remote_id]
        if domain_id:
            provider["domain_id"] = domain_id
        path = f"{FEDERATION}/identity_providers/{name}"
        self.send("PUT", path, {"identity_provider": provider})
        fields = {"mapping_id": mapping}
        if attribute:
            fields["remote_id_attribute"] = attribute
        self.send("PUT", f"{path}/protocols/{protocol}", {"protocol": fields})


def mapped(local, *remote):
    return {"local": [local], "remote": [kind if isinstance(kind, dict) else {"type": kind} for kind in remote]}


def fill_service_provider(url, home_entity, with_kerberos):
    api = Api(url)
    roles = api.roles()
    domain_id = api.create("domain", name="feddom")
    project_id = api.create("project", name="fed-project", domain_id=domain_id)
    second_project_id = api.create("project", name="fed-second", domain_id=domain_id)
    groups = {}
    for name, projects in (
        ("fed-ops", [project_id, second_project_id]),
        ("fed-devs", [project_id]),
        ("robots", [project_id]),
    ):
        groups[name] = api.create("group", name=name, domain_id=domain_id)
        for project in projects:
            api.send("PUT", f"/projects/{project}/groups/{groups[name]}/roles/{roles['member']}")
    api.send("PUT", f"/domains/{domain_id}/groups/{groups['fed-ops']}/roles/{roles['reader']}")

    # Groups come from a claim such as `fed-ops;fed-devs`.
    by_claim = {"user": {"name": "{0}"}, "groups": "{1}", "domain": {"id": domain_id}}
    operator = {"user": {"name": "{0}"}, "group": {"id": groups["fed-ops"]}}
    for name, protocol, rule, remote_id, attribute in (
        ("op", "openid", mapped(by_claim, "HTTP_OIDC_SUB", "HTTP_OIDC_GROUPS"), PLACEHOLDER, "HTTP_OIDC_ISS"),
        ("k2k", "saml2", mapped(operator, "MELLON_openstack_user"), home_entity, "MELLON_IDP"),
        ("ecp", "saml2", mapped(operator, "MELLON_NAME_ID"), ECP_ENTITY, "MELLON_IDP"),
    ):
        api.federate(name, protocol, rule, remote_id, attribute, domain_id)

    # A local user for OAuth 2.0 with an application credential or a certificate, and for tokenless requests.
    service = {"password": SERVICE_PASSWORD, "domain_id": "default", "default_project_id": project_id}
    service_user_id = api.create("user", name="svc-mtls", **service)
    for role in ("member", "admin"):
        api.send("PUT", f"/projects/{project_id}/users/{service_user_id}/roles/{roles[role]}")
    known_issuer = {"type": "SSL_CLIENT_ISSUER_DN_CN", "any_one_of": ["fed-ca"]}
    api.map("oauth2_mapping", mapped({"user": {"name": "{0}"}}, "SSL_CLIENT_SUBJECT_DN_CN", known_issuer))
    local_user = {"user": {"name": "{0}", "domain": {"id": "default"}, "type": "local"}}
    tokenless = hashlib.sha256(TOKENLESS_ISSUER.encode()).hexdigest()
    api.federate(tokenless, "x509", mapped(local_user, "SSL_CLIENT_S_DN_CN"))
    credential = application_credential(api, service_user_id, project_id)

    if with_kerberos:
        api.federate("krb", "mapped", mapped(operator, "REMOTE_USER"), domain_id=domain_id)
        carol = api.create("user", name="carol", password="not-used", domain_id="default")
        api.send("PUT", f"/projects/{project_id}/users/{carol}/roles/{roles['member']}")
    return {
        "domain_id": domain_id,
        "domain_name": "feddom",
        "project_id": project_id,
        "project_name": "fed-project",
        "second_project_id": second_project_id,
        "service_user_id": service_user_id,
        "service_user_password": SERVICE_PASSWORD,
        "application_credential_id": credential["id"],
        "application_credential_secret": credential["secret"],
    }


def application_credential(api, user_id, project_id):
    user = {"id": user_id, "password": SERVICE_PASSWORD}
    identity = {"methods": ["password"], "password": {"user": user}}
    login = {"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}
    token = request("POST", f"{api.url}/auth/tokens", body=login)[0]
    body = {"application_credential": {"name": "oauth2", "roles": [{"name": "member"}]}}
    path = f"/users/{user_id}/application_credentials"
    return api.send("POST", path, body, token)["application_credential"]


def fill_home(url):
    """A user who can log in at the service provider by Keystone to Keystone."""
    api = Api(url)
    project = api.create("project", name=HOME_USER["project_name"], domain_id="default")
    user = {"name": HOME_USER["username"], "password": HOME_USER["password"], "domain_id": "default"}
    user_id = api.create("user", default_project_id=project, **user)
    api.send("PUT", f"/projects/{project}/users/{user_id}/roles/{api.roles()['member']}")
    for name in ("sp", "sp-short"):
        provider = {"auth_url": PLACEHOLDER, "sp_url": PLACEHOLDER, "enabled": True}
        api.send("PUT", f"{FEDERATION}/service_providers/{name}", {"service_provider": provider})
    return {"home": HOME_USER}
