"""Serves an application behind keystonemiddleware's auth_token, on free loopback ports.

Each line of standard input is a JSON object with the options of one middleware, and optionally the
path to `mount` the application at. The program starts a server with it, and writes one line of JSON with its `url` to standard output. The servers run until
standard input ends. The application responds with what the middleware told it, in JSON.
"""

import json
import logging
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg

# A client sends this value in identity headers that it forges.
FORGED = "forged"


def application(environ, start_response):
    report = {
        "status": environ.get("HTTP_X_IDENTITY_STATUS"),
        "service_status": environ.get("HTTP_X_SERVICE_IDENTITY_STATUS"),
        "user": identity(environ, "HTTP_X_"),
        "service": identity(environ, "HTTP_X_SERVICE_"),
        "forged": sorted(name for name, value in environ.items() if FORGED in str(value)),
    }
    system_scope = environ.get("HTTP_OPENSTACK_SYSTEM_SCOPE")
    if report["user"] and system_scope:
        report["user"]["system"] = system_scope
    if environ["PATH_INFO"] == "/headers":
        report["headers"] = identity_headers(environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(report).encode()]


def identity(environ, prefix):
    if prefix + "USER_ID" not in environ:
        return None
    members = ("user_id", "user_name", "user_domain_id", "project_id", "project_name", "domain_id")
    found = {name: environ.get(prefix + name.upper()) for name in members}
    found["roles"] = [role for role in environ[prefix + "ROLES"].split(",") if role]
    found["system"] = None
    return found


def identity_headers(environ):
    prefixes = ("HTTP_X_", "HTTP_OPENSTACK_")
    headers = {
        name.removeprefix("HTTP_"): value
        for name, value in environ.items()
        if name.startswith(prefixes) and not name.endswith("_TOKEN") and value is not None
    }
    if "X_SERVICE_CATALOG" in headers:
        headers["X_SERVICE_CATALOG"] = json.loads(headers["X_SERVICE_CATALOG"])
    return headers


def mounted(application, prefix):
    """Passes on the requests below a path, as a router does."""

    def router(environ, start_response):
        environ["SCRIPT_NAME"] = prefix
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return application(environ, start_response)

    return router


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def handle(self):
        self.raw_requestline = self.rfile.readline(65537)
        if self.parse_request():
            handler = QuietHandler(self.rfile, self.wfile, sys.stderr, self.get_environ())
            handler.request_handler = self
            handler.run(self.server.get_app())


class QuietHandler(ServerHandler):
    """Responds with 500 to an exception, and does not print it."""

    def log_exception(self, _):
        pass


def serve(options):
    config = cfg.ConfigOpts()
    config([], project="validation", default_config_files=[])
    prefix = options.pop("mount", "")
    options = {name: str(value) for name, value in options.items()}
    protected = AuthProtocol(application, {"oslo_config_config": config, **options})
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(mounted(protected, prefix))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"url": "http://127.0.0.1:%d" % server.server_port}


logging.disable()
for line in sys.stdin:
    print(json.dumps(serve(json.loads(line))), flush=True)
