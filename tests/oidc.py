"""A small OpenID Connect provider on loopback: it says of everybody that they are `who`."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "atelier", "client-secret-of-the-test"


class Provider(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.who = {"sub": "1", "name": "Ada", "email": "ada@school.example", "email_verified": True}
        self.nonces: dict[str, str] = {}  # of each code
        self.answered: list[str] = []

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def secrets(self, address: str, **people: object) -> str:
        """The secrets.toml of a server at `address` that signs in here."""
        lines = [
            "[auth]",
            f'redirect_uri = "{address}/oauth2callback"',
            'cookie_secret = "a-cookie-secret-of-32-letters-or-more"',
            f'client_id = "{CLIENT}"',
            f'client_secret = "{SECRET}"',
            f'server_metadata_url = "{self.issuer}/.well-known/openid-configuration"',
            "[people]",
            *(f"{name} = {json.dumps(value)}" for name, value in people.items()),
        ]
        return "\n".join(lines) + "\n"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.answered.append(url.path)
        if url.path == "/.well-known/openid-configuration":
            issuer = self.server.issuer
            places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            document = {name: f"{issuer}/{place}" for name, place in places.items()}
            self._answer(document | {"issuer": issuer, "id_token_signing_alg_values_supported": ["RS256"]})
        elif url.path == "/keys":
            self._answer({"keys": [self.server.key.as_dict(private=False)]})
        elif url.path == "/authorize":
            code = f"code-{len(self.server.nonces)}"
            self.server.nonces[code] = asked.get("nonce", "")
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?code={code}&state={asked['state']}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        now, code = int(time.time()), form["code"][0]
        claims = {"iss": self.server.issuer, "aud": CLIENT, "iat": now, "exp": now + 600, **self.server.who}
        claims["nonce"] = self.server.nonces.pop(code)
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.server.key)
        self._answer({"access_token": "access", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    def _answer(self, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def provider():
    """A provider that answers until the block is left."""
    server = Provider()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
