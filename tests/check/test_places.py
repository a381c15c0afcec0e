"""Where functions lie, what they import from beside them, and what stands in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_convex_eval.check import mirror
from pytest_convex_eval.check.project import NotCheckableError, find_project
from pytest_convex_eval.outcomes import Verdict
from pytest_convex_eval.toolchain.model import DependencySet
from tests.check.conftest import APP, NOTES, PACKAGE, SCHEMA, Check, errors, snapshot, told, write

WRONG = "export const shout = (text: string): number => text.toUpperCase();\n"
RIGHT = "export const shout = (text: string): string => text.toUpperCase();\n"


def use(specifier: str) -> str:
    return (
        f'import {{ shout }} from "{specifier}";\n'
        + NOTES
        + "export const loud = query({ args: {}, handler: () => shout('a') });\n"
    )


@pytest.mark.parametrize("functions", ["src/backend/", "./functions", "src/convex"])
def test_functions_can_lie_elsewhere(functions: str, check: Check, tmp_path: Path) -> None:
    folder = functions.removeprefix("./").strip("/")
    files = {
        "package.json": PACKAGE,
        "convex.json": f'{{\n  // where they are\n  "functions": "{functions}",\n}}\n',
        f"{folder}/schema.ts": SCHEMA,
        f"{folder}/notes.ts": use("../lib/shout"),
        # What lies beside them names their folder too.
        f"{Path(folder).parent}/lib/shout.ts": RIGHT
        + f'export type {{ Id }} from "../{Path(folder).name}/_generated/dataModel";\n',
    }
    project = write(tmp_path, files)
    checked = check(project)
    assert told(checked) == []
    assert checked.verdict is Verdict.PASSED
    broken = NOTES.replace("q.eq(", "q.equal(")
    (project / folder / "notes.ts").write_text(broken)
    assert ("typecheck", "TS2339", f"{folder}/notes.ts", 9) in told(check(project))


@pytest.mark.parametrize("start", [".", "convex", "convex/notes.ts", "src/deep"])
def test_a_project_is_found_from_anywhere_in_it(start: str, tmp_path: Path) -> None:
    write(tmp_path, {**APP, "src/deep/a.ts": ""})
    assert find_project(tmp_path / start).root == tmp_path


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package.json": "{}"}, "no Convex project"),
        ({"convex.json": "{"}, "can't be read"),
        ({"convex.json": '{"functions": "../elsewhere"}'}, "must be below"),
        ({"convex.json": '{"functions": "."}'}, "must be below"),
        ({"convex.json": '{"functions": ["a"]}'}, "must be the path"),
        ({"convex.json": '{"functions": "missing/"}'}, "no functions folder"),
        (
            {
                "package.json": '{"workspaces": ["apps/*"]}',
                "apps/a/package.json": '{"name": "a"}',
                "apps/a/convex/a.ts": "",
                "apps/b/package.json": '{"name": "b"}',
                "apps/b/convex/b.ts": "",
            },
            "name one: apps/a, apps/b",
        ),
    ],
)
def test_what_is_no_project_is_said(files: dict[str, str], why: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, files)
    with pytest.raises(NotCheckableError, match=why):
        find_project(tmp_path)


def test_aliases_lead_where_the_project_says(check: Check, tmp_path: Path) -> None:
    project = write(
        tmp_path,
        {
            **APP,
            "tsconfig.base.json": '{"compilerOptions": {"paths": {"@/*": ["./src/*"],}}} // all',
            "convex/tsconfig.json": '{"extends": "../tsconfig.base", "compilerOptions": {}}',
            "convex/notes.ts": use("@/shout"),
            "src/shout.ts": RIGHT,
        },
    )
    assert told(check(project)) == []
    (project / "src" / "shout.ts").write_text(WRONG)
    assert ("typecheck", "TS2322", "src/shout.ts", 1) in told(check(project))


def test_how_strict_a_project_says_it_is_does_not_count(check: Check, tmp_path: Path) -> None:
    loose = '{"compilerOptions": {"strict": false, "noImplicitAny": false}, "exclude": ["**/*"]}'
    anything = "export const anything = (a) => a;\n"
    project = write(
        tmp_path, {**APP, "convex/tsconfig.json": loose, "convex/notes.ts": NOTES + anything}
    )
    assert ("typecheck", "TS7006", "convex/notes.ts", 12) in told(check(project))


def monorepo(folder: Path, installed: DependencySet) -> Path:
    """A workspace whose packages are hoisted, as npm, Yarn and Bun install it."""
    write(
        folder,
        {
            "package.json": '{"private": true, "workspaces": ["packages/*"]}',
            "packages/backend/package.json": '{"name": "@repo/backend", "dependencies": '
            '{"convex": "^1.40.0", "@repo/shared": "workspace:*"}}',
            "packages/backend/convex/schema.ts": SCHEMA,
            "packages/backend/convex/notes.ts": use("@repo/shared"),
            "packages/shared/package.json": '{"name": "@repo/shared", "exports": "./src/index.ts"}',
            "packages/shared/src/index.ts": RIGHT,
        },
    )
    modules = folder / "node_modules"
    (modules / "@repo").mkdir(parents=True)
    for package in installed.node_modules.iterdir():
        (modules / package.name).symlink_to(package)
    for name in ("backend", "shared"):
        (modules / "@repo" / name).symlink_to(f"../../packages/{name}")
    return folder


def test_a_monorepo_is_checked_with_what_is_installed_in_it(
    check: Check, tmp_path: Path, installed: DependencySet
) -> None:
    repository = monorepo(tmp_path, installed)
    before = snapshot(repository / "packages")
    checked = check(repository)
    assert told(checked) == []
    assert checked.packages == f"installed, convex {installed.convex_version}"
    assert checked.exit_code == 0
    assert snapshot(repository / "packages") == before
    (repository / "packages/shared/src/index.ts").write_text(WRONG)
    assert ("typecheck", "TS2322", "packages/shared/src/index.ts", 1) in told(check(repository))


def test_a_monorepos_files_can_be_imported_by_their_place(
    check: Check, tmp_path: Path, installed: DependencySet
) -> None:
    repository = monorepo(tmp_path, installed)
    backend = repository / "packages/backend"
    (backend / "convex/notes.ts").write_text(use("../../shared/src/index.js"))
    assert told(check(backend)) == []
    (repository / "packages/shared/src/index.ts").write_text(WRONG)
    assert ("typecheck", "TS2322", "packages/shared/src/index.ts", 1) in told(check(backend))


def test_what_is_installed_otherwise_than_declared_is_told(
    check: Check, tmp_path: Path, installed: DependencySet
) -> None:
    declared = '{"dependencies": {"convex": "<1.40", "zod": "^4.0.0"}}'
    project = write(tmp_path, {**APP, "package.json": declared})
    (project / "node_modules").symlink_to(installed.node_modules)
    checked = check(project)
    assert checked.exit_code == 0
    package = checked.results[0]
    assert {(one.code, one.severity) for one in package.findings} == {
        ("package/outside-declared", "warning"),
        ("package/not-installed", "warning"),
    }


def test_scripts_and_configuration_of_a_project_never_run(check: Check, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    touch = f"import {{ writeFileSync }} from 'node:fs'; writeFileSync({str(touched)!r}, '');"
    scripts = dict.fromkeys(("preinstall", "postinstall", "prepare"), f"touch {touched}")
    project = write(
        tmp_path / "app",
        {
            **APP,
            "package.json": PACKAGE.replace(
                '"name"', '"scripts": ' + str(scripts).replace("'", '"') + ', "name"'
            ),
            "eslint.config.mjs": touch,
            ".oxlintrc.json": '{"rules": {}, "jsPlugins": ["./eslint.config.mjs"]}',
            "convex/.oxlintrc.json": '{"jsPlugins": ["../eslint.config.mjs"]}',
            ".npmrc": "registry=http://127.0.0.1:9/\n",
            ".env.local": "CONVEX_DEPLOYMENT=prod:not-ours-1\n",
            ".env": "CONVEX_DEPLOY_KEY=prod:not-ours|1\n",
        },
    )
    assert told(check(project)) == []
    assert not touched.exists()


def test_nothing_is_read_through_links_out_of_the_functions(check: Check, tmp_path: Path) -> None:
    project = write(tmp_path / "app", APP)
    elsewhere = write(tmp_path / "elsewhere", {"wrong.ts": "export const a: number = 'a';\n"})
    (project / "convex" / "linked").symlink_to(elsewhere)
    os.mkfifo(project / "convex" / "pipe.ts")
    assert errors(check(project)) == []


def test_too_much_is_refused_and_not_read(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write(tmp_path, {**APP, "convex/more.ts": "export const a = 1;\n"})
    monkeypatch.setattr(mirror, "MOST_FILES", 2)
    with pytest.raises(NotCheckableError, match="more than 2 files"):
        check(project)
    monkeypatch.setattr(mirror, "MOST_FILE_BYTES", 10)
    with pytest.raises(NotCheckableError, match="is larger"):
        check(project)
