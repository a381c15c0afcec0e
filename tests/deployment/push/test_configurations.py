"""What auth.config and crons files export: read and refused field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

AUTH = """
const { checkAuth } = await load("push/auth");
const { Origins } = await load("push/modules");
const value = { kind: "auth", unset: null, problem: null, ...args.value };
try {
  return checkAuth(value, new Origins([]));
} catch (error) {
  return [error.code, error.message];
}
"""
NO_PROVIDERS = "auth config file must include a list of provider credentials: "
DOCS = ". To learn more, see the auth documentation at https://docs.convex.dev/auth."
JWT = {
    "type": "customJwt",
    "issuer": "https://a.example",
    "applicationID": "app",
    "jwks": "https://a.example/keys",
    "algorithm": "RS256",
}
OIDC = {"domain": "https://a.example", "applicationID": "app"}


def auth(in_server: InServer, config: Any) -> Any:
    return in_server(AUTH, value={"json": json.dumps(config)})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_providers_are_read_in_their_order_without_what_is_more(
    algorithm: str, in_server: InServer
) -> None:
    given = [
        {**OIDC, "more": 1},
        {**JWT, "algorithm": algorithm, "more": 1},
        {**OIDC, "type": "oidc"},
    ]
    found = auth(in_server, {"providers": given, "else": 1})
    assert found == [OIDC, {**JWT, "algorithm": algorithm}, OIDC]


@pytest.mark.parametrize("audience", [{}, {"applicationID": None}])
def test_a_provider_of_jwts_can_be_for_every_audience(
    audience: dict[str, None], in_server: InServer
) -> None:
    given = {name: value for name, value in JWT.items() if name != "applicationID"}
    assert auth(in_server, {"providers": [{**given, **audience}]}) == [
        {**JWT, "applicationID": None}
    ]


def test_no_providers_are_taken(in_server: InServer) -> None:
    assert auth(in_server, {"providers": []}) == []


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        (None, "is not an object"),
        ("x", "is not an object"),
        ({}, "has no string `applicationID`"),
        ({"applicationID": "app"}, "has no string `domain`"),
        ({**OIDC, "domain": ""}, "has no string `domain`"),
        ({**OIDC, "domain": 1}, "has no string `domain`"),
        ({**OIDC, "applicationID": ""}, "has no string `applicationID`"),
        *(
            ({**OIDC, name: "x"}, f"has `{name}`; it is spelled `applicationID`")
            for name in ("applicationId", "ApplicationID", "applicationid", "application_id")
        ),
        ({**OIDC, "type": "saml"}, 'has the unknown type "saml"'),
        (
            {**OIDC, "issuer": "x"},
            'has `issuer`, which needs `type: "customJwt"`; OIDC has `domain`',
        ),
        ({**JWT, "domain": "x"}, "is of type customJwt and needs `issuer`, not `domain`"),
        ({**JWT, "algorithm": "HS256"}, "has the unknown algorithm HS256"),
        ({**JWT, "algorithm": None}, "has no string `algorithm`"),
        ({**JWT, "issuer": None}, "has no string `issuer`"),
        ({**JWT, "jwks": ""}, "has no string `jwks`"),
        ({**JWT, "applicationID": ""}, "has no string `applicationID`"),
        (
            {**JWT, "applicationID": None, "issuer": "https://api.workos.com/x"},
            "is WorkOS's and needs `applicationID`: its tokens are of many applications",
        ),
    ],
)
def test_a_provider_that_is_wrong_is_refused_by_its_number(
    provider: Any, why: str, in_server: InServer
) -> None:
    assert auth(in_server, {"providers": [OIDC, provider]}) == [
        "AuthConfigNotMatchingSchemaError",
        f"{NO_PROVIDERS}provider 1 {why}{DOCS}",
    ]


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (
            {"json": None, "unset": "A", "problem": "missing"},
            "AuthConfigMissingEnvironmentVariable",
            "Environment variable A is used in auth config file but its value was not set",
        ),
        (
            {"json": None, "problem": "missing"},
            "AuthConfigMissingExportError",
            f"auth config file is missing default export{DOCS}",
        ),
        *(
            (
                {"json": text, "problem": problem},
                "AuthConfigNotMatchingSchemaError",
                f"{NO_PROVIDERS}`providers` is not a list{DOCS}",
            )
            for text, problem in [(None, "not json"), ("{}", None), ('{"providers": {}}', None)]
        ),
    ],
)
def test_a_configuration_must_be_one(
    value: Any, code: str, message: str, in_server: InServer
) -> None:
    assert in_server(AUTH, value=value) == [code, message]


CRONS = """
const { checkCrons } = await load("push/crons");
const { Origins } = await load("push/modules");
try {
  return checkCrons(JSON.stringify(args.jobs), "crons.js", new Origins([]));
} catch (error) {
  return [error.code, error.message];
}
"""


def crons(in_server: InServer, **schedules: Any) -> Any:
    jobs = {
        name: {"name": "a:f", "args": [{}], "schedule": each} for name, each in schedules.items()
    }
    return in_server(CRONS, jobs=jobs)


TAKEN = [
    ({"type": "interval", "seconds": 1}, {"type": "interval", "seconds": 1}),
    ({"type": "interval", "minutes": 2}, {"type": "interval", "seconds": 120}),
    ({"type": "interval", "hours": 3}, {"type": "interval", "seconds": 10_800}),
    *(
        (each, each)
        for each in [
            {"type": "hourly"},
            {"type": "hourly", "minuteUTC": 59},
            {"type": "daily", "hourUTC": 0},
            {"type": "daily", "hourUTC": 23, "minuteUTC": 0},
            {"type": "weekly", "dayOfWeek": "sunday", "hourUTC": 5},
            {"type": "weekly", "dayOfWeek": "saturday", "hourUTC": 5, "minuteUTC": 30},
            {"type": "monthly", "day": 1, "hourUTC": 5},
            {"type": "monthly", "day": 31, "hourUTC": 5, "minuteUTC": 1},
        ]
    ),
    ({"type": "cron", "cron": "0 0 * * *"}, {"type": "cron", "cronExpr": "0 0 * * *"}),
]


@pytest.mark.parametrize(("given", "schedule"), TAKEN)
def test_a_schedule_is_read(given: Any, schedule: Any, in_server: InServer) -> None:
    assert crons(in_server, job=given) == [
        {"name": "job", "function": "a:f", "args": [{}], "schedule": schedule}
    ]


def test_jobs_stay_in_their_order_and_need_no_arguments(in_server: InServer) -> None:
    schedule = {"type": "hourly"}
    jobs = {name: {"name": f"a:{name}", "schedule": schedule} for name in ("z", "a", "m")}
    assert in_server(CRONS, jobs=jobs) == [
        {"name": name, "function": f"a:{name}", "args": [], "schedule": schedule}
        for name in ("z", "a", "m")
    ]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ({"type": "interval"}, "exactly one of seconds, minutes and hours must be given"),
        (
            {"type": "interval", "seconds": 1, "hours": 1},
            "exactly one of seconds, minutes and hours must be given",
        ),
        ({"type": "interval", "seconds": 0}, "the interval must be greater than 0"),
        ({"type": "interval", "seconds": 1.5}, "the interval must be greater than 0"),
        ({"type": "interval", "minutes": -1}, "the interval must be greater than 0"),
        ({"type": "hourly", "minuteUTC": 60}, "minuteUTC must be from 0 to 59"),
        ({"type": "hourly", "minuteUTC": -1}, "minuteUTC must be from 0 to 59"),
        ({"type": "hourly", "minuteUTC": 0.5}, "minuteUTC must be from 0 to 59"),
        ({"type": "daily"}, "hourUTC must be from 0 to 23"),
        ({"type": "daily", "hourUTC": 24}, "hourUTC must be from 0 to 23"),
        ({"type": "daily", "hourUTC": -1}, "hourUTC must be from 0 to 23"),
        ({"type": "weekly", "dayOfWeek": "monday"}, "hourUTC must be from 0 to 23"),
        ({"type": "monthly", "day": 1}, "hourUTC must be from 0 to 23"),
        (
            {"type": "weekly", "dayOfWeek": "Monday", "hourUTC": 1},
            "dayOfWeek must be one of sunday, monday, tuesday, wednesday, thursday, friday, "
            "saturday",
        ),
        ({"type": "monthly", "day": 0, "hourUTC": 1}, "day must be from 1 to 31"),
        ({"type": "monthly", "day": 32, "hourUTC": 1}, "day must be from 1 to 31"),
        ({"type": "cron", "cron": "* *"}, 'The cron spec "* *" has 2 fields instead of 5'),
        ({"type": "yearly"}, 'unknown schedule {"type":"yearly"}'),
    ],
)
def test_a_schedule_that_is_wrong_is_refused(schedule: Any, why: str, in_server: InServer) -> None:
    found = crons(in_server, good={"type": "hourly"}, bad=schedule)
    assert found == ["InvalidCron", f"The cron job 'bad' is invalid: {why}"]


def test_a_name_is_of_ascii(in_server: InServer) -> None:
    assert crons(in_server, **{"a b~!": {"type": "hourly"}})[0]["name"] == "a b~!"
    for name in ("ä", "a\nb", "\x7f"):
        assert crons(in_server, **{name: {"type": "hourly"}}) == [
            "InvalidCron",
            f"The cron job '{name}' is invalid: use ASCII letters that are not control characters",
        ]


TARGETS = """
const { checkCronTargets } = await load("push/crons");
const { Origins } = await load("push/modules");
const found = (name, udfType) => ({ name, udfType });
const modules = new Map([
  ["a.js", { functions: [found("m", "Mutation"), found("act", "Action"), found("q", "Query"),
    found("default", "Mutation")], httpActions: ["h"] }],
  ["lib/b.js", { functions: [found("m", "Mutation")], httpActions: [] }],
  ["crons.js", { crons: args.functions.map((each, i) => ({ name: `job${i}`, function: each })) }],
]);
try {
  return checkCronTargets(modules, new Origins([])) ?? null;
} catch (error) {
  return [error.code, error.message];
}
"""


def test_a_job_can_be_any_mutation_or_action(in_server: InServer) -> None:
    functions = ["a:m", "a.js:m", "a:act", "a", "a:default", "lib/b:m", "lib/b.js:m"]
    assert in_server(TARGETS, functions=functions) is None


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("a:q", "a query function, only actions and mutations can be scheduled: a.js:q"),
        ("a:h", "an HTTP action, only actions and mutations can be scheduled: a.js:h"),
        ("a:none", "a function that does not exist: a.js:none"),
        ("none:m", "a function that does not exist: none.js:m"),
        ("lib/b", "a function that does not exist: lib/b.js:default"),
    ],
)
def test_a_job_of_anything_else_is_refused(function: str, what: str, in_server: InServer) -> None:
    found = in_server(TARGETS, functions=["a:m", function])
    assert found == ["InvalidModules", f"The cron job 'job1' schedules {what}"]
