#!/usr/bin/env python3
"""Starts, kills, stops and continues Valkey servers, as the lines of its standard input say.

The first line of the output is `{"directory": PATH}`: a directory for the files of the servers, which is removed at the
end. Each line of input is `["start", NAME, ARGUMENT...]`, `["signal", NAME, SIGNAL]`, `["kill", NAME]` or `["ports"]`,
and is answered with a line. `start` waits until the server answers, `kill` until it has ended, and `ports` finds a free
port whose successor by 10,000 is free, too. When standard input ends, the servers are killed.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cloud"))

from environment import DEFAULT_STATE, locked, valkey_server  # noqa: E402
from lifeline import ignore_signals, serve  # noqa: E402
from services import children, spawn, stop_children  # noqa: E402


def address_of(arguments):
    options = dict(zip(arguments, arguments[1:]))
    if "--unixsocket" in options:
        return socket.AF_UNIX, options["--unixsocket"]
    return socket.AF_INET, ("127.0.0.1", int(options["--port"]))


def answers(address):
    family, at = address
    with contextlib.suppress(OSError), socket.socket(family) as client:
        client.settimeout(60)
        client.connect(at)
        client.sendall(b"PING\r\n")
        # A server that wants a password says so.
        return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    return False


def free_port():
    # Higher ports are given to clients, which could take the port of a killed server.
    while True:
        port = random.randrange(10_000, 22_000)
        with contextlib.suppress(OSError):
            for number in (port, port + 10_000):
                socket.create_server(("127.0.0.1", number)).close()
            return port


class Servers:
    def __init__(self, binary, directory):
        self.binary = binary
        self.directory = directory
        self.processes = {}

    def start(self, name, *arguments):
        path = self.directory / f"{name}.log"
        # A cluster keeps its slots in the working directory.
        files = self.directory / name
        files.mkdir(exist_ok=True)
        with open(path, "ab") as log:
            process = spawn([self.binary, *arguments], log, cwd=files)
        self.processes[name] = process
        address = address_of(arguments)
        while not answers(address):
            if process.poll() is not None:
                raise RuntimeError(f"valkey-server ended: {path.read_text()}")
            time.sleep(0.005)
        return {}

    def signal(self, name, number):
        os.kill(self.processes[name].pid, signal.Signals[number])
        return {}

    def kill(self, name):
        process = self.processes.pop(name, None)
        if process is None:
            return {}
        process.kill()
        process.wait()
        children.remove(process)
        return {}

    def ports(self):
        return {"port": free_port()}


def work(state, commands):
    state.mkdir(parents=True, exist_ok=True)
    with locked(state / "lock"):
        binary = valkey_server(state)
    # The path of a socket can have about a hundred bytes.
    directory = Path(tempfile.mkdtemp(prefix="tower-keystone-"))
    try:
        servers = Servers(binary, directory)
        print(json.dumps({"directory": str(directory)}), flush=True)
        while True:
            action, *arguments = json.loads(commands.get())
            print(json.dumps(getattr(servers, action)(*arguments)), flush=True)
    finally:
        ignore_signals()
        stop_children()
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, metavar="DIR")
    arguments = parser.parse_args()
    return serve(lambda commands: work(arguments.state.resolve(), commands))


if __name__ == "__main__":
    sys.exit(main())
