#!/usr/bin/env python3
"""Boots a real Keystone and Placement on free loopback ports, for tests.

When all services respond, the program writes one line of JSON (or `export OS_...` lines with --env)
to standard output. Progress goes to standard error. The services run until standard input ends or
the program gets SIGTERM or SIGINT. The first boot installs the services from PyPI and fills their
databases, both cached in DIR. Every boot uses its own copy.

Two Keystones share a database and keys. The one at `auth_url` caches users, projects and roles in
memory, so change them through it, otherwise it uses old data for a while. The one at
`short_auth_url` caches nothing and issues tokens with a lifetime of a few seconds. Placement
validates every token with the first one. A revocation takes effect at once in all three.

A third Keystone, configured like the second one, is controlled by commands on standard input, one
per line. `start` starts it, on the same port each time, and writes a line of JSON with its `auth_url`
when it responds. `kill` kills it with SIGKILL, and writes `{}` when its port refuses connections.
"""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

from environment import DEFAULT_STATE, REQUIREMENTS, ensure, keystone_venv, locked  # noqa: E402
from lifeline import ignore_signals, serve  # noqa: E402
from services import (  # noqa: E402
    ADMIN_PASSWORD,
    Cloud,
    admin_token,
    kill,
    listen,
    make_keys,
    point_catalog,
    request,
    say,
    stop_children,
    write_ahead,
)

HERE = Path(__file__).resolve().parent

REGION = "RegionOne"
DEMO_PASSWORD = "demo-secret"
PLACEMENT_PASSWORD = "placement-secret"
INTERFACES = ("public", "internal", "admin")
# Cached values are pickled, so that no thread changes a value of another one.
LASTING = {"expiration": 3600, "cache": "dogpile.cache.memory_pickle"}
SHORT_LIVED = {"expiration": 6, "cache": "dogpile.cache.null"}
MORTAL = {"expiration": 10, "cache": "dogpile.cache.null"}


def make_seed(venv, root):
    say("filling the databases")
    with Cloud(venv, root) as cloud:
        make_keys(cloud.data)
        listener, keystone = listen()
        cloud.configure_keystone("keystone", **LASTING)
        cloud.manage("keystone", "db_sync")
        bootstrap = ["--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", REGION]
        for interface in INTERFACES:
            bootstrap += [f"--bootstrap-{interface}-url", f"{keystone}/v3"]
        cloud.manage("keystone", "bootstrap", *bootstrap)
        cloud.serve_keystone("keystone", listener)
        fill_keystone(f"{keystone}/v3")
        stop_children()

        configure_placement(cloud, keystone)
        cloud.manage("placement", "db", "sync")
        write_ahead(cloud.data.glob("*.db"))


def fill_keystone(url):
    token = admin_token(url)

    def ids(kind):
        return {item["name"]: item["id"] for item in request("GET", f"{url}/{kind}", token)[1][kind]}

    def create(kind, **fields):
        return request("POST", f"{url}/{kind}s", token, {kind: fields})[1][kind]["id"]

    def grant(scope, user, role):
        request("PUT", f"{url}/{scope}/users/{user}/roles/{roles[role]}", token)

    roles = ids("roles")
    admin = ids("users")["admin"]
    grant("domains/default", admin, "admin")
    grant("system", admin, "admin")
    for name, password, project, role in (
        ("demo", DEMO_PASSWORD, "demo", "member"),
        ("placement", PLACEMENT_PASSWORD, "service", "service"),
    ):
        project_id = create("project", name=project, domain_id="default")
        user_id = create("user", name=name, password=password, domain_id="default")
        grant(f"projects/{project_id}", user_id, role)

    service = create("service", type="placement", name="placement")
    for interface in INTERFACES:
        create("endpoint", service_id=service, interface=interface, region_id=REGION, url=url)


def configure_placement(cloud, keystone):
    cloud.configure_placement(keystone=keystone, password=PLACEMENT_PASSWORD, region=REGION)


def boot(cloud):
    """Starts the services, warms each of them up, and returns what a client needs."""
    keystone_listener, keystone = listen()
    short_listener, short = listen()
    placement_listener, placement = listen()
    auth_url, short_auth_url = f"{keystone}/v3", f"{short}/v3"
    point_catalog(cloud.data / "keystone.db", identity=auth_url, placement=placement)
    cloud.configure_keystone("keystone", **LASTING)
    cloud.configure_keystone("keystone-short", **SHORT_LIVED)
    cloud.configure_keystone("keystone-mortal", **MORTAL)
    configure_placement(cloud, keystone)

    keystone_process = cloud.serve_keystone("keystone", keystone_listener)
    cloud.serve_keystone("keystone-short", short_listener)
    cloud.serve_placement(placement_listener)

    # Concurrent first requests to a new process can get a false 403, so a single request goes first.
    token = admin_token(auth_url)
    for url in (auth_url, short_auth_url):
        request("GET", f"{url}/auth/tokens", token, subject=token)
    request("GET", f"{placement}/resource_providers", token)

    return {
        "auth_url": auth_url,
        "short_auth_url": short_auth_url,
        "placement_url": placement,
        "username": "admin",
        "password": ADMIN_PASSWORD,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": REGION,
        "demo_username": "demo",
        "demo_password": DEMO_PASSWORD,
        "demo_project_name": "demo",
        "keystone_pid": keystone_process.pid,
        "python": str(cloud.bin / "python"),
    }


def exports(facts):
    names = ("auth_url", "username", "password", "project_name")
    names += ("user_domain_name", "project_domain_name", "region_name")
    return "\n".join(f"export OS_{name.upper()}={shlex.quote(facts[name])}" for name in names)


class Mortal:
    """The Keystone that is started and killed on demand."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.port = 0
        self.process = None

    def obey(self, command):
        if command == "start" and not self.process:
            listener, url = listen(self.port)
            self.port = listener.getsockname()[1]
            self.process = self.cloud.serve_keystone("keystone-mortal", listener)
            request("GET", f"{url}/v3")
            return {"auth_url": f"{url}/v3"}
        if command == "kill" and self.process:
            kill(self.process, self.port)
            self.process = None
            return {}
        return {"error": f"not to be done now: {command}"}


def work(state, as_env, commands):
    state.mkdir(parents=True, exist_ok=True)
    seed, root = state / "seed", None
    try:
        with locked(state / "lock"):
            venv = keystone_venv(state)
            scripts = sorted(HERE.glob("*.py"))
            ensure(seed, [REQUIREMENTS, *scripts], lambda directory: make_seed(venv, directory))
            root = Path(tempfile.mkdtemp(prefix="run-", dir=state))
            shutil.copytree(seed / "data", root / "data")
        with Cloud(venv, root) as cloud:
            say("starting the services")
            facts = boot(cloud)
            say("ready")
            print(exports(facts) if as_env else json.dumps(facts), flush=True)
            mortal = Mortal(cloud)
            while True:
                print(json.dumps(mortal.obey(commands.get())), flush=True)
    finally:
        ignore_signals()
        stop_children()
        if root:
            shutil.rmtree(root, ignore_errors=True)


def main():
    summary, details = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(description=summary, epilog=details)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, metavar="DIR")
    parser.add_argument("--env", action="store_true", help="print shell exports instead of JSON")
    arguments = parser.parse_args()

    return serve(lambda commands: work(arguments.state.resolve(), arguments.env, commands))


if __name__ == "__main__":
    sys.exit(main())
