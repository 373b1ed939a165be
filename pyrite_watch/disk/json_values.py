"""Values as YAML reads them, as JSON values.

Pure. Aliases make a tree of YAML a graph, that may be cyclic, or small here and endless when written out: so
there is one budget for a document, and a limit to its depth.
"""

from __future__ import annotations

import base64
from datetime import date
from math import isfinite
from typing import Any

MAX_DEPTH = 100
MAX_JSON_UNITS = 1 << 20
"""Characters, and UNITS_PER_VALUE a value, aliases written out; without aliases it is never reached.

262,144 characters + 10,000 values * 32 = 582,144; and 32,768 values are written in 30 ms.
"""
UNITS_PER_VALUE = 32


class UnwritableError(Exception):
    """A value that JSON cannot hold; `key` is the document's key that it is under, where that is known."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.key: str | None = None


class _JsonWriter:
    """Turns one document's values into JSON values, with one budget for all of them."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_JSON_UNITS

    def value(self, value: Any, depth: int, above: tuple[int, ...]) -> Any:
        kind = type(value)
        if kind is str:
            self.left -= len(value)
            if not value.isascii():
                _check_surrogates(value)
        elif kind is bool or value is None:
            pass
        elif kind is int:
            self.left -= value.bit_length() >> 2
        elif kind is float:
            if not isfinite(value):
                value = str(value)
        elif kind is dict or kind is list or kind is set or kind is tuple:
            value = self._collection(value, depth, above)
        elif isinstance(value, date):
            value = value.isoformat()
        elif kind is bytes:
            self.left -= 2 * len(value)
            value = base64.b64encode(value).decode()
        else:
            value = str(value)
        self.left -= UNITS_PER_VALUE
        if self.left < 0:
            raise UnwritableError("aliases ('*') grow too large")
        return value

    def _collection(self, value: Any, depth: int, above: tuple[int, ...]) -> Any:
        if id(value) in above:
            raise UnwritableError("an alias ('*') that contains itself")
        if depth >= MAX_DEPTH:
            raise UnwritableError(f"nested more than {MAX_DEPTH} levels deep")
        above = (*above, id(value))
        if isinstance(value, dict):
            return {self.key(key): self.value(item, depth + 1, above) for key, item in value.items()}
        items = sorted(value, key=str) if isinstance(value, set) else value
        return [self.value(item, depth + 1, above) for item in items]

    def key(self, key: Any) -> str:
        if type(key) is not str or not key.isascii():
            key = self.value(key, MAX_DEPTH, ())
        text = key if type(key) is str else scalar_text(key)
        self.left -= len(text)
        return text


def to_json(document: Any) -> Any:
    """Turn what YAML was read into into JSON values; raise `UnwritableError` where that cannot be."""
    writer = _JsonWriter()
    if not isinstance(document, dict):
        return writer.value(document, 0, ())
    values = {}
    above = (id(document),)
    for key, value in document.items():
        try:
            values[writer.key(key)] = writer.value(value, 1, above)
        except UnwritableError as error:
            error.key = str(key)
            raise
    return values


def _check_surrogates(text: str) -> None:
    # libyaml refuses "\ud800"; PyYAML's own scanner lets it through, and then no file or socket takes it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnwritableError("half of a surrogate pair") from error


def scalar_text(value: Any) -> str:
    """A JSON scalar as a person would write it in YAML: `true`, `null`, `7`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
