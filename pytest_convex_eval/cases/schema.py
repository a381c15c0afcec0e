"""The case format as a JSON schema, for editors.

`python -m pytest_convex_eval.cases.schema` writes it beside this module; a test keeps it in step.
"""

from __future__ import annotations

import json
from pathlib import Path

from pytest_convex_eval.cases.model import Case

SCHEMA_FILE = Path(__file__).with_name("case.schema.json")


def schema_text() -> str:
    """The schema, as the file holds it.

    Draft 2020-12 keywords that older editors do not know are not used by the models.
    """
    schema = Case.model_json_schema(by_alias=True)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["title"] = "A pytest-convex-eval case"
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    return text.replace("#/$defs/", "#/definitions/").replace('"$defs"', '"definitions"') + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
