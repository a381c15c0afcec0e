"""From the text of a reply to a folder: whatever a model writes, nothing gets out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit

API = """\
import type { ApiFromModules } from "convex/server";
declare const fullApi: ApiFromModules<{}>;
"""
API_MODULE = 'import { anyApi } from "convex/server";\nexport const api = anyApi;\n'


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Templates of the shape that the CLI's have."""
    root = tmp_path_factory.mktemp("templates")
    for kind in ("with-schema", "without-schema"):
        (root / kind).mkdir()
        for name in ("api.d.ts", "api.js", "dataModel.d.ts", "server.d.ts", "server.js"):
            (root / kind / name).write_text(API_MODULE if name == "api.js" else API)
    return root


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "node_modules"
    (folder / "convex").mkdir(parents=True)
    return folder


def tagged(path: str, content: str) -> str:
    return f'<file path="{path}">\n{content}\n</file>'


def listed(path: str, content: str) -> str:
    return json.dumps({"files": [{"path": path, "content": content}]})


def mapped(path: str, content: str) -> str:
    return json.dumps({"files": {path: content}})


def headed(path: str, content: str) -> str:
    return f"## {path}\n\n```ts\n{content}\n```"


def titled(path: str, content: str) -> str:
    return f'```ts title="{path}"\n{content}\n```'


FORMS = (tagged, listed, mapped, headed, titled)
PARTS = st.sampled_from(
    ["..", ".", "", "convex", "a.ts", "~", "C:", "c:\\x", "\\\\host\\share", "..\\..\\x", "%2e%2e",
     "node_modules", ".git", ".npmrc", "tsconfig.json", "_generated", "con", "aux.ts", "root",
     "\u2025", "\uff0e\uff0e", "a.ts ", " ..", "..;", "x" * 300, "é", "e\u0301", "\u202e", "\x00",
     "\n", "*"]
)  # fmt: skip
PATHS = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "/", "//", "./", "../", "file://", "\\"]),
    st.lists(PARTS, min_size=1, max_size=5),
)
FILES = st.tuples(st.sampled_from(FORMS), PATHS, st.text(max_size=10))
JUNK = st.text(st.sampled_from('<file path="../x">\n</file>```{}[]:,.`/\\ \t'), max_size=60)


@settings(
    deadline=None,
    database=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(FILES, max_size=4), JUNK)
@example([(tagged, "../x.ts", ""), (tagged, "convex/a.ts", "")], "")
@example([(headed, "convex/../../x.ts", "")], "")
@example([(mapped, "/etc/x.ts", "")], "")
@example([(tagged, "a.ts/b.ts", ""), (tagged, "a.ts", "")], "")
@example([(tagged, "convex", "")], "")
@example([(tagged, "convex/_generated", "")], "")
@example([(tagged, "convex/tsconfig.json/a.ts", "")], "")
def test_no_reply_gets_out_of_its_folder(
    tmp_path_factory: pytest.TempPathFactory,
    node_modules: Path,
    templates: Path,
    files: list[tuple[Callable[[str, str], str], str, str]],
    junk: str,
) -> None:
    text = "\n".join([*(form(path, content) for form, path, content in files), junk])
    parsed = parse_reply(text)
    outer = tmp_path_factory.mktemp("outer")
    admission = admit(parsed.files)
    # Each file is on disk, or there is a finding that says why not.
    assert len(admission.files) == len(parsed.files) or admission.findings
    lay_out(outer / "root", admission.files, node_modules=node_modules, templates=templates)
    assert [path.name for path in outer.iterdir()] == ["root"]
    for path in (outer / "root").rglob("*"):
        assert path.resolve().is_relative_to(outer) or path.name == "node_modules"
    assert [path.name for path in node_modules.iterdir()] == ["convex"]
    assert list((node_modules / "convex").iterdir()) == []
