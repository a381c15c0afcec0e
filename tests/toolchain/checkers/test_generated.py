"""Our generated code against what the official CLI writes offline, and what can't be known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.generated import (
    FOLDER,
    TEMPLATE_NAMES,
    convex_tsconfig,
    generated_files,
    module_paths,
)
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Checkers

SCHEMA = 'import { defineSchema } from "convex/server";\nexport default defineSchema({});\n'
MODULE = "export const a = 1;\n"

# Names that the CLI treats in some way of its own, next to some that it does not.
TREE: Files = {
    "convex/plain.ts": MODULE,
    "convex/with-dash.ts": MODULE,
    "convex/with_dash.js": MODULE,
    "convex/deep/er/module.ts": MODULE,
    "convex/deep_er/module.ts": MODULE,
    "convex/deep-er.tsx": MODULE,
    "convex/deep.ts": MODULE,
    "convex/Deep.ts": MODULE,
    "convex/deep0.ts": MODULE,
    "convex/delete.ts": MODULE,
    "convex/sub/delete.ts": MODULE,
    "convex/public.ts": MODULE,
    "convex/await.mts": MODULE,
    "convex/async.ts": MODULE,
    "convex/api.ts": MODULE,
    "convex/internal.ts": MODULE,
    "convex/components.ts": MODULE,
    "convex/fullApi.ts": MODULE,
    "convex/server.ts": MODULE,
    "convex/http.ts": MODULE,
    "convex/crons.ts": MODULE,
    "convex/common.cjs": "module.exports = 1;\n",
    "convex/module.mjs": MODULE,
    "convex/jsx.jsx": MODULE,
    "convex/cts.cts": MODULE,
    "convex/node.ts": '"use node";\nimport fs from "node:fs";\nexport const a = fs;\n',
    "convex/import-only.ts": 'import "./plain";\n',
    "convex/indented.ts": "\n    export const a = 1;\n",
    "convex/empty.ts": "",
    "convex/no-module.ts": "const a = 1;\n",
    "convex/no-module.js": "const a = 1;\n",
    "convex/no-module.mts": "const a = 1;\n",
    "convex/commented.ts": "// export const a = 1;\n",
    "convex/auth.config.ts": "export default { providers: [] };\n",
    "convex/plain.test.ts": MODULE,
    "convex/types.d.ts": "export type A = 1;\n",
    "convex/.hidden.ts": MODULE,
    "convex/#temporary.ts": MODULE,
    "convex/with space.ts": MODULE,
    "convex/with space/in.ts": MODULE,
    "convex/sub/schema.ts": MODULE,
    "convex/sub/schema.tsx": MODULE,
    "convex/sub/_generated/in.ts": MODULE,
    "convex/sub/_deps/in.ts": MODULE,
    "convex/https/in.ts": MODULE,
    "convex/data.json": "{}",
    "convex/README.md": "import this",
    "convex/tsconfig.json": "{}",
    "src/outside.ts": MODULE,
    "outside.ts": MODULE,
}


_ANY_ENV = "declare const env: Record<string, string | undefined>;"


def official(
    files: Files, toolchain: Toolchain, dependencies: DependencySet, folder: Path
) -> dict[str, str]:
    """What the installed `convex` writes into `_generated` without a deployment."""
    folder.mkdir()
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "package.json").write_text('{"dependencies": {"convex": "*"}}')
    (folder / "node_modules").symlink_to(dependencies.node_modules)
    command = ("codegen", "--system-udfs", "--typecheck", "disable")
    done = run(
        [str(toolchain.node), str(dependencies.convex_cli), *command],
        cwd=folder,
        env=environment(home=folder),
        limits=Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    return {name: (folder / FOLDER / name).read_text() for name in TEMPLATE_NAMES}


def in_legacy_form(text: str) -> str:
    """Without `components` and the types of `env`, which the offline form lacks, and without the
    formatter's doing."""
    text = re.sub(r"/\*\*\n \* Typesafe environment variables\..*?\*/\n", "", text, flags=re.DOTALL)
    text = re.sub(r"type Env = \{[^}]*\};", "", text)
    text = text.replace("declare const env: Env;", _ANY_ENV)
    text = re.sub(r"export declare const components: \{[^}]*\};", "", text)
    text = re.sub(r"export const components = .*;", "", text)
    text = text.replace("{ anyApi, componentsGeneric }", "{ anyApi }")
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("schema", [None, "convex/schema.ts", "convex/schema.js"])
def test_it_equals_what_the_official_cli_writes(
    toolchain: Toolchain, dependencies: DependencySet, tmp_path: Path, schema: str | None
) -> None:
    files = TREE if schema is None else {**TREE, schema: SCHEMA}
    expected = official(files, toolchain, dependencies, tmp_path / "project")
    generated = generated_files(files, dependencies.templates)
    assert generated.undecided == ()
    ours = {path.removeprefix(f"{FOLDER}/"): text for path, text in generated.files.items()}
    assert {name: in_legacy_form(text) for name, text in ours.items()} == {
        name: in_legacy_form(text) for name, text in expected.items()
    }


def test_a_project_without_modules_equals_the_official_one(
    toolchain: Toolchain, dependencies: DependencySet, tmp_path: Path
) -> None:
    files = {"convex/no-module.ts": "const a = 1;\n"}
    expected = official(files, toolchain, dependencies, tmp_path / "project")
    ours = generated_files(files, dependencies.templates).files
    assert in_legacy_form(ours[f"{FOLDER}/api.d.ts"]) == in_legacy_form(expected["api.d.ts"])


def test_the_folder_of_a_component_holds_no_modules() -> None:
    files = {
        "convex.config.ts": MODULE,
        "a.ts": MODULE,
        "part/convex.config.ts": MODULE,
        "part/b.ts": MODULE,
        "part/deep/c.ts": MODULE,
        "party/d.ts": MODULE,
    }
    assert module_paths(files) == ["a.ts", "party/d.ts"]


def test_components_are_always_there(quick: Checkers) -> None:
    code = 'import { components, api, internal } from "./_generated/api";\n'
    use = "export const a: object = components;\nexport const b: unknown = [api, internal];\n"
    assert quick.types({"convex/a.ts": code + use}).findings == ()
    wrong = replace(quick, folder=quick.folder / "wrong")
    wrong.folder.mkdir()
    (finding,) = wrong.types({"convex/a.ts": code + "export default components.none;\n"}).findings
    assert finding.code == "TS2339"


CONFIG = """\
import {{ defineApp }} from "convex/server";
import limiter from '@convex-dev/rate-limiter/convex.config.js'; // use it
/* app.use(nothing); */
{body}
export default app
"""


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("const app = defineApp();\napp.use(limiter);", ["rateLimiter"]),
        ('const app = defineApp();\napp.use(limiter, { name: "mine" });', ["mine"]),
        (
            "const app = defineApp()\napp.use(limiter)\napp.use(limiter, {\n  name: 'two',\n})",
            ["rateLimiter", "two"],
        ),
        ("const app = defineApp({});\napp.use(limiter, {});", ["rateLimiter"]),
        (
            'const app = defineApp();\napp.use(limiter, { httpPrefix: "/x/", name: "mine" });',
            ["mine"],
        ),
    ],
)
def test_published_components_are_mounted(
    dependencies: DependencySet, body: str, names: list[str]
) -> None:
    files = {"convex/convex.config.ts": CONFIG.format(body=body)}
    generated = generated_files(
        files, dependencies.templates, node_modules=dependencies.node_modules
    )
    assert generated.undecided == ()
    api = generated.files[f"{FOLDER}/api.d.ts"]
    for name in names:
        assert (
            f'{name}: import("@convex-dev/rate-limiter/_generated/component.js")'
            f'.ComponentApi<"{name}">' in api
        )
    assert api.count("ComponentApi") == len(names)


def test_a_mounted_component_typechecks_under_its_name(quick: Checkers) -> None:
    body = 'const app = defineApp();\napp.use(limiter, { name: "mine" });'
    code = """\
import { RateLimiter } from "@convex-dev/rate-limiter";
import { components } from "./_generated/api";
export const good = new RateLimiter(components.mine, {});
export const bad = new RateLimiter(components.rateLimiter, {});
"""
    files = {"convex/convex.config.ts": CONFIG.format(body=body), "convex/a.ts": code}
    assert [f.location() for f in quick.types(files).findings] == ["convex/a.ts:4:47"]


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (
            {"convex/convex.config.ts": CONFIG.format(body="const app = defineApp({ env: e });")},
            "typed-environment",
        ),
        (
            {
                "convex/convex.config.ts": 'import { defineApp } from "convex/server";\n'
                'import part from "./part/convex.config";\n'
                "const app = defineApp();\napp.use(part);\nexport default app;\n"
            },
            "local-component",
        ),
        ({"convex/part/convex.config.ts": MODULE}, "local-component"),
        (
            {"convex/convex.config.ts": CONFIG.format(body="for (const x of []) app.use(x);")},
            "unknown-config",
        ),
        (
            {
                "convex/convex.config.ts": CONFIG.format(
                    body="const app = defineApp(); app.use(limiter, o);"
                )
            },
            "unknown-config",
        ),
        (
            {
                "convex/convex.config.ts": CONFIG.format(
                    body="const app = defineApp(); app.use(limiter, { name: x });"
                )
            },
            "unknown-config",
        ),
        (
            {
                "convex/convex.config.ts": CONFIG.format(
                    body="const app = defineApp(); app.use(other);"
                )
            },
            "unknown-config",
        ),
        (
            {"convex/convex.config.ts": CONFIG.format(body="const app = f(); app.use(limiter);")},
            "unknown-config",
        ),
        ({"convex/convex.config.js": MODULE}, "unknown-config"),
    ],
)
def test_what_only_a_deployment_knows_is_named(
    dependencies: DependencySet, files: Files, kind: str
) -> None:
    generated = generated_files(
        files, dependencies.templates, node_modules=dependencies.node_modules
    )
    assert kind in [undecided.kind for undecided in generated.undecided]


def test_a_missing_or_unknown_template_is_not_the_answers_fault(
    dependencies: DependencySet, tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match="missing"):
        generated_files({}, tmp_path)
    for name in TEMPLATE_NAMES:
        (tmp_path / "without-schema").mkdir(exist_ok=True)
        (tmp_path / "without-schema" / name).write_text("export {};\n")
    with pytest.raises(InfrastructureError, match="unknown shape"):
        generated_files({}, tmp_path)


def test_our_tsconfig_asks_for_no_less_than_convexs_own(dependencies: DependencySet) -> None:
    theirs = dependencies.node_modules / "convex/dist/esm/cli/codegen_templates/tsconfig.js"
    text = theirs.read_text()
    template = text[text.index("`") + 1 : text.rindex("`")]
    plain = re.sub(r"^\s*/\*.*?\*/$", "", template, flags=re.DOTALL | re.MULTILINE)
    plain = re.sub(r",(\s*[}\]])", r"\1", plain)
    official_config = json.loads(plain)
    ours = json.loads(convex_tsconfig())
    assert ours["compilerOptions"].pop("types") == ["*"]
    assert ours == official_config
