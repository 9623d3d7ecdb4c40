#!/usr/bin/env python3
"""Boots a real Keystone with federated users on free loopback ports, for tests.

When all services respond, the program writes one line of JSON to standard output. Progress goes to standard error. The
services run until standard input ends or the program gets SIGTERM or SIGINT. The first boot installs the services and
fills their databases, both cached in DIR. Every boot uses its own copy.

- Apache with mod_auth_openidc, mod_auth_mellon and mod_ssl, in front of two Keystones that share a database and keys.
  The tokens of the one at `auth_url` (`tls_auth_url` with client certificates) have a lifetime of an hour, those of the
  one at `short_auth_url` (`short_tls_auth_url`) of 30 s. behind_apache.py takes the place of mod_wsgi.
- An OpenID provider at `issuer`, see provider.mjs. Tokens and device codes of the client `brief-cli` end after 5 s.
- A Keystone at `home_auth_url`, whose users can log in at the others (Keystone to Keystone). They are its service
  providers `sp` and, with short tokens, `sp-short`.
- A SAML identity provider with ECP at `ecp_url`, see ecp_provider.py.
- With --kerberos, a Kerberos KDC, and mod_auth_gssapi in Apache.

alice is in the groups fed-ops and fed-devs, bob in fed-devs, and mallory in none. The password of each person is
NAME-pass. The login page of the provider accepts any password. All groups have a role on `project_id`; only fed-ops has
one on `second_project_id` and on the domain.
"""

import argparse
import concurrent.futures
import json
import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

HERE = Path(__file__).resolve().parent
CLOUD = HERE.parent.parent / "cloud"
sys.path.insert(1, str(CLOUD))

import environment  # noqa: E402
from apache import Apache, Site  # noqa: E402
from environment import ensure, keystone_venv, locked  # noqa: E402
from kerberos import Kerberos  # noqa: E402
from keystones import Keystones, make_seed  # noqa: E402
from lifeline import ignore_signals, serve  # noqa: E402
from programs import debian_programs, node, provider_directory  # noqa: E402
from services import ADMIN_PASSWORD, admin_token, listen, request, say, spawn, stop_children  # noqa: E402

DEFAULT_STATE = HERE.parent.parent.parent / "target" / "federation"
CLIENTS = {name: f"{name}-secret" for name in ("robot", "robot-post", "cli", "slow-cli", "brief-cli")}
KEYSTONE_CLIENT_SECRET = "keystone-secret"
PEOPLE = {"alice": ["fed-ops", "fed-devs"], "bob": ["fed-devs"], "mallory": []}
WEBSSO_PORTS = 12


def free_ports(count):
    """Returns ports at which a test can listen later, on both loopback addresses.

    They are below those of outgoing connections, so that they stay free.
    """
    found = []
    for port in random.sample(range(20000, 32768), 2000):
        try:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as tried:
                    tried.bind((address, port))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def start_provider(directory, root, listener, issuer, sites):
    """Starts the OpenID provider. Node finds packages beside the program, so it is copied there."""
    program = directory / f"{root.name}.mjs"
    shutil.copy(HERE / "provider.mjs", program)
    config = root / "provider.json"
    config.write_text(
        json.dumps(
            {
                "issuer": issuer,
                "key": str(root / "keys" / "provider.key"),
                "clients": CLIENTS | {"keystone": KEYSTONE_CLIENT_SECRET},
                "users": {name: {"password": f"{name}-pass", "groups": groups} for name, groups in PEOPLE.items()},
                "cookie_key": secrets.token_hex(16),
                "keystone_redirect_uris": [f"{site.url}/v3/redirect_uri" for site in sites],
            }
        )
    )
    start(root / "provider.log", listener, [node(directory), program, config, listener.fileno()])
    return program


def start(log, listener, command):
    """Starts a program that listens on this socket, which is closed in this process."""
    with listener, open(log, "ab") as output:
        variables = os.environ | {"NODE_NO_WARNINGS": "1"}
        spawn(command, output, env=variables, pass_fds=[listener.fileno()])


def boot(keystones, programs, provider, apache):
    """Starts the services, warms each of them up, and returns what a client needs."""
    root = keystones.root
    sites = [Site("site"), Site("short-site")]
    listeners = {name: listen() for name in ("keystone", "keystone-short", "home", "provider", "ecp")}
    urls = {name: url for name, (_, url) in listeners.items()}
    issuer = urls["provider"]
    xmlsec1 = programs.wrapper("usr/bin/xmlsec1", root)
    ports = free_ports(WEBSSO_PORTS)
    origins = [f"http://{host}:{port}/auth/websso/" for port in ports for host in ("localhost", "127.0.0.1")]

    keystones.configure(xmlsec1, origins, with_kerberos=apache.kerberos is not None)
    keystones.point(*sites, urls["home"], issuer)
    for name in ("keystone", "keystone-short"):
        keystones.serve_service_provider(name, listeners[name][0])
    keystones.home.serve_keystone("keystone", listeners["home"][0])
    provider_program = start_provider(provider, root, listeners["provider"][0], issuer, sites)

    own_metadata = apache.directory / "ecp-metadata.xml"
    metadata = [site.write_metadata(keystones.keys, apache.directory) for site in sites]
    shutil.copy(root / "home-metadata.xml", apache.directory)
    ecp = [keystones.python, HERE / "ecp_provider.py", listeners["ecp"][0].fileno(), keystones.keys, own_metadata]
    start(root / "ecp.log", listeners["ecp"][0], [*ecp, xmlsec1, *metadata])

    # mod_auth_mellon reads the metadata, which are there when the provider responds.
    responds(f"{urls['ecp']}/ecp")
    responds(f"{issuer}/.well-known/openid-configuration")
    provider_program.unlink()
    behind = [urls["keystone"], urls["keystone-short"]]
    apache.start(list(zip(sites, behind)), issuer, KEYSTONE_CLIENT_SECRET, secrets.token_hex(16))

    # Concurrent first requests to a new process can get a false 403, so a single request goes first.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(warm_up, [f"{url}/v3" for url in (sites[0].url, sites[1].url, urls["home"])]))
    return {
        "auth_url": f"{sites[0].url}/v3",
        "tls_auth_url": f"{sites[0].tls_url}/v3",
        "short_auth_url": f"{sites[1].url}/v3",
        "short_tls_auth_url": f"{sites[1].tls_url}/v3",
        "home_auth_url": f"{urls['home']}/v3",
        "issuer": issuer,
        "discovery_endpoint": f"{issuer}/.well-known/openid-configuration",
        "ecp_url": f"{urls['ecp']}/ecp",
        "websso_ports": ports,
        "clients": CLIENTS,
        "admin_password": ADMIN_PASSWORD,
        "keys": str(keystones.keys),
        "kerberos": apache.kerberos.facts(sites[0]) if apache.kerberos else None,
        **json.loads((root / "facts.json").read_text()),
    }


def responds(url):
    """Waits until a server responds, with any status."""
    try:
        request("GET", url)
    except RuntimeError:
        pass


def warm_up(auth_url):
    token = admin_token(auth_url)
    request("GET", f"{auth_url}/auth/tokens", token, subject=token)


def work(state, with_kerberos, commands):
    state.mkdir(parents=True, exist_ok=True)
    environment.DEFAULT_STATE.mkdir(parents=True, exist_ok=True)
    root = apache = None
    try:
        with locked(environment.DEFAULT_STATE / "lock"):
            venv = keystone_venv(environment.DEFAULT_STATE)
        with locked(state / "lock"):
            programs = debian_programs(state, with_kerberos)
            provider = provider_directory(venv, state)
            seed = state / ("seed-kerberos" if with_kerberos else "seed")
            sources = [environment.REQUIREMENTS, *sorted([*HERE.glob("*.py"), *CLOUD.glob("*.py")])]
            ensure(seed, sources, lambda directory: make_seed(venv, programs, with_kerberos, directory))
            root = Path(tempfile.mkdtemp(prefix="run-", dir=state))
            shutil.copytree(seed, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.log", "stamp"))
        with Keystones(venv, root) as keystones:
            say("starting the services")
            apache = Apache(programs, keystones.keys, root / "apache.log")
            if with_kerberos:
                apache.kerberos = Kerberos(programs, root / "kerberos", apache.directory)
                apache.kerberos.start()
            facts = boot(keystones, programs, provider, apache)
            say("ready")
            print(json.dumps(facts), flush=True)
            while True:
                commands.get()
    finally:
        ignore_signals()
        stop_children()
        for directory in (root, apache and apache.directory):
            if directory:
                shutil.rmtree(directory, ignore_errors=True)


def main():
    summary, details = __doc__.split("\n", 1)
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=summary, epilog=details, formatter_class=formatter)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, metavar="DIR")
    parser.add_argument("--kerberos", action="store_true")
    arguments = parser.parse_args()

    return serve(lambda commands: work(arguments.state.resolve(), arguments.kerberos, commands))


if __name__ == "__main__":
    sys.exit(main())
