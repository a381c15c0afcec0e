"""docs/expectations.md names every key of `expect`, and its example is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from pytest_convex_eval.expectations import model
from pytest_convex_eval.expectations.model import Expectations, StrictModel

PAGE = (Path(__file__).parents[2] / "docs" / "expectations.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MODELS = [
    each
    for each in vars(model).values()
    if isinstance(each, type) and issubclass(each, StrictModel) and each not in (StrictModel,)
    and each is not model.LintPolicy
]  # fmt: skip


def test_the_example_is_what_expect_takes() -> None:
    expected = Expectations.model_validate(yaml.safe_load(EXAMPLE)["expect"])
    unset = set(Expectations.model_fields) - expected.model_fields_set
    assert unset == set()


@pytest.mark.parametrize("of", MODELS, ids=[each.__name__ for each in MODELS])
def test_every_key_stands_on_the_page(of: type[BaseModel]) -> None:
    keys = [field.alias or name for name, field in of.model_fields.items()]
    assert keys
    assert [key for key in keys if not re.search(rf"{re.escape(key)}\b", EXAMPLE)] == []
