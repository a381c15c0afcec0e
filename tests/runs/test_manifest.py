"""What a run was made of, in the manifest: which difference changes which fingerprint."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_convex_eval import __version__
from pytest_convex_eval.fingerprint import checker_fingerprint, package_fingerprint
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.options import Settings
from pytest_convex_eval.runs import manifest as module
from pytest_convex_eval.stages.protocol import Tools

ARMS = (Arm("default", "Be brief."), Arm("none", ""))


@dataclass(frozen=True)
class Run:
    """What a manifest is made of; `cases` are texts by path."""

    folder: Path
    arms: tuple[Arm, ...] = ARMS
    toolchain: str = "f1"
    cases: dict[str, str] = field(default_factory=lambda: {"a.yaml": "a", "b/c.yaml": "c"})

    def manifest(self) -> dict[str, Any]:
        root = self.folder / "project"
        paths = []
        for name, text in self.cases.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(path)
        config = SimpleNamespace(
            rootpath=root,
            invocation_params=SimpleNamespace(args=("cases", "-n", "2")),
            getoption=lambda name, default: {"numprocesses": 2}.get(name, default),
        )
        packages = SimpleNamespace(convex_version="1.48.0")
        tools = SimpleNamespace(
            toolchain=SimpleNamespace(fingerprint=self.toolchain, versions={"esbuild": "0.1"}),
            dependencies=SimpleNamespace(default_set=lambda: packages),
        )
        settings = SimpleNamespace(to_json=lambda: {"keep": "all"})
        return module.manifest(
            cast(pytest.Config, config),
            cast(Settings, settings),
            self.arms,
            cast(Tools, tools),
            paths,
            ("anthropic",),
        )


def test_a_manifest_names_all_that_decides_a_verdict(tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere.yaml")
    made = Run(tmp_path, cases={"b/c.yaml": "c", "../elsewhere.yaml": "e"}).manifest()
    assert set(made) == {
        *("arguments", "settings", "versions", "fingerprints", "guidelines", "machine", "cases"),
    }
    assert made["guidelines"] == {}
    assert made["arguments"] == ["cases", "-n", "2"]
    assert made["settings"] == {"keep": "all"}
    names = ("pytest", "pytest-xdist", "pytest-timeout", "anthropic", "pydantic", "PyYAML")
    assert made["versions"] == {
        "pytest-convex-eval": __version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        **{name: version(name) for name in names},
        "esbuild": "0.1",
        "convex": "1.48.0",
    }
    assert made["fingerprints"]["toolchain"] == "f1"
    assert made["fingerprints"]["harness"] == package_fingerprint()
    assert made["fingerprints"]["checker"] == checker_fingerprint()
    assert made["machine"]["cores"] >= 1
    assert made["machine"]["workers"] == 2
    assert set(made["fingerprints"]["prompts"]) == {"default", "none"}
    # Relative to the project where it is in there, with forward slashes.
    assert sorted(Path(name).name for name in made["cases"]) == ["c.yaml", "elsewhere.yaml"]
    assert "b/c.yaml" in made["cases"]
    assert elsewhere not in Run(tmp_path).manifest()["cases"]
    assert all(len(digest) == 16 for digest in made["cases"].values())
    assert len(set(made["cases"].values())) == 2


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"arms": (Arm("default", "Be long."), ARMS[1])}, "prompts"),
        ({"arms": (Arm("other", "Be brief."), ARMS[1])}, "prompts"),
        ({"toolchain": "f2"}, "toolchain"),
        ({"cases": {"a.yaml": "a", "b/c.yaml": "d"}}, "suite"),
        ({"cases": {"a.yaml": "a"}}, "suite"),
        ({"cases": {"d.yaml": "a", "b/c.yaml": "c"}}, "suite"),
    ],
)
def test_each_difference_is_in_its_own_fingerprint(
    tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    run = Run(tmp_path)
    before = run.manifest()["fingerprints"]
    after = replace(run, **changes).manifest()["fingerprints"]
    assert {key for key in before if before[key] != after[key]} == {name}


def test_the_order_of_files_is_no_difference(tmp_path: Path) -> None:
    turned = Run(tmp_path, cases={"b/c.yaml": "c", "a.yaml": "a"}).manifest()
    assert turned["fingerprints"] == Run(tmp_path).manifest()["fingerprints"]


def test_the_instructions_are_part_of_every_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Run(tmp_path).manifest()["fingerprints"]["prompts"]
    monkeypatch.setattr("pytest_convex_eval.generation.prompts.INSTRUCTIONS", "Others.")
    after = Run(tmp_path).manifest()["fingerprints"]["prompts"]
    assert [before[arm] != after[arm] for arm in ("default", "none")] == [True, True]


def test_a_package_that_is_not_there_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ("no-such-package-anywhere",))
    assert Run(tmp_path).manifest()["versions"]["no-such-package-anywhere"] is None
