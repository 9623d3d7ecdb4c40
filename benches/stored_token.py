#!/usr/bin/env python3
"""Measures a command line program with and without a stored token, against a real Keystone.

Build the example first: cargo build --release --example list_servers
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "examples" / "list_servers"
RUNS = 50
NAMES = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")


def run(home: str, cloud: dict[str, str]) -> float:
    """Runs the program, and returns the time that it takes, in milliseconds."""
    variables = {f"OS_{name.upper()}": cloud[name] for name in NAMES}
    # Any service that validates tokens. It responds with 404 to the path of the program.
    variables["OS_COMPUTE_ENDPOINT_OVERRIDE"] = cloud["placement_url"]
    start = time.perf_counter()
    output = subprocess.run([PROGRAM], cwd=home, env=variables | {"HOME": home}, check=True, stdout=subprocess.PIPE)
    elapsed = (time.perf_counter() - start) * 1000
    assert output.stdout.startswith(b"404"), output.stdout
    return elapsed


def measure(cloud: dict[str, str], is_stored: bool) -> str:
    with tempfile.TemporaryDirectory() as home:
        configuration = Path(home) / "clouds.yaml"
        configuration.write_text(f"cache: {{auth: {json.dumps(is_stored)}}}\nclouds: {{}}\n")
        first = run(home, cloud)
        times = [run(home, cloud) for _ in range(RUNS)]
        found = (Path(home) / ".cache" / "tower-keystone").exists()
        assert found == is_stored, "the token is not stored"
    return f"median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms, first run {first:.0f} ms"


def main() -> int:
    boot = [sys.executable, ROOT / "tests" / "cloud" / "boot.py"]
    with subprocess.Popen(boot, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keystone:
        cloud = json.loads(keystone.stdout.readline())
        run(os.fspath(ROOT / "target"), cloud)  # the first requests to the services are slow
        for is_stored in (False, True):
            print("with a stored token:" if is_stored else "without:", measure(cloud, is_stored), flush=True)
        keystone.stdin.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
