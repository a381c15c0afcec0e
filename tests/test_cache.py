"""Where what is made once a machine is kept."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from pytest_convex_eval.cache import CACHE_VARIABLE, default_cache


def test_it_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    assert default_cache() == platformdirs.user_cache_path("pytest-convex-eval")
    assert default_cache().name == "pytest-convex-eval"


@pytest.mark.parametrize(
    ("named", "folder"), [("/a/b", "/a/b"), ("~/b", "/home/ada/b"), ("c", "/here/c")]
)
def test_the_variable_names_another(
    monkeypatch: pytest.MonkeyPatch, named: str, folder: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr("os.getcwd", lambda: "/here")
    monkeypatch.setenv(CACHE_VARIABLE, named)
    assert default_cache() == Path(folder)
