"""How an answer is come by in more than one request: a design first, and rounds of repair.

Every request is a generation of its own in the store. Later turns follow the earlier ones as the
conversation that they were, under the same system text, so that the prompt cache serves it.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_convex_eval.generation.design import DESIGN_FORM
from pytest_convex_eval.generation.modes import Strategy
from pytest_convex_eval.generation.provider import Generation, Request, Turn
from pytest_convex_eval.text import well_formed

_DESIGN = f"""
# First, the design

Write no file yet. Design the backend that does what the task says: its public and internal \
functions with their arguments and return values, the schema with the indexes that the reads need, \
the work in the background, and for each function who may call it.

{DESIGN_FORM}"""

_CODE = """\
# Now, the project

Write the project of this design, as files in the form that you were told at the beginning. What \
counts is the task: where the design turns out to be wrong, write what is right.
"""

_FINDINGS_CHARACTERS = 20_000
"""As many as a person would read, and more; a type error can repeat itself a thousand times."""


def first_request(request: Request, strategy: Strategy) -> Request:
    """What is asked first to have `request` (as `build_request` makes it) answered."""
    if strategy == "direct":
        return request
    return replace(request, user=f"{request.user.rstrip()}\n{_DESIGN}")


def next_request(first: Generation, strategy: Strategy) -> Request | None:
    """What follows the first generation; None where that is the answer already.

    So it is with a design that the model refused to give or that was cut off: there is nothing to
    build on, and its stop reason says what the item's verdict has to say.
    """
    whole = first.stop.reason == "stop"
    if strategy == "direct" or not whole or not first.text.strip():
        return None
    return _follow(first.request, first.text, _CODE)


def repair_request(
    request: Request, generation: Generation, findings: str, round_number: int
) -> Request:
    """Asks for the answer `generation` to `request` again, without its `findings`.

    `findings` is what the tools print, as a person would read it; `round_number` counts from 1.
    """
    before = "" if round_number == 1 else " again"
    text = f"""\
# What the checks found

Your project was checked{before}. This is what is wrong with it:

<findings>
{_shortened(well_formed(findings)).strip()}
</findings>

Write the project again with all of this put right: every file, whole, in the form that you were \
told at the beginning, those that need no change too. Only what you write now counts.
"""
    return _follow(request, generation.text, text)


def _follow(request: Request, answer: str, user: str) -> Request:
    # The API takes no empty turn, and no half of a surrogate pair.
    said = well_formed(answer) if answer.strip() else "(no answer)"
    turns = (*request.history, Turn("user", request.user), Turn("assistant", said))
    return replace(request, history=turns, user=user)


def _shortened(text: str) -> str:
    if len(text) <= _FINDINGS_CHARACTERS:
        return text
    half = _FINDINGS_CHARACTERS // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} characters left out)\n{text[-half:]}"
