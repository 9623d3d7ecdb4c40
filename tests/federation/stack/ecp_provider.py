"""ecp_provider.py FD KEYS OWN XMLSEC1 METADATA...: a SAML identity provider that knows only the ECP profile.

It listens on the socket FD, and uses the key in the directory KEYS. METADATA are the files of the service providers.
First it writes its own metadata to the file OWN.

POST /ecp with Basic authentication and the SOAP envelope of a service provider returns an envelope with ecp:Response in
the header, and a signed Response with a signed Assertion in the body.
"""

import base64
import http.server
import socket
import sys
from pathlib import Path

import saml2.config
import saml2.metadata
import saml2.saml
import saml2.server
from saml2 import BINDING_HTTP_REDIRECT, BINDING_PAOS, BINDING_SOAP

LISTENER = socket.socket(fileno=int(sys.argv[1]))
KEYS, OWN = Path(sys.argv[2]), Path(sys.argv[3])
ENTITY_ID = "http://ecp.fed.test/ecp"
URL = "http://127.0.0.1:%d/ecp" % LISTENER.getsockname()[1]
USERS = {"erin": "erin-pass", "frank": "frank-pass"}
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
ECP = "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"
ENVELOPE = f"""\
<S:Envelope xmlns:S="{SOAP}"><S:Header><ecp:Response xmlns:ecp="{ECP}" S:mustUnderstand="1" \
S:actor="http://schemas.xmlsoap.org/soap/actor/next" AssertionConsumerServiceURL="%s"/></S:Header>\
<S:Body>%s</S:Body></S:Envelope>"""

policy = {
    "lifetime": {"minutes": 5},
    "attribute_restrictions": None,
    "name_form": saml2.saml.NAME_FORMAT_BASIC,
}
config = saml2.config.IdPConfig().load(
    {
        "entityid": ENTITY_ID,
        "key_file": str(KEYS / "ecp.key"),
        "cert_file": str(KEYS / "ecp.crt"),
        "xmlsec_binary": sys.argv[4],
        "metadata": {"local": sys.argv[5:]},
        "service": {
            "idp": {
                "endpoints": {"single_sign_on_service": [(URL, BINDING_SOAP), (URL, BINDING_HTTP_REDIRECT)]},
                "policy": {"default": policy},
            }
        },
    }
)
OWN.write_text(str(saml2.metadata.entity_descriptor(config)))
provider = saml2.server.Server(config=config)


class Handler(http.server.BaseHTTPRequestHandler):
    def respond(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.respond(405)

    def do_POST(self):
        credentials = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode()
        user, _, password = credentials.partition(":")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if USERS.get(user) != password:
            return self.respond(401, headers=[("WWW-Authenticate", 'Basic realm="ecp"')])
        request = provider.parse_authn_request(body, BINDING_SOAP).message
        services = provider.metadata.assertion_consumer_service(request.issuer.text, BINDING_PAOS)
        destination = request.assertion_consumer_service_url or services[0]["location"]
        response = provider.create_authn_response(
            {"uid": [user]},
            request.id,
            destination,
            request.issuer.text,
            userid=user,
            name_id=saml2.saml.NameID(format=saml2.saml.NAMEID_FORMAT_TRANSIENT, text=user),
            authn={"class_ref": saml2.saml.AUTHN_PASSWORD, "authn_auth": ENTITY_ID},
            sign_response=True,
            sign_assertion=True,
        )
        text = str(response)
        text = text[text.index("?>") + 2 :] if text.startswith("<?xml") else text
        self.respond(200, (ENVELOPE % (destination, text)).encode(), [("Content-Type", "text/xml")])


server = http.server.ThreadingHTTPServer(LISTENER.getsockname(), Handler, bind_and_activate=False)
server.socket.close()
server.socket = LISTENER
server.serve_forever()
