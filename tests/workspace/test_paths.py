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


@pytest.mark.parametrize(
    ("path", "shown", "reason"),
    [
        ("", "", "is empty"),
        ("/a.ts", "/a.ts", "is not relative to the project"),
        ("~/a.ts", "~/a.ts", "is not relative to the project"),
        ("C:a.ts", "C:a.ts", "is not relative to the project"),
        ("a\\b.ts", "a\\\\\\\\b.ts", "has a backslash; folders are separated by /"),
        ("a\n.ts", "a\\\\n.ts", "has a character that does not belong in a file name"),
        ("a\x9f.ts", "a\\\\x9f.ts", "has a character that does not belong in a file name"),
        ("aC:.ts", "aC:.ts", "has a character that does not belong in a file name"),
        ("a\ud800.ts", "a\\\\ud800.ts", "has a character that does not belong in a file name"),
        ("a//b.ts", "a//b.ts", "has an empty segment"),
        ("a/", "a/", "has an empty segment"),
        ("a/./b.ts", "a/./b.ts", "has a '.' segment"),
        ("a/../b.ts", "a/../b.ts", "has a '..' segment"),
        (f"a/{'é' * 101}", "a/" + r"\\xe9" * 49 + r"\\x", "has a name longer than 200 bytes"),
        (f"{'a' * 99}/" * 4 + "b", f"{'a' * 99}/" * 2, "is longer than 400 bytes"),
        ("a /b.ts", "a /b.ts", "has a name that not every file system can hold"),
        (" a", " a", "has a name that not every file system can hold"),
        ("a./b.ts", "a./b.ts", "has a name that not every file system can hold"),
        ("a/LPT1.x.ts", "a/LPT1.x.ts", "has a name that not every file system can hold"),
        ("a/Node_Modules/b", "a/Node_Modules/b", "lies in Node_Modules, where only tools write"),
        (".GIT", ".GIT", "lies in .GIT, where only tools write"),
        ("Convex", "Convex", "is a folder of every Convex project"),
        ("convex/_generated", "convex/_generated", "is a folder of every Convex project"),
        ("convex/tsconfig.json/a", "convex/tsconfig.json/a",
         "lies in convex/tsconfig.json, which is a file"),
    ],
)  # fmt: skip
def test_an_unsafe_path_says_why(path: str, shown: str, reason: str) -> None:
    finding = problem_with(path)
    assert finding is not None
    assert finding.message == f"the path '{shown}' {reason}"
    assert finding.path is None


@pytest.mark.parametrize(
    "path", ["a" * 200, f"{'a' * 99}/" * 3 + "b" * 100, "é" * 100, "lpt10", "nul1.ts", "git", "co"]
)
def test_a_path_may_be_as_long_as_is_said(path: str) -> None:
    assert problem_with(path) is None


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        ("convex.json", "the Convex project's configuration"),
        ("CONVEX.JSON", "the Convex project's configuration"),
        ("convex/_generated/a.ts", "generated code"),
        ("a/.convex/b", "the deployment's state"),
        ("a/tsconfig.x.json", "the TypeScript configuration"),
        ("a/oxlint.config.ts", "the lint configuration"),
        (".oxlintrc.jsonc", "the lint configuration"),
        (".pnpmfile.cjs", "the package manager's settings"),
        (".yarnrc", "the package manager's settings"),
        (".yarnrc.yml", "the package manager's settings"),
        ("npm-shrinkwrap.json", "the lockfile"),
        ("deno.lock", "the lockfile"),
        ("a/.env", "the environment"),
    ],
)
def test_what_is_owned_says_by_whom(path: str, owned: str) -> None:
    finding = problem_with(path)
    assert finding is not None
    assert finding.message == f"{path} is not used: {owned} is the harness's own"
    assert (finding.severity, finding.path) == ("warning", path)


@pytest.mark.parametrize("path", ["a/convex.json", "tsconfig.ts", "env", ".convexrc", "x.npmrc"])
def test_what_only_looks_like_it_is_the_answer_s(path: str) -> None:
    assert problem_with(path) is None


@pytest.mark.parametrize(
    ("files", "codes"),
    [
        ({"a": "é" * 5, "b": "x" * 5}, []),
        ({"a": "é" * 5 + "x"}, ["too-large: a has 11 bytes; 10 are allowed"]),
        ({"a": "x" * 10, "b": "x" * 6}, ["too-large: the answer has 16 bytes; 15 are allowed"]),
        ({"a": "", "b": "", "c": ""}, ["too-many-files: the answer has 3 files; 2 are allowed"]),
        # What is not admitted counts too.
        ({"/a": "x" * 16}, ["unsafe-path: the path '/a' is not relative to the project",
                            "too-large: the answer has 16 bytes; 15 are allowed"]),
        ({"a": "\ud800"}, ["not-unicode: a holds half of a surrogate pair, which no file can"]),
        ({"a": "", "A": ""}, ["path-conflict: A and a are one file on many systems"]),
        ({"a": "", "A/b": ""}, ["path-conflict: a is both a file and the folder of A/b"]),
    ],
)  # fmt: skip
def test_admission_word_for_word(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], codes: list[str]
) -> None:
    monkeypatch.setattr(paths, "MAX_FILES", 2)
    monkeypatch.setattr(paths, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(paths, "MAX_TOTAL_BYTES", 15)
    admission = admit(files)
    told = [f"{finding.code}: {finding.message}" for finding in admission.findings]
    assert told == [f"format/{code}" for code in codes]
    of_whole = ("the answer", "the path")
    named = {
        finding.path for finding in admission.findings if not finding.message.startswith(of_whole)
    }
    assert named == {finding.path for finding in admission.findings} - {None}
    assert set(admission.files) == {path for path in files if path not in named and path != "/a"}
    assert all(finding.severity == "error" for finding in admission.findings)
