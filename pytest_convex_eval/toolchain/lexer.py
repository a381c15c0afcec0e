"""Which characters of a TypeScript file are comment, string, template, regular expression or code.

Only so much of a tokenizer as tells a comment from something that looks like one. Whether a `/`
divides or begins a regular expression, a parser would know; here the token before it decides, with
the two places where that does not do (`)` and `}`) decided by what their opening bracket followed.
On a file that parses it is right but for constructs nobody writes (a division after a function
expression's body); on one that does not, it always ends and still covers every character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["code", "comment", "string", "template", "regex", "jsx-text", "fence"]
"""`fence` is a line that begins with three backticks or tildes: markdown left in the file. Nothing
else in a program looks so, except inside of comments, strings and JSX text, where it is none."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is of one kind; a literal's delimiters belong to it."""

    kind: Kind
    start: int
    end: int


def spans(text: str, *, jsx: bool = False) -> Iterator[Span]:
    """Spans that follow each other and cover `text`; `jsx` for `.tsx` and `.jsx` files."""
    lexer = _Lexer(text, jsx=jsx)
    pending: Span | None = None
    for span in lexer.run():
        if pending is not None and pending.kind == span.kind == "code":
            pending = Span("code", pending.start, span.end)
            continue
        if pending is not None:
            yield pending
        pending = span
    if pending is not None:
        yield pending


class _Frame(Enum):
    """What the lexer is inside of."""

    PAREN = auto()
    CONTROL = auto()  # the parentheses of `if (...)`: what follows them begins an expression
    BRACKET = auto()
    BLOCK = auto()
    OBJECT = auto()
    TEMPLATE = auto()
    SUBSTITUTION = auto()
    TAG = auto()
    CLOSING_TAG = auto()
    CHILDREN = auto()


_BRACES = (_Frame.BLOCK, _Frame.OBJECT, _Frame.SUBSTITUTION)

_EOL = "\n\r\u2028\u2029"
# Up to the start of the last line first, where a fence may begin.
_SPACE = re.compile(f"\\s*[{_EOL}]|\\s+")
_LINE_COMMENT = re.compile(f"(?://|\\A#!)[^{_EOL}]*")
_BLOCK_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
# Ends at the line's end when unterminated; U+2028 and U+2029 may stand in a string (ES2019).
_STRING = re.compile(
    r"""'(?:\\(?:\r\n|.)|[^'\\\n\r])*'?|"(?:\\(?:\r\n|.)|[^"\\\n\r])*"?""", re.DOTALL
)
_JSX_STRING = re.compile(r"'[^']*'?|\"[^\"]*\"?")
# What decides where a regular expression ends, and the flags behind it.
_REGEX_MARK = re.compile(f"[/\\[\\]\\\\{_EOL}]")
_REGEX_FLAGS = re.compile(r"\w*")
_WORD = re.compile(r"[#\w$\\\u0080-\U0010ffff]+")
_FENCE = re.compile(f"[ \\t]*(?:```|~~~)[^{_EOL}]*")
_JSX_TEXT = re.compile(r"[^<{]+")
_TEMPLATE_CHUNK = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*", re.DOTALL)
# In .tsx, `<T,>` and `<T extends U>` open type parameters, anything else that looks so a tag.
_TAG_START = re.compile(r"<(?=>|[A-Za-z_$][\w$.:-]*(?!\w)(?!\s*,)(?!\s+extends\b))")

_CONTROL_WORDS = frozenset({"if", "while", "for", "with"})
_BEFORE_EXPRESSION = frozenset(
    {"await", "case", "default", "delete", "do", "else", "extends", "in", "instanceof", "new"}
    | {"of", "return", "throw", "typeof", "void", "yield"}
)
_BEFORE_BLOCK = frozenset({"do", "else", "finally", "try", "=>", ")", ";", "{", "}", ""})


class _Lexer:
    def __init__(self, text: str, *, jsx: bool) -> None:
        self.text = text
        self.jsx = jsx
        self.at = 0
        self.frames: list[_Frame] = []
        # The last token; a word keeps its text, a literal is "0", a postfix operator changes
        # nothing.
        self.last = ""
        # Whether an operand has just ended, so that `/` divides and `<` compares.
        self.operand = False
        # For each place, in bits: no regular expression ends behind it on its line, 1 outside of a
        # character class, 2 inside of one.
        self.endless = bytearray(len(text))

    def run(self) -> Iterator[Span]:
        while self.at < len(self.text):
            start = self.at
            top = self.frames[-1] if self.frames else None
            if top is _Frame.TEMPLATE:
                kind = self._template()
            elif top is _Frame.CHILDREN:
                kind = self._children()
            elif top in (_Frame.TAG, _Frame.CLOSING_TAG):
                kind = self._tag()
            else:
                kind = self._code()
            if self.at > start:
                yield Span(kind, start, self.at)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.at)
        if match is None or match.end() == self.at:
            return None
        self.at = match.end()
        return match.group()

    def _take_regex(self) -> bool:
        """Goes past the regular expression that begins here, if one does.

        A slash that begins none costs a look at the rest of its line; what such looks come past is
        noted, so that a line of them is looked at twice at the most and not once a slash.
        """
        if not self.text.startswith("/", self.at):
            return False
        at, in_class = self.at + 1, False
        looked_at: list[tuple[int, int]] = []
        while mark := _REGEX_MARK.search(self.text, at):
            place, char, bit = mark.start(), mark.group(), 2 if in_class else 1
            if char in _EOL or self.endless[place] & bit:
                break
            if char == "/" and not in_class:
                # An empty one would be a comment.
                flags = _REGEX_FLAGS.match(self.text, place + 1)
                self.at = flags.end() if flags else place + 1
                return True
            looked_at.append((place, bit))
            at = place + 1
            if char == "\\":
                if self.text[at : at + 1] in _EOL:
                    break
                at += 1
            elif char != "/":
                in_class = char == "[" or (in_class and char != "]")
        for place, bit in looked_at:
            self.endless[place] |= bit
        return False

    def _code(self) -> Kind:
        fence = self._at_line_start() and self._take(_FENCE)
        if fence:
            self.operand = False
            return "fence"
        if self._take(_SPACE):
            return "code"
        if self._take(_LINE_COMMENT) or self._take(_BLOCK_COMMENT):
            return "comment"
        if self._take(_STRING):
            self._literal()
            return "string"
        if not self.operand and self._take_regex():
            self._literal()
            return "regex"
        word = self._take(_WORD)
        if word:
            self._word(word)
            return "code"
        if self.jsx and not self.operand and self._take(_TAG_START):
            self.frames.append(_Frame.TAG)
            return "code"
        return self._punctuation()

    def _at_line_start(self) -> bool:
        return self.at == 0 or self.text[self.at - 1] in _EOL

    def _literal(self) -> None:
        self.last = "0"
        self.operand = True

    def _word(self, word: str) -> None:
        if word == "await" and self.last == "for":
            return
        property_name = self.last == "."
        self.operand = property_name or word not in _BEFORE_EXPRESSION
        self.last = "0" if property_name else word

    def _punctuation(self) -> Kind:
        char = self.text[self.at]
        pair = self.text[self.at : self.at + 2]
        self.at += 1
        if char == "`":
            self.frames.append(_Frame.TEMPLATE)
            return "template"
        if pair in {"++", "--", "=>"}:
            self.at += 1
            if pair == "=>":
                self.last, self.operand = pair, False
            return "code"
        if char == "!" and self.operand and pair != "!=":
            return "code"
        if char in "({[":
            self._open(char)
        elif char in ")}]":
            self._close(char)
        else:
            self.operand = False
        self.last = char
        return "code"

    def _open(self, char: str) -> None:
        if char == "(":
            control = self.last in _CONTROL_WORDS
            self.frames.append(_Frame.CONTROL if control else _Frame.PAREN)
        elif char == "[":
            self.frames.append(_Frame.BRACKET)
        else:
            block = self.operand or self.last in _BEFORE_BLOCK
            self.frames.append(_Frame.BLOCK if block else _Frame.OBJECT)
        self.operand = False

    def _close(self, char: str) -> None:
        self.operand = True
        if char == "}":
            while self.frames and self.frames[-1] in (_Frame.PAREN, _Frame.CONTROL, _Frame.BRACKET):
                self.frames.pop()
            if self.frames and self.frames[-1] in _BRACES:
                self.operand = self.frames.pop() is not _Frame.BLOCK
        elif self.frames and self.frames[-1] not in _BRACES:
            self.operand = self.frames.pop() is not _Frame.CONTROL

    def _template(self) -> Kind:
        chunk = self._take(_TEMPLATE_CHUNK) or ""
        # A fence can't stand in a template, whose backticks are escaped: the template was never
        # one.
        line = max(chunk.rfind(end) for end in _EOL)
        if line >= 0 and not chunk[line + 1 :].strip() and self.text.startswith("```", self.at):
            self.at -= len(chunk) - line - 1
            self.frames.pop()
            self.operand = False
        elif self.text.startswith("`", self.at):
            self.at += 1
            self.frames.pop()
            self._literal()
        elif self.text.startswith("${", self.at):
            self.at += 2
            self.frames.append(_Frame.SUBSTITUTION)
            self.last, self.operand = "${", False
        else:
            # The end of the text, or a backslash before it.
            self.at = len(self.text)
        return "template"

    def _tag(self) -> Kind:
        if self._take(_SPACE) or self._take(_WORD):
            return "code"
        if self._take(_LINE_COMMENT) or self._take(_BLOCK_COMMENT):
            return "comment"
        if self._take(_JSX_STRING):
            return "string"
        closing = self.frames[-1] is _Frame.CLOSING_TAG
        if self.text.startswith("/>", self.at):
            self.at += 2
            self._leave_element(closing=closing)
        elif self.text.startswith(">", self.at):
            self.at += 1
            if closing:
                self._leave_element(closing=True)
            else:
                self.frames[-1] = _Frame.CHILDREN
        elif self.text.startswith("{", self.at):
            self._embed()
        else:
            self.at += 1
        return "code"

    def _leave_element(self, *, closing: bool) -> None:
        self.frames.pop()
        if closing and self.frames and self.frames[-1] is _Frame.CHILDREN:
            self.frames.pop()
        self._literal()

    def _embed(self) -> None:
        self.at += 1
        self.frames.append(_Frame.SUBSTITUTION)
        self.last, self.operand = "${", False

    def _children(self) -> Kind:
        if self.text.startswith("</", self.at):
            self.at += 2
            self.frames.append(_Frame.CLOSING_TAG)
            return "code"
        if self.text.startswith("<", self.at):
            self.at += 1
            self.frames.append(_Frame.TAG)
            return "code"
        if self.text.startswith("{", self.at):
            self._embed()
            return "code"
        self._take(_JSX_TEXT)
        return "jsx-text"
