"""Routes, cron jobs, auth configurations and app definitions: one project a check of the backend,
pushed as the CLI would; and what the CLI refuses itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.places import Place
from tests.deployment.fixtures import Bundle, MakeProject, PushOverHttp, PushProject
from tests.deployment.push.conftest import CheckRefusal
from tests.deployment.push.rows import Row, auth, components, config, crons, exported_crons, http

ROWS = [
    # http
    Row(
        "http without a router",
        {"convex/http.ts": "export const x = 1;\n"},
        "InvalidModules",
        "`convex/http.js` must have a default export of a Router.",
        Place("convex/http.ts", 1, 1),
    ),
    Row(
        "http that exports something else",
        {"convex/http.ts": "export default { a: 1 };\n"},
        "InvalidModules",
        "The default export of `convex/http.js` is not a Router.",
        Place("convex/http.ts", 1, 1),
    ),
    http(
        "route without a slash",
        'http.route({ path: "hello", method: "GET", handler });',
        "path 'hello' does not start with a /",
    ),
    http(
        "prefix without a final slash",
        'http.route({ pathPrefix: "/a", method: "GET", handler });',
        "pathPrefix /a must end with a /",
    ),
    http(
        "prefix without a slash",
        'http.route({ pathPrefix: "a/", method: "GET", handler });',
        "pathPrefix 'a/' does not start with a /",
    ),
    http(
        "route with both path and prefix",
        'http.route({ path: "/a", pathPrefix: "/a/", method: "GET", handler } as any);',
        "Invalid httpRouter route: cannot contain both 'path' and 'pathPrefix'",
    ),
    http(
        "route with neither path nor prefix",
        'http.route({ method: "GET", handler } as any);',
        "Invalid httpRouter route entry: must contain either field 'path' or 'pathPrefix'",
    ),
    http(
        "route that is there twice",
        'http.route({ path: "/a", method: "GET", handler }); '
        'http.route({ path: "/a", method: "GET", handler });',
        "Path '/a' for method GET already in use",
    ),
    http(
        "prefix that is there twice",
        'http.route({ pathPrefix: "/a/", method: "GET", handler }); '
        'http.route({ pathPrefix: "/a/", method: "GET", handler });',
        "GET pathPrefix /a/ is already defined",
    ),
    http(
        "route without a handler",
        'http.route({ path: "/a", method: "GET" } as any);',
        "route requires handler",
    ),
    http(
        "route without a method",
        'http.route({ path: "/a", handler } as any);',
        "route requires method",
    ),
    http(
        "prefix that is reserved",
        'http.route({ pathPrefix: "/.files/x/", method: "GET", handler });',
        "pathPrefix '/.files/x/' is reserved",
    ),
    http(
        "route that is reserved",
        'http.route({ path: "/.files/x", method: "GET", handler });',
        "path '/.files/x' is reserved",
    ),
    http(
        "method that is none",
        'http.route({ path: "/x", method: "FETCH" as any, handler });',
        "'FETCH' is not an allowed HTTP method",
    ),
    # crons
    Row(
        "crons without an export",
        {"convex/crons.ts": "export const x = 1;\n"},
        "InvalidModules",
        "`convex/crons.js` must have a default export of a Crons object.",
        Place("convex/crons.ts", 1, 1),
    ),
    Row(
        "crons that exports something else",
        {"convex/crons.ts": "export default 3;\n"},
        "InvalidModules",
        "The default export of `convex/crons.js` is not a Crons object.",
        Place("convex/crons.ts", 1, 1),
    ),
    crons(
        "cron for a missing function",
        'crons.interval("x", { seconds: 1 }, (internal as any).nope.f);',
        "InvalidModules",
        "The cron job 'x' schedules a function that does not exist: nope.js:f",
        at=(4, 16),
    ),
    crons(
        "cron for a query",
        'crons.interval("x", { seconds: 1 }, api.jobs.q as any);',
        "InvalidModules",
        "The cron job 'x' schedules a query function, only actions and mutations can be "
        "scheduled: jobs.js:q",
        at=(4, 16),
    ),
    crons(
        "cron for an HTTP action",
        'crons.interval("x", { seconds: 1 }, (api as any).jobs.h);',
        "InvalidModules",
        "The cron job 'x' schedules an HTTP action, only actions and mutations can be scheduled: "
        "jobs.js:h",
        at=(4, 16),
    ),
    crons(
        "cron expression that is none",
        'crons.cron("x", "every day", internal.jobs.m);',
        "InvalidCron",
        "The cron job 'x' is invalid: …",
        at=(4, 12),
    ),
    crons(
        "cron expression that never matches",
        'crons.cron("x", "0 0 31 2 *", internal.jobs.m);',
        "InvalidCron",
        "The cron job 'x' is invalid: …",
        at=(4, 12),
    ),
    crons(
        "cron interval that is checked by the library",
        'crons.interval("x", { seconds: 0 }, internal.jobs.m);',
        "InvalidModules",
        "Failed to analyze crons.js: Uncaught Error: Interval must be an integer greater than 0…",
        at=(4, 7),
    ),
    *(
        crons(
            f"cron {name}",
            f"crons.{call};",
            "InvalidModules",
            f"Failed to analyze crons.js: Uncaught Error: {message}…",
            at=(4, 7),
        )
        for name, (call, message) in {
            "with two units": (
                'interval("x", { seconds: 1, minutes: 1 } as any, internal.jobs.m)',
                "Must specify one of seconds, minutes, or hours",
            ),
            "without a unit": (
                'interval("x", {} as any, internal.jobs.m)',
                "Must specify one of seconds, minutes, or hours",
            ),
            "on the 32nd": (
                'monthly("x", { day: 32, hourUTC: 1, minuteUTC: 1 }, internal.jobs.m)',
                "Day of month must be an integer from 1 to 31",
            ),
            "in the 25th hour": (
                'daily("x", { hourUTC: 24, minuteUTC: 1 }, internal.jobs.m)',
                "Hour of day must be an integer from 0 to 23",
            ),
            "in the 61st minute": (
                'hourly("x", { minuteUTC: 60 }, internal.jobs.m)',
                "Minute of hour must be an integer from 0 to 59",
            ),
            "whose name is not ASCII": (
                'interval("ä", { seconds: 1 }, internal.jobs.m)',
                "Invalid cron identifier ä: use ASCII letters that are not control characters",
            ),
        }.items()
    ),
    crons(
        "crons of one name",
        'for (let i = 0; i < 2; i++) crons.interval("x", { seconds: 1 }, internal.jobs.m);',
        "InvalidModules",
        "Failed to analyze crons.js: Uncaught Error: Cron identifier registered twice: x…",
        at=(4, 35),
    ),
    *(
        exported_crons(
            f"cron of no library {name}",
            {cron: {"schedule": schedule}},
            f"The cron job '{cron}' is invalid: {message}",
        )
        for name, (cron, schedule, message) in {
            "whose name is not ASCII": (
                *("é", {"type": "hourly", "minuteUTC": 1}),
                "use ASCII letters that are not control characters",
            ),
            "whose name has a control character": (
                *("a\t", {"type": "hourly", "minuteUTC": 1}),
                "use ASCII letters that are not control characters",
            ),
            "with two units": (
                *("x", {"type": "interval", "seconds": 1, "hours": 1}),
                "exactly one of seconds, minutes and hours must be given",
            ),
            "without a unit": (
                *("x", {"type": "interval"}),
                "exactly one of seconds, minutes and hours must be given",
            ),
            "of no time": (
                *("x", {"type": "interval", "minutes": 0}),
                "the interval must be greater than 0",
            ),
            "of less than no time": (
                *("x", {"type": "interval", "hours": -1}),
                "the interval must be greater than 0",
            ),
            "in the 61st minute": (
                *("x", {"type": "hourly", "minuteUTC": 60}),
                "minuteUTC must be from 0 to 59",
            ),
            "in the 25th hour": (
                *("x", {"type": "daily", "hourUTC": 24, "minuteUTC": 0}),
                "hourUTC must be from 0 to 23",
            ),
            "in no hour": (
                *("x", {"type": "weekly", "dayOfWeek": "monday", "minuteUTC": 0}),
                "hourUTC must be from 0 to 23",
            ),
            "on the 32nd": (
                *("x", {"type": "monthly", "day": 32, "hourUTC": 1, "minuteUTC": 0}),
                "day must be from 1 to 31",
            ),
            "on no day": (
                *("x", {"type": "monthly", "hourUTC": 1, "minuteUTC": 0}),
                "day must be from 1 to 31",
            ),
            "on a day that is none": (
                *("x", {"type": "weekly", "dayOfWeek": "Funday", "hourUTC": 1, "minuteUTC": 0}),
                "dayOfWeek must be one of sunday, monday, tuesday, wednesday, thursday, friday, "
                "saturday",
            ),
        }.items()
    ),
    # auth
    auth(
        "auth of WorkOS without an applicationID",
        'export default { providers: [{ type: "customJwt", issuer: "https://api.workos.com/", '
        'jwks: "https://api.workos.com/jwks", algorithm: "RS256" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth without an export",
        "export const x = 1;\n",
        "AuthConfigMissingExportError",
        "auth config file is missing default export. To learn more, see the auth documentation at "
        "https://docs.convex.dev/auth.",
    ),
    auth(
        "auth without providers",
        "export default {};\n",
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with a misspelt applicationID",
        'export default { providers: [{ domain: "https://a.example", applicationId: "x" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with a domain for custom JWT",
        'export default { providers: [{ type: "customJwt", domain: "https://a.example", '
        'jwks: "https://a.example/jwks", algorithm: "RS256" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with an issuer for OIDC",
        'export default { providers: [{ issuer: "https://a.example", applicationID: "x" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    *(
        auth(
            f"auth that asks for {name}",
            f"export default {{ providers: [] }};\nexport const x = {expression};\n",
            "AuthConfigNotMatchingSchemaError",
            "auth config file must include a list of provider credentials: Uncaught Error: "
            f"{what} unsupported when evaluating auth config file\n"
            f"    at <anonymous> (../convex/auth.config.ts:2:{column})",
        )
        for name, expression, what, column in (
            ("a random number", "Math.random()", "Math.random", 23),
            ("the time", "Date.now()", "Date", 23),
            ("a new date", "new Date()", "Date", 18),
        )
    ),
    auth(
        "auth with an unset variable",
        'export default { providers: [{ domain: process.env.ISSUER!, applicationID: "x" }] };\n',
        "AuthConfigMissingEnvironmentVariable",
        "Environment variable ISSUER is used in auth config file but its value was not set",
    ),
    # The app's definition
    config(
        "variable that is no string",
        "const app = defineApp({ env: { N: v.number() as any } });",
        "InvalidEnvVarDeclaration",
        "Env var `N` on the app has a non-string validator. Component env vars must be declared "
        'with `v.string()`, `v.literal("...")`, or a union of those.',
    ),
    config(
        "variables that are not set",
        "const app = defineApp({ env: { X: v.string(), Y: v.string(), "
        "Z: v.optional(v.string()) } });",
        "MissingEnvironmentVariables",
        "Required environment variables are not set: X, Y. Set them in the Convex dashboard or CLI "
        "before pushing.",
    ),
    config(
        "two components of one name",
        "const app = defineApp(); app.use(rateLimiter); app.use(rateLimiter);",
        "TypecheckError",
        "Duplicate child component name rateLimiter in the app",
    ),
    config(
        "mounted component without routes",
        'const app = defineApp(); app.use(rateLimiter, { httpPrefix: "/x/" });',
        "TypecheckError",
        "Component rateLimiter is mounted at /x/ but has no HTTP routes",
    ),
    config(
        "variable that the component does not declare",
        'const app = defineApp(); app.use(rateLimiter, { env: { NOPE: "x" } as any });',
        "TypecheckError",
        "Component rateLimiter: env var NOPE is bound but not declared by the component",
    ),
    config(
        "definition that throws",
        "const app = defineApp(); app.use({} as any);",
        "InvalidDefinition",
        "Uncaught …",
    ),
    config(
        "definition that is none",
        "const app = {};",
        "InvalidDefinition",
        "The convex.config file of the app has a default export that is no definition",
    ),
    components(
        "required variable that is not bound",
        "app.use(one, {} as any);",
        "TypecheckError",
        "Component one: required env var NEEDED is not bound",
    ),
    components(
        "variable that is bound to one that the app does not have",
        'app.use(one, { env: { NEEDED: { __envVarRef: "NOPE" } as any } });',
        "TypecheckError",
        "Component one: env var NEEDED is bound to NOPE, which its parent does not declare",
    ),
    components(
        "variable of a component that is no string",
        "app.use(one, { env: {} } as any);",
        "InvalidEnvVarDeclaration",
        "Env var `N` on component one has a non-string validator. Component env vars must be "
        'declared with `v.string()`, `v.literal("...")`, or a union of those.',
        env="{ N: v.number() }",
    ),
    components(
        "component whose name is no identifier",
        'app.use(two, { name: "my-two" });',
        "TypecheckError",
        'Invalid component name "my-two" in the app',
    ),
    components(
        "mounts that overlap",
        'app.use(two, { httpPrefix: "/x/" }); '
        'app.use(two, { name: "again", httpPrefix: "/x/y/" });',
        "TypecheckError",
        "HTTP mounts /x/ and /x/y/ overlap",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_wrong_app_is_refused_with_the_backends_words(
    row: Row, check_refusal: CheckRefusal
) -> None:
    check_refusal(row)


def test_an_auth_configuration_can_not_hide_that_it_varies(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    text = "let x; try { x = Math.random(); } catch {}\nexport default { providers: [], x };\n"
    answer = push_over_http(bundle({"convex/auth.config.ts": text}))
    assert answer.body["code"] == "AuthConfigNotMatchingSchemaError"
    constant = "export default { providers: [], x: new Date(0).getTime() };\n"
    files = {"convex/auth.config.ts": constant, "convex/a.ts": "export const x = Date.now();\n"}
    answer = push_over_http(bundle(files, name="constant"))
    assert answer.status == 200, answer.body


CLI_ROWS = {
    **{
        f"{name} that uses Node": (
            {f"convex/{name}.ts": '"use node";\nexport default {};\n'},
            f'"use node" directive is not allowed for {name}.ts.',
        )
        for name in ("http", "crons")
    },
    "folder of actions without Node": (
        {"convex/actions/a.ts": "export const x = 1;\n"},
        'actions/a.ts is in /actions subfolder but has no "use node"; directive. You can now '
        "define actions in any folder and indicate they should run in node by adding "
        '"use node" directive. /actions is a deprecated way to choose Node.js environment, and we '
        'require "use node" for all files within that folder to avoid unexpected errors during the '
        "migration. See https://docs.convex.dev/functions/actions for more details",
    ),
    "folder of dependencies": (
        {"convex/_deps/a.ts": "export const x = 1;\n"},
        'The path "PROJECT/convex/_deps/a.ts" is within the "_deps" directory, which is reserved '
        "for dependencies. Please move your code to another directory.",
    ),
    "two auth configurations": (
        {
            "convex/auth.config.ts": "export default { providers: [] };\n",
            "convex/auth.config.js": "export default { providers: [] };\n",
        },
        "Found both PROJECT/convex/auth.config.js and PROJECT/convex/auth.config.ts, choose one.",
    ),
    "TypeScript configuration that is none": (
        {"convex/a.ts": "export const x = 1;\n", "convex/tsconfig.json": '{"compilerOptions": {'},
        "Expected string in JSON but found end of file",
    ),
    "package.json without convex": (
        {"convex/a.ts": "export const x = 1;\n", "package.json": "{}"},
        "In order to run `npx convex dev`, add `convex` to your package.json dependencies.",
    ),
}


@pytest.mark.parametrize(("files", "message"), CLI_ROWS.values(), ids=CLI_ROWS.keys())
def test_what_the_cli_refuses_itself_never_reaches_the_server(
    files: Mapping[str, str],
    message: str,
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project(files)
    result = push_project(project)
    assert {finding.code for finding in result.findings} <= {"deploy/cli", "deploy/bundle"}
    told = [finding.message.replace(str(project), "PROJECT") for finding in result.findings]
    assert told == [message], result.output
    assert deployment.last_push().status == "none"
