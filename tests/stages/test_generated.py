"""The generated code that a typecheck sees, against what the official CLI leaves after a push."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.stages.package_json import read_package_json
from pytest_convex_eval.stages.protocol import Tools
from pytest_convex_eval.toolchain.app_config import mounted_components
from pytest_convex_eval.toolchain.generated import FOLDER, TEMPLATE_NAMES
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.workspace.layout import lay_out
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.stages.conftest import Check

CASES = sorted((Path(__file__).parents[2] / "cases").rglob("*.yaml"))
Generated: TypeAlias = Mapping[str, tuple[list[str], str]]
SPECIAL = frozenset({"schema.ts", "http.ts", "crons.ts", "auth.config.ts", "convex.config.ts"})
# The oldest that generates without a deployment, two in between, and the newest.
VERSIONS = ("1.28.0", "1.31.2", "1.41.0", "^1.48.0")
_IMPORT = re.compile(r"^import ([^;]*?) from (\"[^\"]*\");", re.MULTILINE)
COMPONENT = """\
import { defineApp } from "convex/server";
import limiter from "@convex-dev/rate-limiter/convex.config";
const app = defineApp();
app.use(limiter, { name: "limits" });
export default app;
"""
ENV = """\
import { env, query } from "./_generated/server";
export const f = query({ args: {}, handler: async () => env.NAME ?? env.CONVEX_SITE_URL });
"""
DECLARED = """\
import { defineApp } from "convex/server";
import { v } from "convex/values";
export default defineApp({ env: { NAME: v.optional(v.string()) } });
"""
MODULE = 'import { query } from "./_generated/server";\nexport const f = query(async () => 1);\n'
PROJECTS: Mapping[str, Files] = {
    "nothing but a module": {"convex/a.ts": MODULE},
    "schema": {
        "convex/schema.ts": 'import { defineSchema } from "convex/server";\n'
        "export default defineSchema({});\n",
        "convex/a.ts": MODULE,
    },
    "names": {
        "convex/api.ts": MODULE,
        "convex/delete.ts": MODULE,
        "convex/of/default.ts": MODULE.replace("./_", "../_"),
        "convex/of_default.ts": MODULE,
        "convex/a.b.ts": MODULE,
        "convex/script.ts": "const a = 1;\n",
        "convex/plain.js": MODULE,
        "convex/view.tsx": MODULE,
    },
}


def test_env_has_what_is_declared(check: Check) -> None:
    checked = check({"convex/a.ts": ENV})
    (error,) = checked["typecheck"].errors
    assert (error.code, error.line, error.column) == ("TS2339", 2, 61)
    assert check({"convex/a.ts": ENV, "convex/convex.config.ts": DECLARED}).codes("typecheck") == []


@pytest.mark.parametrize(
    "every", [6, pytest.param(1, marks=pytest.mark.sweep)], ids=["some", "all"]
)
def test_it_is_what_the_cli_leaves_after_a_push_of_each_shape_of_reference(
    tools: Tools, tmp_path: Path, every: int
) -> None:
    shapes: dict[frozenset[str], tuple[str, Files, DependencySet]] = {}
    for path in CASES:
        case = load_case(path, path.stem).case
        files: Files = {**case.files, **case.reference}
        dependencies = tools.dependencies.get(
            read_package_json(case.reference["package.json"]).usable
        )
        if not mounted_components(files, dependencies.node_modules)[1]:
            shapes.setdefault(_shape(files), (path.stem, files, dependencies))
    assert len(shapes) >= 10
    for name, files, dependencies in list(shapes.values())[::every]:
        ours, theirs = _generated(tools, tmp_path / name, files, dependencies)
        assert (name, ours) == (name, theirs)


@pytest.mark.parametrize(
    ("convex", "files"),
    [
        pytest.param(
            convex, files, id=f"{convex}-{name}", marks=() if plain else (pytest.mark.sweep,)
        )
        for convex in VERSIONS
        for name, files in PROJECTS.items()
        for plain in [name == "names" and convex in (VERSIONS[0], VERSIONS[-1])]
    ],
)
def test_it_is_what_each_version_of_the_cli_leaves_after_a_push(
    tools: Tools, tmp_path: Path, convex: str, files: Files
) -> None:
    dependencies = tools.dependencies.get({"convex": convex})
    ours, theirs = _generated(tools, tmp_path / "workspace", files, dependencies)
    assert ours == theirs


def test_it_is_what_the_cli_leaves_beside_a_published_component(
    tools: Tools, tmp_path: Path
) -> None:
    files = {"convex/convex.config.ts": COMPONENT, "convex/a.ts": MODULE}
    dependencies = tools.dependencies.get({"convex": "^1.48.0", "@convex-dev/rate-limiter": "*"})
    ours, theirs = _generated(tools, tmp_path / "workspace", files, dependencies)
    assert ours == theirs


def _shape(files: Files) -> frozenset[str]:
    """What the generated code of a project depends on but the names of its modules."""
    kinds = set()
    for path in files:
        name = path.removeprefix("convex/")
        if name != path:
            extension = name.rpartition(".")[2]
            kinds.add(name if name in SPECIAL else f"{name.count('/')}/*.{extension}")
    return frozenset(kinds)


def _generated(
    tools: Tools, root: Path, files: Files, dependencies: DependencySet
) -> tuple[Generated, Generated]:
    """What we write, and what the CLI has written after a push."""
    workspace = lay_out(
        root,
        {"package.json": '{"dependencies": {"convex": "*"}}', **files},
        node_modules=dependencies.node_modules,
        templates=dependencies.templates,
    )
    assert workspace.undecided == ()
    folder = workspace.root / FOLDER
    ours = {template: _text(folder / template) for template in TEMPLATE_NAMES}
    shutil.rmtree(folder)
    pushed = push(
        tools.deployment(),
        node=tools.toolchain.node,
        cli=dependencies.convex_cli,
        project=workspace.root,
        deadline_seconds=HANG_SECONDS,
        codegen=True,
    )
    errors = [finding for finding in pushed.findings if finding.severity == "error"]
    assert errors == [], pushed.output
    return ours, {template: _text(folder / template) for template in TEMPLATE_NAMES}


def _text(file: Path) -> tuple[list[str], str]:
    """The imports and the rest, without comments, the formatter's doing, and what means nothing.

    CLIs of 1.28 and 1.31 leave other text after a push than offline: they import names and declare
    types that nothing uses, and give the type of `fullApi` a second name.
    """
    text = re.sub(r"/\*.*?\*/", "", file.read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"declare const fullApiWithMounts: typeof fullApi;", "", text)
    text = text.replace("fullApiWithMounts", "fullApi")
    if text.count("GenericCtx") == 1:
        text = re.sub(r"type GenericCtx =[^;]*;", "", text)
    rest = _IMPORT.sub("", text)
    imports = []
    for what, source in _IMPORT.findall(text):
        names = re.findall(r"[\w$]+", what)
        used = [name for name in names if re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", rest)]
        if used:
            imports.append(f"{source}: {what if '*' in what else ' '.join(sorted(used))}")
    return sorted(imports), re.sub(r"\s", "", rest)
