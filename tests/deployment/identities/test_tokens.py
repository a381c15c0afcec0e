"""Tokens of users: which provider's they are, who signed them, when they end, whom they name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

TOKENS = """
const { verifyToken } = await load("running/tokens");
const { KeySets } = await load("running/key_sets");
const { generateKeyPairSync, sign } = await import("node:crypto");
const KINDS = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 1024 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "prime256v1" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};
const keyOf = globalThis.testKeys ??= {};
const pair = (alg, which = 0) => keyOf[alg + which] ??= KINDS[alg]();
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (claims, { alg = "RS256", signer = alg, which = 0, kid = "0" } = {}) => {
  const text = `${part({ alg, typ: "JWT", ...(kid !== null && { kid }) })}.${part(claims)}`;
  const own = pair(signer, which).privateKey;
  const key = signer === "ES256" ? { key: own, dsaEncoding: "ieee-p1363" } : own;
  const bytes = sign(signer === "EdDSA" ? null : "sha256", Buffer.from(text), key);
  return `${text}.${bytes.toString("base64url")}`;
};
const published = (alg, which = 0, more = {}) =>
  ({ ...pair(alg, which).publicKey.export({ format: "jwk" }), kid: "0", ...more });
const dataUrl = (keys) => "data:application/json," + encodeURIComponent(JSON.stringify({ keys }));
const provider = (keys, more = {}) => ({ type: "customJwt", issuer: "https://a.example",
  applicationID: "app", algorithm: "RS256", jwks: dataUrl(keys), ...more });
const oidc = { domain: "https://a.example", applicationID: "app" };
const NOW = 1_000_000;
const clock = { now: () => NOW * 1000 };
const services = { clock, keySets: new KeySets(), canReach: () => false };
const CLAIMS = { iss: "https://a.example", sub: "ada", aud: "app", exp: NOW + 60 };
const ID_CLAIMS = { ...CLAIMS, iat: NOW - 1 };
const check = async (providers, given, keySets = services.keySets) => {
  try {
    return await verifyToken(providers, given, { ...services, keySets });
  } catch (error) {
    return [error.status, error.code, error.message];
  }
};
"""
ADA = {"tokenIdentifier": "https://a.example|ada", "subject": "ada", "issuer": "https://a.example"}
NO_JWT = (
    "Could not parse JWT payload. Check that the token is a valid JWT format with three "
    "base64-encoded parts separated by dots."
)
SIGNATURE = [401, "InvalidAuthHeader", "Could not validate token: its signature is wrong"]
NO_PROVIDER = [
    *(401, "NoAuthProvider"),
    "No auth provider found matching the given token (no providers configured). Check that your "
    "auth.config matches its `iss` and `aud`.",
]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_algorithm_is_checked_with_its_own_keys(algorithm: str, in_server: InServer) -> None:
    good, other_key, other_claims, other_algorithm = in_server(
        f"""{TOKENS}
        const {{ alg }} = args;
        const other = alg === "ES256" ? "EdDSA" : "ES256";
        const trusted = [provider([published(alg)], {{ algorithm: alg }})];
        const good = token(CLAIMS, {{ alg }});
        const [head, , signature] = good.split(".");
        return [
          await check(trusted, good),
          await check(trusted, token(CLAIMS, {{ alg, which: 1 }})),
          await check(trusted, `${{head}}.${{part({{ ...CLAIMS, sub: "eve" }})}}.${{signature}}`),
          await check(trusted, token(CLAIMS, {{ alg: other }})),
        ];""",
        alg=algorithm,
    )
    assert good == ADA
    assert [other_key, other_claims, other_algorithm] == [SIGNATURE] * 3


def test_an_algorithm_that_a_token_names_itself_is_not_believed(in_server: InServer) -> None:
    none, swapped = in_server(
        f"""{TOKENS}
        const trusted = [provider([published("RS256"), published("ES256")])];
        const unsigned = `${{part({{ alg: "none", kid: "0" }})}}.${{part(CLAIMS)}}.`;
        return [
          await check(trusted, unsigned),
          await check(trusted, token(CLAIMS, {{ alg: "ES256" }})),
        ];"""
    )
    assert (none, swapped) == (SIGNATURE, SIGNATURE)


def test_a_key_is_found_by_its_name(in_server: InServer) -> None:
    custom, open_id = in_server(
        f"""{TOKENS}
        const two = [published("RS256", 0, {{ kid: "0" }}), published("RS256", 1, {{ kid: "1" }})];
        const unnamed = [published("RS256", 1), published("RS256", 0)];
        for (const each of unnamed) delete each.kid;
        const [custom, openId] = [[], []];
        for (const [keys, kid] of [[two, "0"], [two, "1"], [two, "2"], [two, null],
            [unnamed, "0"], [unnamed, null]]) {{
          const told = (found) => found.subject ?? found[2];
          custom.push(told(await check([provider(keys)], token(CLAIMS, {{ kid }}))));
          const keySets = {{ of: async () => keys }};
          openId.push(told(await check([oidc], token(ID_CLAIMS, {{ kid }}), keySets)));
        }}
        return [custom, openId];"""
    )
    unknown = (
        "Could not decode token. The JWT's 'kid' (key ID) header is '{}', does this key match any "
        "key in the provider's JWKS?"
    )
    without = "Could not decode token. The JWT has no 'kid' (key ID) header."
    wrong = SIGNATURE[2]
    assert custom == ["ada", wrong, unknown.format("2"), without, unknown.format("0"), without]
    assert open_id == ["ada", wrong, unknown.format("2"), "ada", "ada", "ada"]


def test_what_is_no_key_signs_nothing(in_server: InServer) -> None:
    found = in_server(
        f"""{TOKENS}
        const bad = [{{ kid: "0" }}, {{ kid: "0", kty: "oct", k: "x" }}, published("ES256")];
        return [
          await check([provider(bad)], token(CLAIMS)),
          await check([provider([...bad, published("RS256")])], token(CLAIMS)),
        ];"""
    )
    assert found == [SIGNATURE, ADA]


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ({"exp": 0}, None),
        ({"exp": -5}, None),
        ({"exp": -6}, "it has expired"),
        ({"exp": None}, "it has no claim 'exp'"),
        ({"exp": 60, "nbf": 5}, None),
        ({"exp": 60, "nbf": 6}, "it is not valid yet"),
        ({"exp": 60, "nbf": -100}, None),
        ({"exp": 60, "iat": 5}, None),
        ({"exp": 60, "iat": 6}, "it is not valid yet"),
    ],
)
def test_a_token_has_its_time_and_some_leeway(
    claims: dict[str, float | None], outcome: str | None, in_server: InServer
) -> None:
    found = in_server(
        f"""{TOKENS}
        const claims = {{ ...CLAIMS }};
        for (const [name, at] of Object.entries(args.claims)) {{
          claims[name] = at === null ? null : NOW + at;
        }}
        return await check([provider([published("RS256")])], token(claims));""",
        claims=claims,
    )
    if outcome is None:
        assert found == ADA
    else:
        assert found == [401, "InvalidAuthHeader", f"Could not validate token: {outcome}"]


@pytest.mark.parametrize(
    ("provider", "claims", "matches"),
    [
        ({}, {}, True),
        ({"issuer": "https://a.example/"}, {}, True),
        ({}, {"iss": "https://a.example/"}, True),
        ({"issuer": "a.example"}, {}, True),
        ({"issuer": "http://a.example"}, {}, False),
        ({"issuer": "https://a.example/x"}, {}, False),
        ({}, {"iss": "https://b.example"}, False),
        ({}, {"aud": ["other", "app"]}, True),
        ({}, {"aud": ["other"]}, False),
        ({}, {"aud": "other"}, False),
        ({}, {"aud": None}, False),
        ({"applicationID": None}, {"aud": "other"}, True),
        ({"applicationID": None}, {"aud": None}, True),
    ],
)
def test_a_token_is_its_providers_by_issuer_and_audience(
    provider: dict[str, Any], claims: dict[str, Any], matches: bool, in_server: InServer
) -> None:
    found = in_server(
        f"""{TOKENS}
        const trusted = [provider([published("RS256")], args.provider)];
        return await check(trusted, token({{ ...CLAIMS, ...args.claims }}));""",
        provider=provider,
        claims=claims,
    )
    assert (found["subject"] == "ada") if matches else (found == NO_PROVIDER)


def test_of_several_providers_each_is_asked(in_server: InServer) -> None:
    found = in_server(
        f"""{TOKENS}
        const first = provider([published("RS256", 1)]);
        const second = provider([published("ES256")], {{ algorithm: "ES256" }});
        const third = provider([published("RS256")]);
        const other = provider([published("RS256")], {{ issuer: "https://b.example" }});
        const results = [];
        const all = [[first, second, third], [first, second], [other, third], [other], []];
        for (const some of all) {{
          const told = await check(some, token(CLAIMS));
          results.push(told.subject ?? told[1]);
        }}
        return results;"""
    )
    assert found == ["ada", "InvalidAuthHeader", "ada", "NoAuthProvider", "NoAuthProvider"]


CLAIMS = {
    "given_name": "Ada",
    "family_name": "L",
    "email": "a@a.example",
    "email_verified": True,
    "phone_number": "1",
    "phone_number_verified": False,
    "preferred_username": "al",
    "picture": "p",
    "profile": "q",
    "zoneinfo": "z",
    "locale": "en",
    "birthdate": "b",
    "gender": "f",
    "nickname": "n",
    "name": "Ada L",
    "address": {"x": 1},
    "updated_at": 5,
    "role": "poet",
    "nbf": 1,
    "iat": 2,
    "jti": "x",
}


def identity(in_server: InServer, kind: str, claims: dict[str, Any]) -> Any:
    return in_server(
        f"""{TOKENS}
        const keys = [published("RS256")];
        const trusted = args.kind === "oidc" ? oidc : provider(keys);
        const given = token({{ ...ID_CLAIMS, ...args.claims }});
        return await check([trusted], given, {{ of: async () => keys }});""",
        kind=kind,
        claims=claims,
    )


def test_an_open_id_identity_has_the_claims_by_the_names_of_its_fields(in_server: InServer) -> None:
    assert identity(in_server, "oidc", CLAIMS) == {
        **ADA,
        "givenName": "Ada",
        "familyName": "L",
        "email": "a@a.example",
        "emailVerified": True,
        "phoneNumber": "1",
        "phoneNumberVerified": False,
        "preferredUsername": "al",
        "pictureUrl": "p",
        "profileUrl": "q",
        "timezone": "z",
        "language": "en",
        "birthday": "b",
        "gender": "f",
        "nickname": "n",
        "name": "Ada L",
        "address": {"x": 1},
        "updatedAt": 5,
        "role": "poet",
    }


def test_an_identity_of_a_custom_token_has_the_claims_by_their_own_names(
    in_server: InServer,
) -> None:
    times = ("nbf", "iat", "jti")
    flat = {name: value for name, value in CLAIMS.items() if name not in (*times, "address")}
    nested = {
        "org": {"id": 7, "plan": {"name": "x", "until": None}, "roles": [{"a": 1}], "sub": "s"}
    }
    assert identity(in_server, "custom", {**CLAIMS, **nested}) == {
        **ADA,
        **flat,
        "address.x": 1,
        "org.id": 7,
        "org.plan.name": "x",
        "org.plan.until": None,
        "org.roles": [{"a": 1}],
        "org.sub": "s",
    }


@pytest.mark.parametrize("kind", ["oidc", "custom"])
def test_no_claim_takes_the_place_of_who_somebody_is(kind: str, in_server: InServer) -> None:
    claims = {"subject": "eve", "issuer": "https://b.example", "tokenIdentifier": "x|eve"}
    assert identity(in_server, kind, claims) == ADA


@pytest.mark.parametrize(
    ("kind", "claims", "told"),
    [
        ("custom", {"sub": None}, "Could not validate token: it has no claim 'sub'"),
        ("custom", {"sub": 5}, "Could not validate token: it has no claim 'sub'"),
        ("custom", {"exp": "soon"}, "Could not validate token: it has no claim 'exp'"),
        ("oidc", {"sub": None}, "OIDC-compliant JWT: it has no claim 'sub'."),
        ("oidc", {"exp": None}, "OIDC-compliant JWT: it has no claim 'exp'."),
        ("oidc", {"iat": None}, "OIDC-compliant JWT: it has no claim 'iat'."),
        ("oidc", {"iat": "now"}, "OIDC-compliant JWT: it has no claim 'iat'."),
        ("oidc", {"aud": ["app", "other"]}, "it has several audiences"),
    ],
)
def test_claims_that_a_token_needs(
    kind: str, claims: dict[str, Any], told: str, in_server: InServer
) -> None:
    status, code, message = identity(in_server, kind, claims)
    assert (status, code) == (401, "InvalidAuthHeader")
    assert told in message


@pytest.mark.parametrize("claims", [{"iat": None}, {"aud": ["app", "other"]}])
def test_claims_that_only_open_id_needs(claims: dict[str, Any], in_server: InServer) -> None:
    assert identity(in_server, "custom", claims) == ADA
    assert identity(in_server, "oidc", {"aud": ["app"]}) == ADA


@pytest.mark.parametrize("issuer", [None, 5, {}])
def test_a_token_names_its_issuer(issuer: object, in_server: InServer) -> None:
    assert identity(in_server, "custom", {"iss": issuer}) == [
        *(401, "InvalidAuthHeader"),
        "Missing issuer claim ('iss') in JWT payload. The JWT must include an 'iss' claim that "
        "matches one of your configured auth providers.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b",
        "e30",
        "e30.e30",
        "e30.e30.x.y",
        "e30.bnVsbA.x",
        "bnVsbA.e30.x",
        "..",
        "1.1.1",
    ],
)
def test_what_is_no_token_is_told_so(text: str, in_server: InServer) -> None:
    found = in_server(f"{TOKENS} return await check([provider([])], args.text);", text=text)
    assert found == [401, "InvalidAuthHeader", NO_JWT]


KEYS = """
const { KeySets } = await load("running/key_sets");
const asked = [];
const answers = { ...args.answers };
const realFetch = globalThis.fetch;
globalThis.fetch = async (url) => {
  asked.push(String(url));
  if (String(url).startsWith("data:")) return realFetch(url);
  const found = answers[url];
  if (found === "down") throw new Error("connection refused");
  return new Response(JSON.stringify(found ?? null), { status: found === undefined ? 404 : 200 });
};
let now = 0;
const realNow = performance.now;
performance.now = () => now;
const sets = new KeySets();
const get = async (provider, reach = () => true) => {
  try {
    return await sets.of(provider, reach);
  } catch (error) {
    return [error.status, error.code, error.message];
  }
};
const oidc = (domain) => ({ domain, applicationID: "app" });
const jwt = (jwks) => ({ type: "customJwt", jwks });
const run = async () => { BODY };
try {
  return { value: await run(), asked };
} finally {
  globalThis.fetch = realFetch;
  performance.now = realNow;
}
"""
ISSUER = "https://a.example"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
FOUND: dict[str, dict[str, Any]] = {
    DISCOVERY: {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"},
    f"{ISSUER}/keys": {"keys": [{"kty": "RSA"}, None, [], "x", {"kty": "EC"}]},
}
BOTH = [{"kty": "RSA"}, {"kty": "EC"}]


def keys(in_server: InServer, body: str, answers: dict[str, Any] = FOUND) -> Any:
    found = in_server(KEYS.replace("BODY", body), answers=answers)
    return found["value"], found["asked"]


@pytest.mark.parametrize("domain", [ISSUER, f"{ISSUER}/", "a.example", "a.example/"])
def test_keys_are_discovered_at_a_domain(domain: str, in_server: InServer) -> None:
    value, asked = keys(in_server, f"return await get(oidc({domain!r}));")
    assert (value, asked) == (BOTH, [DISCOVERY, f"{ISSUER}/keys"]), "what is no key is left out"


def test_keys_are_kept_for_a_minute_each_for_its_own_provider(in_server: InServer) -> None:
    value, asked = keys(
        in_server,
        f"""const first = jwt("{ISSUER}/keys"), second = jwt("{ISSUER}/others");
        answers["{ISSUER}/others"] = {{ keys: [] }};
        const seen = [];
        for (const at of [0, 1000, 59_999, 60_000]) {{
          now = at;
          seen.push((await get(first)).length, (await get(second)).length);
        }}
        return seen;""",
    )
    assert value == [2, 0] * 4
    assert asked == [f"{ISSUER}/keys", f"{ISSUER}/others"] * 2


def test_what_failed_is_tried_again_at_once(in_server: InServer) -> None:
    value, asked = keys(
        in_server,
        f"""const before = await get(jwt("{ISSUER}/keys"));
        answers["{ISSUER}/keys"] = {{ keys: [] }};
        return [before, await get(jwt("{ISSUER}/keys"))];""",
        {f"{ISSUER}/keys": "down"},
    )
    message = f"The keys of an auth provider can't be had: {ISSUER}/keys: connection refused."
    assert value == [[401, "AuthProviderDiscoveryFailed", message], []]
    assert asked == [f"{ISSUER}/keys"] * 2


def test_those_who_ask_at_once_share_one_answer(in_server: InServer) -> None:
    value, asked = keys(
        in_server,
        f'return await Promise.all([1, 2, 3].map(() => get(jwt("{ISSUER}/keys"))));',
    )
    assert (value, asked) == ([BOTH] * 3, [f"{ISSUER}/keys"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('get(jwt("nowhere"))', "nowhere is no URL"),
        (
            f'get(jwt("{ISSUER}/keys"), () => false)',
            f"the embedded deployment may not reach {ISSUER} (start it with --online, or give the "
            "keys as a `data:` URL)",
        ),
        (f'get(jwt("{ISSUER}/none"))', f"{ISSUER}/none: status 404"),
        (f'get(jwt("{DISCOVERY}"))', f"there is no key set at {DISCOVERY}"),
        (f'(answers["{ISSUER}/n"] = [1], get(jwt("{ISSUER}/n")))', f"no object is at {ISSUER}/n"),
        (
            f'(answers["{DISCOVERY}"].issuer = "https://b.example", get(oidc("{ISSUER}")))',
            f'{ISSUER} says that it is "https://b.example"',
        ),
        (
            f'(delete answers["{DISCOVERY}"].jwks_uri, get(oidc("{ISSUER}")))',
            f"{ISSUER} names no `jwks_uri`",
        ),
        (
            f'get(oidc("{ISSUER}"), (origin) => origin !== "{ISSUER}")',
            f"the embedded deployment may not reach {ISSUER} (start it with --online, or give the "
            "keys as a `data:` URL)",
        ),
    ],
)
def test_why_keys_can_not_be_had_is_told(body: str, why: str, in_server: InServer) -> None:
    answers = {**FOUND, DISCOVERY: dict(FOUND[DISCOVERY])}
    value, _ = keys(in_server, f"return await {body};", answers)
    message = f"The keys of an auth provider can't be had: {why}."
    assert value == [401, "AuthProviderDiscoveryFailed", message]


def test_keys_in_the_configuration_itself_need_no_network(in_server: InServer) -> None:
    url = 'data:application/json,{\\"keys\\":[{\\"kty\\":\\"RSA\\"}]}'
    value, _ = keys(in_server, f'return await get(jwt("{url}"), () => false);')
    assert value == [{"kty": "RSA"}]
