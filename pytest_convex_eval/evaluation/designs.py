"""How a design that a model gave first differs from what was deployed from it."""

from __future__ import annotations

from dataclasses import replace

from pytest_convex_eval.deployment.model import Deployed
from pytest_convex_eval.generation.design import (
    DeployedFacts,
    DeployedFunction,
    check_design,
    parse_design,
)
from pytest_convex_eval.outcomes import Finding


def differences(text: str, deployed: Deployed) -> tuple[Finding, ...]:
    """Warnings and infos with codes `design/...`: the task judges an answer, and not its design."""
    parsed = parse_design(text)
    found = parsed.findings
    if parsed.design is not None:
        found = (*found, *check_design(parsed.design, _facts(deployed)))
    return tuple(
        replace(finding, severity="warning") if finding.severity == "error" else finding
        for finding in found
    )


def _facts(deployed: Deployed) -> DeployedFacts:
    functions = {
        function.path: DeployedFunction(
            function.kind,
            function.visibility,
            tuple(fields)
            if isinstance(fields := function.args.get("value"), dict)
            and function.args["type"] == "object"
            else None,
        )
        for function in deployed.functions
    }
    indexes = {
        table.name: (
            *(index.fields for index in table.indexes),
            *((index.search_field, *index.filter_fields) for index in table.search_indexes),
            *((index.vector_field, *index.filter_fields) for index in table.vector_indexes),
        )
        for table in deployed.tables
    }
    return DeployedFacts(functions, indexes)
