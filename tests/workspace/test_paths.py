"""Which paths of an answer are laid out: nothing that passes can leave the folder."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.workspace import paths
from pytest_convex_eval.workspace.paths import admit, problem_with


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "//host/share",
        "~/.ssh/config",
        "C:/windows/a.ts",
        "c:a.ts",
        "..",
        "../a.ts",
        "convex/../../a.ts",
        "convex/..",
        "./convex/a.ts",
        "convex/./a.ts",
        "convex//a.ts",
        "convex/",
        "convex\\a.ts",
        "convex\\..\\a.ts",
        "convex/a\0.ts",
        "convex/a\n.ts",
        "convex/a\u2028.ts",
        "convex/a\x7f.ts",
        "convex/\ud800.ts",
        "convex/a?.ts",
        "convex/*.ts",
        "convex/a:stream.ts",
        "convex/a.ts ",
        "convex/ a.ts",
        "convex/a.",
        "convex/... ",
        "convex/aux.ts",
        "CON",
        "node_modules/convex/index.js",
        "convex/node_modules/x/index.js",
        "Node_Modules/x.js",
        ".git/hooks/post-commit",
        "convex/" + "a" * 201,
        "a/" * 200 + "a.ts",
        "convex/" + "é" * 120 + ".ts",
    ],
)
def test_unsafe_paths_are_errors(path: str) -> None:
    finding = problem_with(path)
    assert finding is not None
    assert (finding.code, finding.severity) == ("format/unsafe-path", "error")
    # What is shown of it must be safe to print and to send between processes.
    finding.message.encode()
    assert finding.message.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "tsconfig.json",
        "convex/tsconfig.json",
        "tsconfig.build.json",
        "TSConfig.json",
        "jsconfig.json",
        "convex.json",
        "package-lock.json",
        "bun.lock",
        "bun.lockb",
        "pnpm-lock.yaml",
        "yarn.lock",
        ".npmrc",
        "convex/.npmrc",
        "bunfig.toml",
        "pnpm-workspace.yaml",
        ".env",
        ".env.local",
        ".eslintrc",
        ".eslintrc.json",
        "eslint.config.js",
        "eslint.config.mjs",
        ".eslintignore",
        ".oxlintrc.json",
        "convex/_generated/api.d.ts",
        "convex/part/_generated/server.js",
        "Convex/_Generated/api.js",
        ".convex/local/config.json",
    ],
)
def test_what_the_harness_owns_is_a_warning(path: str) -> None:
    finding = problem_with(path)
    assert finding is not None
    assert (finding.code, finding.severity) == ("format/harness-owned", "warning")
    assert finding.path == path


@pytest.mark.parametrize(
    "path",
    [
        "package.json",
        "convex/schema.ts",
        "convex/a/b-c_d.test.ts",
        "convex/auth.config.ts",
        "convex/[id].ts",
        "convex/(group)/$a@b+c,d=e.ts",
        "convex/with space.ts",
        "convex/größe.ts",
        "convex/-a.ts",
        "convex/.hidden.ts",
        "convex/...ts",
        "convex/console.ts",
        "src/_generated/a.ts",
        "src/environment.ts",
        "src/convex.json",
        "README.md",
        ".gitignore",
    ],
)
def test_ordinary_paths_pass(path: str) -> None:
    assert problem_with(path) is None


segments = st.one_of(
    st.sampled_from(
        ["..", ".", "", "convex", "a.ts", "C:", "~", "\\", "..\\..", "CON", "a b", "é"]
    ),
    st.text(max_size=8),
)
hostile = st.one_of(
    st.lists(segments, max_size=6).map("/".join),
    st.text(max_size=30),
    st.text("./\\:~a", max_size=12),
)


@given(hostile)
def test_whatever_passes_lands_inside_of_the_root(path: str) -> None:
    passing = [path] if problem_with(path) is None else []
    for each in ("convex/a.ts", *passing):
        root = Path("/some/root")
        target = root.joinpath(*each.split("/"))
        assert {"", ".", ".."}.isdisjoint(each.split("/"))
        assert Path(*target.parts).is_relative_to(root)
        assert target != root
        windows = PureWindowsPath("C:/some/root", each)
        assert windows.is_relative_to("C:/some/root")
        assert ".." not in windows.parts


@given(hostile)
def test_every_verdict_can_be_printed_and_sent(path: str) -> None:
    finding = problem_with(path)
    text = "" if finding is None else finding.message + (finding.path or "")
    assert text.encode().decode() == text


def test_admission_keeps_the_good_files_and_names_the_others() -> None:
    admission = admit({"convex/a.ts": "1", "../b.ts": "2", "tsconfig.json": "{}"})
    assert admission.files == {"convex/a.ts": "1"}
    assert [(finding.code, finding.severity) for finding in admission.findings] == [
        ("format/unsafe-path", "error"),
        ("format/harness-owned", "warning"),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("convex/a.ts", "convex/A.ts"),
        ("convex/a.ts", "Convex/a.ts"),
        ("convex/\u00e9.ts", "convex/e\u0301.ts"),
        ("convex/a/b.ts", "convex/a"),
        ("convex/a", "convex/a/b.ts"),
        ("convex/A/b.ts", "convex/a"),
        ("convex/ß.ts", "convex/SS.ts"),
    ],
)
def test_files_that_would_be_one_are_errors(first: str, second: str) -> None:
    admission = admit({first: "1", second: "2", "convex/z.ts": "3"})
    (finding,) = admission.findings
    assert (finding.code, finding.severity) == ("format/path-conflict", "error")
    assert len(admission.files) == 2
    assert "convex/z.ts" in admission.files


def test_a_folder_shared_by_files_is_no_conflict() -> None:
    files = {"convex/a/b.ts": "1", "convex/a/c.ts": "2", "convex/a.ts": "3", "convex/ab": "4"}
    assert admit(files).files == files
    assert admit(files).findings == ()


def test_half_of_a_surrogate_pair_is_an_error() -> None:
    admission = admit({"convex/a.ts": "const a = '\ud83d';"})
    assert [finding.code for finding in admission.findings] == ["format/not-unicode"]
    assert admission.files == {}


def test_counts_and_sizes_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_FILES", 2)
    monkeypatch.setattr(paths, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(paths, "MAX_TOTAL_BYTES", 15)
    codes = [finding.code for finding in admit({f"{n}.ts": "é" * 4 for n in range(3)}).findings]
    assert codes == ["format/too-many-files", "format/too-large"]
    (finding,) = admit({"a.ts": "é" * 6}).findings
    assert (finding.code, finding.path) == ("format/too-large", "a.ts")
