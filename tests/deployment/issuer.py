"""An OpenID provider on the loopback address, and tokens that it could have made."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from pytest_convex_eval import processes
from tests.patience import HANG_SECONDS

Key: TypeAlias = Mapping[str, Any]
"""A public key, as a JWK."""

MAKE_KEYS = """
import { generateKeyPairSync } from "node:crypto";
const make = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
console.log(JSON.stringify([make(), make()].map((key) => key.export({ format: "jwk" }))));
"""
SIGN = """
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
const { keys, claims } = JSON.parse(readFileSync(0, "utf8"));
const own = keys.map((key) => createPrivateKey({ key, format: "jwk" }));
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = ([number, body]) => {
  const text = part({ alg: "RS256", typ: "JWT", kid: "1" }) + "." + part(body);
  return text + "." + sign("sha256", Buffer.from(text), own[number]).toString("base64url");
};
const published = createPublicKey(own[0]).export({ format: "jwk" });
const jwk = { ...published, kid: "1", use: "sig", alg: "RS256" };
console.log(JSON.stringify({ published: jwk, tokens: claims.map(token) }));
"""


@dataclass(frozen=True)
class Issuer:
    """An OpenID provider on the loopback address."""

    url: str
    answers: dict[str, Any]
    """What it answers, by path; discovery, keys and tokens to begin with."""
    asked: list[str]
    key: Key
    """The public key of its tokens."""

    @property
    def config(self) -> str:
        """An auth.config.ts that trusts its key, without asking it."""
        keys = base64.b64encode(json.dumps({"keys": [self.key]}).encode()).decode()
        provider = {"type": "customJwt", "issuer": self.url, "applicationID": "app"}
        provider |= {"algorithm": "RS256", "jwks": f"data:application/json;base64,{keys}"}
        return f"export default {json.dumps({'providers': [provider]})};"

    def token(self, name: str) -> str:
        """A token that is `good`, or wrong in one way: of another `issuer`, for another `audience`,
        signed with another `key`, or `expired`."""
        token: str = self.answers[f"/token/{name}"]["id_token"]
        return token


class Signer:
    """Makes the tokens of an issuer, with keys that are made once."""

    def __init__(self, node: Path) -> None:
        self._node = node
        self._keys = self._run(MAKE_KEYS)

    @property
    def keys(self) -> tuple[Key, Key]:
        """The private key of good tokens, and that of bad ones."""
        good, bad = self._keys
        return good, bad

    def _run(self, script: str, stdin: str = "") -> Any:
        done = processes.run(
            [self._node, "--input-type=module", "-e", script],
            cwd=self._node.parent,
            env=processes.environment(home=self._node.parent),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
            stdin=stdin,
        )
        assert done.ok, done.stderr
        return json.loads(done.stdout)

    def sign(self, url: str) -> tuple[Key, dict[str, str]]:
        """The public key of the issuer at the URL, and its tokens, by name."""
        good = {
            "iss": url,
            "sub": "ada",
            "aud": "app",
            "iat": 1e9,
            "exp": 4e9,
            "name": "Ada",
            "role": "poet",
        }
        claims = {
            "good": [0, good],
            "issuer": [0, {**good, "iss": "https://other.example"}],
            "audience": [0, {**good, "aud": "other"}],
            "key": [1, good],
            "expired": [0, {**good, "exp": 1e9}],
        }
        made = self._run(SIGN, json.dumps({"keys": self._keys, "claims": list(claims.values())}))
        return made["published"], dict(zip(claims, made["tokens"], strict=True))


@contextmanager
def serving(signer: Signer) -> Iterator[Issuer]:
    """An issuer that answers as long as this is entered."""
    answers: dict[str, Any] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(answers.get(self.path)).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        key, tokens = signer.sign(url)
        answers["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        answers["/keys"] = {"keys": [key]}
        answers.update({f"/token/{name}": {"id_token": token} for name, token in tokens.items()})
        yield Issuer(url, answers, asked, key)
        server.shutdown()
        thread.join()
