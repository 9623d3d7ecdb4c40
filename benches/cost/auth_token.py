"""Measures the CPU time of a cached request behind keystonemiddleware's auth_token, in this process.

Standard input is the document of the tokens. Each argument is a number of cached tokens, for which the
program writes a line of JSON with the time of a request, in microseconds. A thread of the program is
the Keystone, which is not asked while the time is measured.
"""

import json
import logging
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from wsgiref.util import setup_testing_defaults

from keystonemiddleware.auth_token import AuthProtocol

REQUESTS = 300
ROUNDS = 5
DOCUMENT = sys.stdin.read()


class Keystone(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path.startswith("/v3/auth/tokens"):
            return self.respond(200, DOCUMENT)
        links = [{"rel": "self", "href": f"{self.server.url}/v3/"}]
        version = {"id": "v3.14", "status": "stable", "links": links, "media-types": []}
        return self.respond(200, json.dumps({"version": version}))

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        document = json.loads(DOCUMENT)
        for service in document["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                endpoint["url"] = f"{self.server.url}/v3"
        self.respond(201, json.dumps(document))

    def respond(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Subject-Token", "own")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def application(environ, start_response):
    assert environ["HTTP_X_IDENTITY_STATUS"] == "Confirmed"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


def middleware(url):
    account = {"username": "service", "password": "secret", "user_domain_id": "default"}
    project = {"project_name": "service", "project_domain_id": "default"}
    options = {"auth_type": "password", "auth_url": f"{url}/v3", "www_authenticate_uri": f"{url}/v3"}
    return AuthProtocol(application, {**options, **account, **project})


def send(service, number):
    environ = {"HTTP_X_AUTH_TOKEN": f"gAAAAABnZ3V5{'b3BlbnN0YWNr' * 13}{number:08}"}
    setup_testing_defaults(environ)
    statuses = []
    list(service(environ, lambda status, *_: statuses.append(status)))
    assert statuses == ["200 OK"], statuses


def measure(url, tokens):
    service = middleware(url)
    for number in range(tokens):
        send(service, number)
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for number in range(REQUESTS):
            send(service, number % tokens)
        rounds.append((time.process_time() - start) / REQUESTS * 1e6)
    return sorted(rounds)[ROUNDS // 2]


def main():
    logging.disable(logging.CRITICAL)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keystone)
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for tokens in map(int, sys.argv[1:]):
        print(json.dumps({"tokens": tokens, "microseconds": measure(server.url, tokens)}), flush=True)


if __name__ == "__main__":
    main()
