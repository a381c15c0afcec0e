"""What the README says is so: its example case runs, its options exist, its commands are CI's."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from pytest_convex_eval.generation.built_in import built_in_vendors

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


def test_the_page_on_models_has_every_vendor_s_names_and_no_key_of_the_ini_file_that_is_none(
    project: pytest.Pytester,
) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    forms = {form.strip("`") for form in re.findall(r"^\| (`[^`]+`) \|", page, re.MULTILINE)}
    assert set(built_in_vendors().forms) | {"auto", "reference"} == forms
    named = set(re.findall(r"\bconvex_model_[a-z]+\b", page))
    known = set(re.findall(r"^  (convex_[a-z_]+) ", _help(project), re.MULTILINE))
    assert named == {"convex_model_settings", "convex_model_prices"}
    assert named <= known


def test_the_vendor_of_the_page_on_models_is_one(project: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (example,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        if "pytest_convex_eval_provider" in block
    ]
    project.makeconftest(f'{example}\npytest_plugins = ["pytest_convex_eval.plugin"]\n')
    ran = project.runpytest_subprocess("--convex-model=acne/x")
    ran.stderr.fnmatch_lines(["*'acne/x' is no model of a vendor known here; *acme/ID*"])


def _help(project: pytest.Pytester) -> str:
    return project.runpytest_subprocess("--help").stdout.str()
