"""Keystone and Placement processes, their configuration, and requests to them."""

import base64
import contextlib
import http.client
import json
import os
import secrets
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent

# The order of the methods is part of a token, so both Keystones must have the same list. Tokens and
# revocations are not cached, so that a revocation through one Keystone takes effect at once in both.
KEYSTONE_CONF = """\
[auth]
methods = {methods}
[cache]
enabled = true
backend = {cache}
[credential]
key_repository = {data}/credential
[database]
connection = sqlite:///{data}/keystone.db?timeout=30
[fernet_receipts]
key_repository = {data}/receipts
[fernet_tokens]
key_repository = {data}/fernet
[identity]
password_hash_rounds = 4
[revoke]
caching = false
[token]
caching = false
expiration = {expiration}
{more}"""

METHODS = "password,token,totp,oauth1,mapped,application_credential"

PLACEMENT_CONF = """\
[api]
auth_strategy = keystone
[keystone_authtoken]
auth_type = password
auth_url = {keystone}/v3
www_authenticate_uri = {keystone}/v3
username = placement
password = {password}
user_domain_name = Default
project_name = service
project_domain_name = Default
region_name = {region}
service_type = placement
service_token_roles_required = true
token_cache_time = -1
[placement_database]
connection = sqlite:///{data}/placement.db?timeout=30
"""

ADMIN_PASSWORD = "admin-secret"

STARTED = time.monotonic()

children = []
# Held during every fork, and kept by the thread that interrupts, so that every child is in the list.
spawning = threading.Lock()


def say(text):
    print(f"[{time.monotonic() - STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


def spawn(command, output, **options):
    with spawning:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
        children.append(child)
    return child


def run(command, output, **options):
    child = spawn(command, output, **options)
    code = child.wait()
    children.remove(child)
    if code:
        raise RuntimeError(f"{shlex.join(child.args)} ended with {code}")


def stop_children():
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    while children:
        children.pop().wait()


def kill(child, port):
    """Kills a service, and waits until its port refuses connections."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    children.remove(child)
    # Its workers are not children of this process, so only the port shows when they have ended.
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.01)


def listen(port=0):
    listener = socket.create_server(("127.0.0.1", port))
    return listener, "http://127.0.0.1:%d" % listener.getsockname()[1]


def make_keys(data):
    for name in ("fernet", "receipts", "credential"):
        repository = data / name
        repository.mkdir(mode=0o700, parents=True)
        for number in ("0", "1"):
            key = repository / number
            key.touch(mode=0o600)
            key.write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))


def point_catalog(database, **urls):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for service, url in urls.items():
            connection.execute(
                "UPDATE endpoint SET url = ? WHERE service_id IN (SELECT id FROM service WHERE type = ?)",
                (url, service),
            )


def write_ahead(databases):
    """Lets readers read while another process writes."""
    for database in databases:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = wal")


def admin_token(auth_url):
    domain = {"id": "default"}
    user = {"name": "admin", "password": ADMIN_PASSWORD, "domain": domain}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }
    return request("POST", f"{auth_url}/auth/tokens", body={"auth": auth})[0]


def request(method, url, token=None, body=None, subject=None):
    """Returns the X-Subject-Token header and the decoded body of a successful response."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["X-Auth-Token"] = token
    if subject:
        headers["X-Subject-Token"] = subject
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    with contextlib.closing(connection):
        connection.request(method, parts.path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        content = response.read()
    if not 200 <= response.status < 300:
        raise RuntimeError(f"{method} {url}: {response.status} {content[:500]!r}")
    return response.headers["X-Subject-Token"], json.loads(content) if content else None


class Cloud:
    """Services that run from the directory `root`, with their databases and keys in `root`/data."""

    def __init__(self, venv, root):
        self.bin = venv / "bin"
        self.root = root
        self.data = root / "data"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        stop_children()
        if kind and issubclass(kind, Exception):
            for log in sorted(self.root.glob("*.log")):
                tail = log.read_text(errors="replace").splitlines()[-40:]
                print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)

    def configure_keystone(self, name, methods=METHODS, more="", **values):
        conf = KEYSTONE_CONF.format(data=self.data, methods=methods, more=more, **values)
        (self.root / f"{name}.conf").write_text(conf)

    def configure_placement(self, **values):
        (self.root / "placement.conf").write_text(PLACEMENT_CONF.format(data=self.data, **values))

    def manage(self, service, *arguments):
        """Runs `keystone-manage` or `placement-manage`, and waits until it ends."""
        tool = f"{service}-manage"
        config = self.root / f"{service}.conf"
        self._python(run, tool, self.bin / tool, "--config-file", config, *arguments)

    def serve_keystone(self, name, listener, application="keystone_wsgi:application", scripts=()):
        """Starts a Keystone. `application` is in a module of this directory or of `scripts`."""
        return self._serve(
            name,
            application,
            listener,
            scripts,
            OS_KEYSTONE_CONFIG_DIR=str(self.root),
            OS_KEYSTONE_CONFIG_FILES=f"{name}.conf",
        )

    def serve_placement(self, listener):
        return self._serve(
            "placement",
            "placement.wsgi.api:application",
            listener,
            (),
            OS_PLACEMENT_CONFIG_DIR=str(self.root),
        )

    def _serve(self, name, application, listener, scripts, **environment):
        path = ",".join(map(str, (HERE, *scripts)))
        gunicorn = ["-m", "gunicorn", "--no-control-socket", "--pythonpath", path]
        gunicorn += ["-w", "1", "-k", "gthread", "--threads", "8", "--timeout", "0"]
        socket_number = listener.fileno()

        # The listener is closed in this process, so that the port of a dead service refuses connections.
        with listener:
            return self._python(
                spawn,
                name,
                *gunicorn,
                "--bind",
                f"fd://{socket_number}",
                application,
                pass_fds=[socket_number],
                **environment,
            )

    def _python(self, start, name, *arguments, pass_fds=(), **environment):
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("OS_") and not key.lower().endswith("_proxy")
        }
        with open(self.root / f"{name}.log", "ab") as log:
            return start(
                [self.bin / "python", "-I", "-B", *arguments],
                log,
                cwd=self.root,
                env=inherited | environment,
                pass_fds=pass_fds,
            )
