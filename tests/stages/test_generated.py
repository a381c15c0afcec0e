"""The generated code that a typecheck sees, against what the official CLI leaves after a push."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.stages.protocol import Bench
from pytest_convex_eval.toolchain.generated import FOLDER, TEMPLATE_NAMES
from pytest_convex_eval.workspace.layout import lay_out

if TYPE_CHECKING:
    from tests.stages.conftest import Check

CASES = Path(__file__).parents[2] / "cases"
REFERENCES = sorted(path.stem for path in CASES.rglob("*.yaml"))[3::9]
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


def test_env_has_what_is_declared(check: Check) -> None:
    checked = check({"convex/a.ts": ENV})
    (error,) = checked["typecheck"].errors
    assert (error.code, error.line, error.column) == ("TS2339", 2, 61)
    assert check({"convex/a.ts": ENV, "convex/convex.config.ts": DECLARED}).codes("typecheck") == []


@pytest.mark.parametrize("name", ["published component", *REFERENCES])
def test_it_is_what_the_cli_leaves_after_a_push(bench: Bench, tmp_path: Path, name: str) -> None:
    packages = {"convex": "^1.48.0"}
    if name == "published component":
        files = {"convex/convex.config.ts": COMPONENT, "convex/a.ts": "export const a = 1;\n"}
        packages["@convex-dev/rate-limiter"] = "*"
    else:
        (path,) = CASES.rglob(f"{name}.yaml")
        case = load_case(path, path.name).case
        files = {**case.files, **case.reference}
    dependencies = bench.dependencies.get(packages)
    workspace = lay_out(
        tmp_path / "workspace",
        {"package.json": '{"dependencies": {"convex": "*"}}', **files},
        node_modules=dependencies.node_modules,
        templates=dependencies.templates,
    )
    assert workspace.undecided == ()
    folder = workspace.root / FOLDER
    ours = {template: _text(folder / template) for template in TEMPLATE_NAMES}
    shutil.rmtree(folder)
    pushed = push(
        bench.deployment(),
        node=bench.toolchain.node,
        cli=dependencies.convex_cli,
        project=workspace.root,
        deadline_seconds=60,
        codegen=True,
    )
    assert pushed.findings == (), pushed.output
    assert {template: _text(folder / template) for template in TEMPLATE_NAMES} == ours


def _text(file: Path) -> tuple[list[str], str]:
    """The imports and the rest, without comments and the formatter's doing."""
    text = re.sub(r"/\*.*?\*/", "", file.read_text("utf-8"), flags=re.DOTALL)
    imports = re.compile(r"^import [^;]*;", re.MULTILINE)
    sorted_imports = sorted(re.sub(r"\s|,(?=\s*})", "", one) for one in imports.findall(text))
    return sorted_imports, re.sub(r"\s", "", imports.sub("", text))
