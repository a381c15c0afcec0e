"""Which files imports lead to, and what a tsconfig says of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.check import jsonc
from pytest_convex_eval.check.imports import Aliases, files_for, specifiers
from pytest_convex_eval.check.project import find_project, workspace_packages
from pytest_convex_eval.check.tsconfig import configuration_of
from tests.check.conftest import APP, write


def test_every_way_to_import_is_seen() -> None:
    text = """
    import a from "./a"; import * as b from './b';
    import "./c";
    export { d } from "./d";
    export * from
      "./e";
    const f = await import("./f");
    const g = require('./g');
    import type { H } from "./h";
    type I = import("./i").I;
    /// <reference path="./j.d.ts" />
    """
    assert specifiers(text) == [*(f"./{name}" for name in "abcdefghi"), "./j.d.ts"]


@pytest.mark.parametrize(
    ("specifier", "found"),
    [
        ("../src/a", "src/a.ts"),
        ("../src/a.js", "src/a.ts"),
        ("../src/a.ts", "src/a.ts"),
        ("../src/view.jsx", "src/view.tsx"),
        ("../src/folder", "src/folder/index.ts"),
        ("../src/data.json", "src/data.json"),
        ("@/a", "src/a.ts"),
        ("@/deep/b", "src/deep/b.ts"),
        ("exact", "src/a.ts"),
        ("@/missing", None),
        ("convex/values", None),
        ("../src", None),
    ],
)
def test_an_import_leads_to_a_file(specifier: str, found: str | None, tmp_path: Path) -> None:
    names = ("a.ts", "view.tsx", "folder/index.ts", "data.json", "deep/b.ts")
    write(tmp_path, {f"src/{name}": "" for name in names})
    aliases = Aliases(
        {
            "@/*": [str(tmp_path / "nowhere/*"), str(tmp_path / "src/*")],
            "*": [str(tmp_path / "elsewhere/*")],
            "exact": [str(tmp_path / "src/a.ts")],
        }
    )
    files = list(files_for(specifier, tmp_path / "convex" / "x.ts", aliases))
    assert files == ([] if found is None else [tmp_path / found])


def test_a_tsconfig_counts_with_what_it_extends(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            **APP,
            "convex/tsconfig.json": '{"extends": ["@repo/base/tsconfig.json", "../more"], '
            '"compilerOptions": {"jsx": "preserve", "strict": false}}',
            "more.json": '{"compilerOptions": {"paths": {"~/*": ["./lib/*"]}}}',
            "node_modules/@repo/base/tsconfig.json": '{"compilerOptions": '
            '{"jsx": "react", "jsxImportSource": "preact", "paths": {"lost": ["x"]}}}',
        },
    )
    configuration = configuration_of(find_project(tmp_path))
    assert configuration.aliases.paths == {"~/*": [str(tmp_path / "lib/*")]}
    assert configuration.options == {"jsx": "preserve", "jsxImportSource": "preact"}


def test_a_base_url_is_an_alias_for_all(tmp_path: Path) -> None:
    config = '{"compilerOptions": {"baseUrl": "./src", "paths": {"a": ["b"]}}}'
    write(tmp_path, {**APP, "tsconfig.json": config})
    assert configuration_of(find_project(tmp_path)).aliases.paths == {
        "a": [str(tmp_path / "src/b")],
        "*": [str(tmp_path / "src/*")],
    }


@pytest.mark.parametrize("text", ["{", "[]", "{}{}", '{"extends": "./tsconfig.json"}'])
def test_a_broken_tsconfig_configures_nothing(text: str, tmp_path: Path) -> None:
    write(tmp_path, {**APP, "convex/tsconfig.json": text})
    configuration = configuration_of(find_project(tmp_path))
    assert configuration.aliases.paths == {}
    assert configuration.options == {}


def test_comments_and_trailing_commas_are_none_of_the_data() -> None:
    text = '\ufeff{"a": "// no, /* no */ ,]", /* b */ "c": [1, 2, /* d */ ], // e\n}'
    assert jsonc.parse(text) == {"a": "// no, /* no */ ,]", "c": [1, 2]}
    with pytest.raises(ValueError, match="not an object"):
        jsonc.parse_object("[]")


def test_members_of_a_workspace_are_known(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pnpm-workspace.yaml": "packages:\n  - 'packages/*'\n  - '!packages/old'\n  - '../*'\n",
            **{f"packages/{name}/package.json": f'{{"name": "{name}"}}' for name in ("a", "old")},
            "other/package.json": '{"name": "other"}',
        },
    )
    assert workspace_packages(tmp_path) == {"a": tmp_path / "packages" / "a"}
