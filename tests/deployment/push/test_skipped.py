from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.deployment.model import Deployed
from pytest_convex_eval.deployment.skipped import skipped_files

MODULE = "export const x = 1;\n"


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("a.b.ts", MODULE, "more than one dot"),
        ("my file.ts", MODULE, "space"),
        ("#a.ts", MODULE, "starts with #"),
        (".a.ts", MODULE, "starts with a dot"),
        ("a.ts", '"use node"; import x from "y";\n', "no line of it starts with import or export"),
        ("lib/schema.ts", MODULE, "schema file directly in"),
        ("b.tsx", "const x = 1;\n", "no line of it starts with import or export"),
    ],
)
def test_a_file_that_was_left_out_is_named_with_the_reason(
    path: str, text: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "convex" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (finding,) = skipped_files(tmp_path, Deployed(files=("c.js",)))
    assert (finding.code, finding.severity) == ("deploy/skipped-file", "warning")
    assert finding.path == f"convex/{path}"
    assert reason in finding.message


def test_what_is_no_module_is_not_missed(tmp_path: Path) -> None:
    files = {
        "README.md": "",
        "tsconfig.json": "{}",
        "types.d.ts": MODULE,
        "schema.ts": MODULE,
        "convex.config.ts": MODULE,
        "auth.config.ts": MODULE,
        "deployed.tsx": MODULE,
        "_generated/api.js": MODULE,
        "component/convex.config.ts": MODULE,
        "component/a.ts": MODULE,
    }
    for path, text in files.items():
        (tmp_path / "convex" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "convex" / path).write_text(text)
    deployed = Deployed(files=("deployed.js", "auth.config.js", "_deps/A.js"))
    assert skipped_files(tmp_path, deployed) == []


@pytest.mark.parametrize("folder", [True, False])
def test_a_push_of_nothing_is_an_error(folder: bool, tmp_path: Path) -> None:
    if folder:
        (tmp_path / "convex").mkdir()
    (finding,) = skipped_files(tmp_path, Deployed())
    assert (finding.code, finding.severity) == ("deploy/nothing-deployed", "error")


def test_a_schema_alone_is_something(tmp_path: Path) -> None:
    (tmp_path / "convex").mkdir()
    assert skipped_files(tmp_path, Deployed(has_schema=True)) == []
