"""What the README says is so: its example case runs, its options exist, its commands are CI's."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    return pytester


def test_the_two_commands_are_what_ci_runs() -> None:
    commands = [line for line in blocks("sh")[0].splitlines() if line.strip()]
    assert commands == [
        "pip install -e . && pytest cases/ -n 8",
        'pip install -e ".[test]" && pytest -n auto',
    ]


def test_the_example_case_passes_and_its_mutant_is_caught(project: pytest.Pytester) -> None:
    (example,) = [block for block in blocks("yaml") if "mutants:" in block]
    path = project.path / "cases/fundamentals/easy/notes.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(example)
    result = project.runpytest_subprocess("cases", "--convex-mutants")
    result.assert_outcomes(passed=3)


def test_the_options_table_is_the_plugins(project: pytest.Pytester) -> None:
    table = set(re.findall(r"^\| `(--convex-[a-z-]+)`", README, re.MULTILINE))
    shown = set(
        re.findall(r"--convex-[a-z-]+", project.runpytest_subprocess("--help").stdout.str())
    )
    assert table == shown - {"--convex-"}


def test_every_example_option_exists(project: pytest.Pytester) -> None:
    used = set(re.findall(r"--convex-[a-z-]+", textwrap.dedent("\n".join(blocks("sh")))))
    table = set(re.findall(r"^\| `(--convex-[a-z-]+)`", README, re.MULTILINE))
    assert "--convex-model" in used
    assert used <= table


def test_every_file_that_the_readme_links_is_there() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
