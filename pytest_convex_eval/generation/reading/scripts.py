"""Where in a script a line stands: in code, or inside a comment or a template literal.

A line of three backticks ends a block of code in markdown, wherever it stands; in a comment or a
template literal of the script inside the block, it need not have been meant so. This reads tokens
of ECMAScript 2025 (section 12) as far as they decide that, line by line.
"""

from __future__ import annotations

import re

LANGUAGES = frozenset({"ts", "tsx", "typescript", "js", "jsx", "javascript", "mts", "cts", "mjs"})
"""The info strings of blocks that hold scripts."""

SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")

_CODE = re.compile(r"""//|/\*|/|"(?:\\.|[^"\\])*+"?|'(?:\\.|[^'\\])*+'?|[`{}]""")
_TEMPLATE = re.compile(r"\\.|`|\$\{")
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*+\]|[^/\\\[])++/")
# A slash behind one of these, or at the beginning, begins a regular expression; else it divides.
_BEFORE_REGEX = re.compile(
    r"(?:^|[(,=:\[!&|?{;+*%~^<>-]|\b(?:return|typeof|case|in|of|delete|void|throw|await|yield))\s*$"
)
_WORDS_BEFORE = 20
"""As many characters before a slash tell what it is."""


class ScriptState:
    """Takes a script's lines one after another."""

    def __init__(self) -> None:
        self._comment = False
        # One entry for each template literal around: how many braces of its expression are open,
        # None for its text.
        self._templates: list[int | None] = []
        self._last = ""

    @property
    def in_text(self) -> bool:
        """Whether the next line begins in a comment, or in the text of a template literal."""
        return self._comment or (bool(self._templates) and self._templates[-1] is None)

    @property
    def in_code(self) -> bool:
        """Whether the next line begins outside of all comments and template literals."""
        return not self._comment and not self._templates

    def feed(self, line: str) -> None:
        """Takes a line of code with its end, or without."""
        line = line.rstrip("\r\n")
        at = 0
        while at < len(line):
            if self._comment:
                at = self._in_comment(line, at)
            elif self._templates and self._templates[-1] is None:
                at = self._in_template(line, at)
            else:
                at = self._in_code(line, at)
        code = line.rstrip()
        if code:
            self._last = code[-_WORDS_BEFORE:]

    def _in_comment(self, line: str, at: int) -> int:
        end = line.find("*/", at)
        self._comment = end < 0
        return len(line) if end < 0 else end + 2

    def _in_template(self, line: str, at: int) -> int:
        token = _TEMPLATE.search(line, at)
        if token is None:
            return len(line)
        if token[0] == "`":
            self._templates.pop()
        elif token[0] == "${":
            self._templates[-1] = 0
        return token.end()

    def _in_code(self, line: str, at: int) -> int:
        token = _CODE.search(line, at)
        if token is None or token[0] == "//":
            return len(line)
        match token[0]:
            case "/*":
                self._comment = True
            case "`":
                self._templates.append(None)
            case "{" | "}" if self._templates:
                self._brace(1 if token[0] == "{" else -1)
            case "/":
                before = line[max(0, token.start() - _WORDS_BEFORE) : token.start()]
                if _BEFORE_REGEX.search(before if before.strip() else self._last):
                    regex = _REGEX.match(line, token.start())
                    # Without an end it is no code; and no line is searched for one twice.
                    return regex.end() if regex else len(line)
            case _:
                pass
        return token.end()

    def _brace(self, change: int) -> None:
        """A brace in an expression of a template literal, whose own last one brings its text."""
        opened = self._templates[-1]
        assert opened is not None
        self._templates[-1] = None if opened + change < 0 else opened + change
