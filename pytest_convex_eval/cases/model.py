"""A case file as data: the pydantic model behind the loader, the JSON schema and the collector."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.expectations.model import Expectations, LintPolicy, StrictModel
from pytest_convex_eval.outcomes import Difficulty, Files, StageName
from pytest_convex_eval.stages.table import STAGES, no_such_stage

STAGES_KEY = "stages"
"""The key under which the context of a validation holds the names of all stages, in order."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=80)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]

_FILE_MAP_SCHEMA = {
    "description": "Texts of files by path, or {from: folder} with a folder beside the case file",
    "type": "object",
    "additionalProperties": {"type": "string"},
}
FileMap = Annotated[dict[str, str], WithJsonSchema(_FILE_MAP_SCHEMA)]


class Replacement(StrictModel):
    """One edit of a mutant: `replace` must stand in the file exactly once."""

    replace: Annotated[str, Field(min_length=1)]
    with_: Annotated[str, Field(alias="with")]


class Mutant(StrictModel):
    """A known-bad variation of the reference, and where it must fail.

    It is caught when `fails` is its first failing stage and `code` (where given) is among that
    stage's errors.
    """

    name: Slug
    fails: Annotated[
        StageName,
        Field(description="The stage that it must fail at", examples=list(STAGES)),
    ]
    code: Annotated[str | None, Field(description="A finding's code, e.g. TS2322")] = None
    edit: Annotated[
        dict[str, tuple[Replacement, ...]], Field(description="Edits of the reference's files")
    ] = {}
    files: Annotated[
        dict[str, str | None],
        Field(description="Whole files that replace the reference's; null takes a file away"),
    ] = {}

    @field_validator("fails")
    @classmethod
    def _is_a_stage(cls, name: StageName, info: ValidationInfo) -> StageName:
        # The context of a validation names the stages, for plugins may add some.
        stages = STAGES if info.context is None else info.context[STAGES_KEY]
        if name not in stages:
            raise ValueError(no_such_stage(name, stages))
        return name

    @model_validator(mode="after")
    def _changes_something(self) -> Mutant:
        if not self.edit and not self.files:
            raise ValueError("a mutant needs 'edit' or 'files'")
        return self

    def applied_to(self, files: Files) -> Files:
        """The mutant's whole answer. Raises KeyError for an edit of a file that is not there."""
        answer = dict(files)
        for path, replacements in self.edit.items():
            text = answer[path]
            for replacement in replacements:
                text = text.replace(replacement.replace, replacement.with_)
            answer[path] = text
        for path, whole in self.files.items():
            if whole is None:
                answer.pop(path, None)
            else:
                answer[path] = whole
        return answer


class Case(StrictModel):
    """An eval case: what a model is asked, what is expected of its answer, and proof of both."""

    summary: Annotated[Text, Field(max_length=120, description="One line for people")]
    category: Annotated[
        Slug | None, Field(description="Only where the folders above the file do not say it")
    ] = None
    difficulty: Annotated[
        Difficulty | None, Field(description="Only where the folders above the file do not say it")
    ] = None
    tags: tuple[Slug, ...] = ()
    prompt: Annotated[Text, Field(description="What the model is asked")]
    files: Annotated[
        FileMap, Field(description="A starting project, given to the model, overlaid by its answer")
    ] = {}
    env: Annotated[
        dict[str, str],
        Field(description="Environment variables of the deployment, set before the push"),
    ] = {}
    expect: Expectations = Expectations()
    behaviour: Annotated[
        tuple[Block, ...],
        Field(description="What is called and what comes, each block from an empty deployment"),
    ] = ()
    lint: LintPolicy = LintPolicy()
    reference: Annotated[FileMap, Field(min_length=1, description="A known-good answer")]
    mutants: tuple[Mutant, ...] = ()
