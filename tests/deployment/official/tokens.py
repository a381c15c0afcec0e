"""Tokens of users that any deployment can check: their key stands in auth.config."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from tests.deployment.official.form import Token

ISSUER = "https://issuer.example"
APPLICATION = "app"
KEY = "1"
"""The `kid` of the key."""

_TIME = re.compile(r"now([+-]\d+)?")
# The DER of a SHA-256 digest's description (RFC 8017, 9.2).
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


class Tokens:
    """Made with RSA keys that are given: private ones, as JWKs."""

    def __init__(self, key: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        self._key = key
        self._other = other

    @property
    def config(self) -> str:
        """An auth.config.ts that trusts them."""
        public = {name: self._key[name] for name in ("kty", "n", "e")}
        keys = {"keys": [{**public, "kid": KEY, "use": "sig", "alg": "RS256"}]}
        encoded = base64.b64encode(json.dumps(keys).encode()).decode()
        provider = {"type": "customJwt", "issuer": ISSUER, "applicationID": APPLICATION}
        provider |= {"algorithm": "RS256", "jwks": f"data:application/json;base64,{encoded}"}
        return f"export default {json.dumps({'providers': [provider]})};"

    def make(self, token: Token) -> str:
        """The text of the header `Authorization: Bearer`."""
        if token.text is not None:
            return token.text
        header: dict[str, JsonValue] = {"alg": "RS256", "typ": "JWT", "kid": KEY}
        claims: dict[str, JsonValue] = {
            "iss": ISSUER,
            "sub": "ada",
            "aud": APPLICATION,
            "iat": "now-10",
            "exp": "now+3600",
        }
        head, body = (
            {name: _timed(value) for name, value in (own | given).items() if value is not None}
            for own, given in ((header, token.header), (claims, token.claims))
        )
        signed = f"{_part(json.dumps(head).encode())}.{_part(json.dumps(body).encode())}"
        key = self._key if token.signed else self._other
        return f"{signed}.{_part(_sign(signed.encode(), key))}"


def _timed(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        return int(time.time()) + int(found[1] or 0)
    return value


def _sign(text: bytes, key: Mapping[str, Any]) -> bytes:
    """RS256 (RFC 8017, 8.2.1)."""
    modulus, exponent = _number(key["n"]), _number(key["d"])
    size = (modulus.bit_length() + 7) // 8
    digest = _SHA256 + hashlib.sha256(text).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    return pow(int.from_bytes(padded), exponent, modulus).to_bytes(size)


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
