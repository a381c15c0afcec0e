"""An answer on disk: what is written, by whom, and that nothing gets out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.workspace.layout import Workspace, lay_out
from pytest_convex_eval.workspace.paths import admit

API = """\
import type { ApiFromModules } from "convex/server";
declare const fullApi: ApiFromModules<{}>;
"""
TEMPLATES = {
    "api.d.ts": API,
    "api.js": 'import { anyApi } from "convex/server";\nexport const api = anyApi;\n',
    "dataModel.d.ts": "export type DataModel = 1;\n",
    "server.d.ts": "export declare const query: 1;\n",
    "server.js": "export const query = 1;\n",
}


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Templates of the shape that the CLI's have."""
    for kind in ("with-schema", "without-schema"):
        folder = tmp_path / "templates" / kind
        folder.mkdir(parents=True)
        for name, text in TEMPLATES.items():
            (folder / name).write_text(f"// {kind}\n{text}")
    return tmp_path / "templates"


@pytest.fixture
def node_modules(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "node_modules"
    (folder / "convex").mkdir(parents=True)
    return folder


def on_disk(workspace: Workspace) -> set[str]:
    return {
        path.relative_to(workspace.root).as_posix()
        for path in workspace.root.rglob("*")
        if path.is_file() and "node_modules" not in path.relative_to(workspace.root).parts
    }


def test_it_holds_the_answers_files_ours_and_the_link(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    files: Files = {
        "package.json": '{"a":\r\n 1}',
        "convex/schema.ts": "export default 1;\n",
        "convex/deep/er.ts": "export const a = 'é';",
        "README.md": "// @ts-ignore",
    }
    workspace = lay_out(
        tmp_path / "new" / "root", files, node_modules=node_modules, templates=templates
    )
    assert workspace.files == tuple(files)
    assert {*workspace.files, *workspace.harness_files} == on_disk(workspace)
    for path, text in files.items():
        assert (workspace.root / path).read_bytes() == text.encode()
    assert (workspace.root / "node_modules").resolve() == node_modules.resolve()
    assert (workspace.root / "node_modules" / "convex").is_dir()
    assert json.loads((workspace.root / "convex/tsconfig.json").read_text())
    api = (workspace.root / "convex/_generated/api.d.ts").read_text()
    assert api.startswith("// with-schema\n")
    assert '"deep/er": typeof deep_er;' in api
    assert workspace.undecided == ()


def test_without_a_schema_the_other_templates_are_used(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    workspace = lay_out(tmp_path / "root", {}, node_modules=node_modules, templates=templates)
    api = (workspace.root / "convex/_generated/api.d.ts").read_text()
    assert api.startswith("// without-schema\n")


def test_suppressions_do_not_work_there_and_positions_stay(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    text = "\ufeff// @ts-nocheck 😀\nconst a = '// eslint-disable';\n"
    workspace = lay_out(
        tmp_path / "root", {"convex/a.ts": text}, node_modules=node_modules, templates=templates
    )
    written = (workspace.root / "convex/a.ts").read_text()
    assert written == "// _ts-nocheck 😀\nconst a = '// eslint-disable';\n"


def test_what_only_a_deployment_knows_is_passed_on(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    workspace = lay_out(
        tmp_path / "root",
        {"convex/part/convex.config.ts": "export default 1;"},
        node_modules=node_modules,
        templates=templates,
    )
    assert [undecided.kind for undecided in workspace.undecided] == ["local-component"]


@pytest.mark.parametrize("path", ["../out.ts", "/out.ts", "convex/tsconfig.json", "node_modules/a"])
def test_a_path_that_was_not_admitted_is_our_fault_and_writes_nothing(
    tmp_path: Path, node_modules: Path, templates: Path, path: str
) -> None:
    with pytest.raises(InfrastructureError):
        lay_out(tmp_path / "root", {path: ""}, node_modules=node_modules, templates=templates)
    assert not (tmp_path / "root").exists()
    assert not (tmp_path / "out.ts").exists()


def test_a_root_is_never_used_twice(tmp_path: Path, node_modules: Path, templates: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "used").mkdir()
    for name in ("used", "link"):
        with pytest.raises(InfrastructureError, match="could not be written"):
            lay_out(tmp_path / name, {}, node_modules=node_modules, templates=templates)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_root_behind_a_link_is_named_by_its_real_path(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    workspace = lay_out(
        tmp_path / "link" / "root", {}, node_modules=node_modules, templates=templates
    )
    assert workspace.root == (tmp_path / "real" / "root").resolve()


def test_only_sources_are_changed_and_only_at_their_start(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    files = {"a.md": "\ufeff// @ts-ignore\n", "convex/b.ts": "\ufeffconst b = '\ufeff';\r\n"}
    workspace = lay_out(tmp_path / "root", files, node_modules=node_modules, templates=templates)
    assert (workspace.root / "a.md").read_bytes() == files["a.md"].encode()
    assert (workspace.root / "convex/b.ts").read_bytes() == "const b = '\ufeff';\r\n".encode()
    assert workspace.files == ("a.md", "convex/b.ts")
    assert (workspace.root / "a.md").stat().st_mode & 0o133 == 0


def test_what_the_harness_writes_is_named(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    workspace = lay_out(tmp_path / "root", {}, node_modules=node_modules, templates=templates)
    assert workspace.harness_files[0] == "convex/tsconfig.json"
    generated = {f"convex/_generated/{name}" for name in TEMPLATES}
    assert set(workspace.harness_files[1:]) == generated
    assert (workspace.root / "node_modules").is_symlink()
    assert (workspace.root / "node_modules").readlink() == node_modules.resolve()


def test_a_path_that_was_not_admitted_is_named(
    tmp_path: Path, node_modules: Path, templates: Path
) -> None:
    expected = r"a path was not checked before: the path '\.\./x' has a '\.\.' segment"
    with pytest.raises(InfrastructureError, match=f"^{expected}$"):
        lay_out(tmp_path / "r", {"../x": ""}, node_modules=node_modules, templates=templates)


names = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12)
answers = st.dictionaries(
    st.lists(names, min_size=1, max_size=4).map("/".join), st.text(max_size=20)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(answers)
def test_whatever_is_admitted_can_be_laid_out_inside_of_the_root(
    tmp_path_factory: pytest.TempPathFactory, node_modules: Path, templates: Path, answer: Files
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    admission = admit(answer)
    workspace = lay_out(
        outer / "root", admission.files, node_modules=node_modules, templates=templates
    )
    assert {*workspace.files, *workspace.harness_files} == on_disk(workspace)
    assert [path.name for path in outer.iterdir()] == ["root"]
