"""Typed reading of JSON that this program wrote itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What `json.loads` returns."""


class Fields:
    """The fields of a JSON object; every method raises ValueError and names the field."""

    def __init__(self, data: Json) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"an object is expected, not {type(data).__name__}")
        self._data = data

    def value(self, name: str) -> Json:
        try:
            return self._data[name]
        except KeyError:
            raise ValueError(f"{name} is missing") from None

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no string")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.value(name) is None else self.text(name)

    def number(self, name: str) -> float:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is no number")
        return value

    def optional_number(self, name: str) -> float | None:
        return None if self.value(name) is None else self.number(name)

    def integer(self, name: str) -> int:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} is no integer")
        return value

    def optional_integer(self, name: str) -> int | None:
        return None if self.value(name) is None else self.integer(name)

    def list(self, name: str) -> list[Json]:
        value = self.value(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return value

    def lines(self, name: str) -> str:
        """A text that stands as the list of its lines."""
        parts = []
        for line in self.list(name):
            if not isinstance(line, str):
                raise ValueError(f"{name} holds something that is no line")
            parts.append(line)
        return "\n".join(parts)

    def object(self, name: str) -> Mapping[str, Json]:
        value = self.value(name)
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no object")
        return value

    def optional_object(self, name: str) -> Mapping[str, Json] | None:
        return None if self.value(name) is None else self.object(name)


def lines(text: str) -> list[Json]:
    """The inverse of `Fields.lines`."""
    return list(text.split("\n"))
