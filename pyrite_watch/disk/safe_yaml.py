"""YAML from strangers: what PyYAML understands, as JSON values, whatever the text does to PyYAML.

Pure: text in, values or a `YamlFault` out. It must not change what python-frontmatter would read, so it uses
that library's handler and PyYAML's C loader. Around them it bounds what PyYAML 6.0.3 does not:

- libyaml's composer recurses in C, so 100,000 `[` end the process: the depth is known before composing;
- merge keys (`<<: [*a, *a]`) double with each step, and aliases double when they are written out as JSON;
- `1:1:1:…` is a number in base 60, at a quadratic price;
- a date such as 2024-13-45 raises a bare ValueError, `!!bool x` a KeyError, neither with a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from frontmatter.default_handlers import YAMLHandler
from yaml.constructor import ConstructorError

from pyrite_watch.disk.json_values import MAX_DEPTH, UnwritableError, to_json

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml: the same values, ten times slower
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

MAX_NODES = 10_000
"""The dearest of them (dates) take PyYAML 50 ms; the largest honest front matter seen has a few hundred."""
MAX_MERGED = 10_000
MAX_NUMBER_CHARS = 1_000
"""In any base that YAML knows this stays below the 4,300 digits that Python will write."""
MAX_DIRECTIVES = 8
MAX_MESSAGE_CHARS = 200

_MERGE = "tag:yaml.org,2002:merge"
_VALUE = "tag:yaml.org,2002:value"
_STR = "tag:yaml.org,2002:str"

# Depth without parsing. Flow collections need an opener each. Block collections stack on strictly rising
# columns, and each begins at the first token of a line or after `-`, `?` or `:` that begin that line; a
# list may share its key's column. So the depth is at most 2 * 24 + 2 * 24 where neither is exceeded.
_FEW_OPENERS = 24
_DEEP_PREFIX = re.compile(r"(?:\A|[\n\r\x85\u2028\u2029])[ \t\-?:\ufeff]{24}")
# Each node needs one of these before it, or is the empty value of one that does.
_SEPARATORS = ",[{:?-\n\r\x85\u2028\u2029"
_SMALL_CHARS = 4096
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
# What libyaml does not accept; its own error has a byte offset that is off for non-ASCII text.
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_HANDLER = YAMLHandler()


@dataclass(frozen=True, slots=True)
class YamlFault:
    """Why a text is no usable YAML; `index` is where in the text, None where that is not known."""

    message: str
    index: int | None = None


class _Guards:
    """The bounds, for a mixin before either of PyYAML's safe loaders."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve merge keys in the order PyYAML does, but never more than MAX_MERGED pairs a document."""
        pairs = node.value
        for key, _ in pairs:
            if key.tag == _MERGE or key.tag == _VALUE:
                break
        else:
            return
        merged: list[Any] = []
        kept: list[Any] = []
        # As PyYAML: the node has lost its merge keys before another mapping that merges it looks.
        node.value = kept
        for key, value in pairs:
            if key.tag == _MERGE:
                self._merge(value, merged)
            else:
                if key.tag == _VALUE:
                    key.tag = _STR
                kept.append((key, value))
        node.value = merged + kept

    def _merge(self, value: Any, merged: list[Any]) -> None:
        if isinstance(value, yaml.MappingNode):
            sources = [value]
        elif isinstance(value, yaml.SequenceNode):
            sources = value.value
        else:
            raise ConstructorError(None, None, "'<<' wants a mapping or a list of mappings", value.start_mark)
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise ConstructorError(None, None, "'<<' wants mappings in its list", source.start_mark)
            self._spend(source, value)
            self.flatten_mapping(source)
        for source in reversed(sources):
            self._spend(source, value)
            merged.extend(source.value)

    def _spend(self, source: yaml.MappingNode, where: Any) -> None:
        # `+ 1`: to look at an empty mapping a million times is not free either.
        self._merged += len(source.value) + 1
        if self._merged > 2 * MAX_MERGED:
            raise ConstructorError(None, None, "merge keys ('<<') grow too large", where.start_mark)


class GuardedLoader(_Guards, _BaseLoader):
    """PyYAML's safe loader within the bounds."""


class PureGuardedLoader(_Guards, yaml.SafeLoader):
    """The same without libyaml."""


_Constructor = Callable[[Any, Any], Any]


def _guarded(construct: _Constructor, kind: str, max_chars: int | None = None) -> _Constructor:
    """Give what `construct` raises a line, and keep long numbers from it."""

    def constructor(loader: Any, node: yaml.ScalarNode) -> Any:
        if max_chars is not None and len(node.value) > max_chars:
            raise ConstructorError(None, None, f"a number of {len(node.value)} characters", node.start_mark)
        try:
            return construct(loader, node)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            text = f"'{_cut(str(node.value), 40)}' is not {kind}"
            raise ConstructorError(None, None, text, node.start_mark) from error

    return constructor


for _loader in (GuardedLoader, PureGuardedLoader):
    for _tag, _name, _kind, _chars in (
        ("int", "construct_yaml_int", "a number", MAX_NUMBER_CHARS),
        ("float", "construct_yaml_float", "a number", MAX_NUMBER_CHARS),
        ("bool", "construct_yaml_bool", "true or false", None),
        ("timestamp", "construct_yaml_timestamp", "a date", None),
        ("binary", "construct_yaml_binary", "base64", None),
    ):
        _loader.add_constructor(
            f"tag:yaml.org,2002:{_tag}", _guarded(getattr(yaml.SafeLoader, _name), _kind, _chars)
        )


def parse_yaml(text: str, loader: type[Any] = GuardedLoader) -> Any:
    """Parse one YAML document into JSON values, or return a `YamlFault`. Never raises for any `text`.

    Dates become ISO 8601 strings, bytes base64, sets lists, nan and inf strings, keys strings.
    """
    try:
        _check_shape(text, loader)
        return to_json(_HANDLER.load(text, Loader=loader))
    except UnwritableError as error:
        return YamlFault(error.message, None if error.key is None else index_of_key(text, error.key))
    except yaml.MarkedYAMLError as error:
        return _explain(error, text)
    except yaml.YAMLError:
        bad = _CONTROL.search(text)
        what = f"the control character U+{ord(bad[0]):04X}" if bad else "a character"
        return YamlFault(f"{what} is not allowed in YAML", bad.start() if bad else None)
    except RecursionError:
        # A chain of merges that is used before its links are.
        return YamlFault("nested too deep")
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        # What PyYAML raises bare; the constructors above catch all that is known of it.
        return YamlFault(
            _cut(f"not readable: {error}".encode("utf-8", "replace").decode(), MAX_MESSAGE_CHARS)
        )


def _check_shape(text: str, loader: type[Any]) -> None:
    """Raise where composing would go deep or take long; costs a few µs for ordinary front matter."""
    large = len(text) > _SMALL_CHARS
    if large and text.count("%") > MAX_DIRECTIVES:
        # libyaml compares each %TAG with all before it: 17,000 of them take 0.4 s.
        for number, match in enumerate(_DIRECTIVE.finditer(text)):
            if number == MAX_DIRECTIVES:
                mark = yaml.Mark("", match.start(), 0, 0, None, 0)
                raise ConstructorError(None, None, "too many directives ('%')", mark)
    if (
        text.count("[") + text.count("{") < _FEW_OPENERS
        and not _DEEP_PREFIX.search(text)
        and not (large and sum(map(text.count, _SEPARATORS)) > MAX_NODES // 3)
    ):
        return
    depth = nodes = 0
    for event in yaml.parse(text, Loader=loader):
        mark_here: Any = event.start_mark
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConstructorError(None, None, f"nested more than {MAX_DEPTH} levels deep", mark_here)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        nodes += 1
        if nodes > MAX_NODES:
            raise ConstructorError(None, None, f"more than {MAX_NODES:,} values", mark_here)


def index_of_key(text: str, key: str) -> int | None:
    """Where in `text` a line begins with `key:`; None where the key is written in another way."""
    match = re.search(rf"^(['\"]?){re.escape(key[:MAX_MESSAGE_CHARS])}\1[ \t]*:", text, re.MULTILINE)
    return match.start() if match else None


# ---- faults in words --------------------------------------------------------------------------------------

_WORDS: Mapping[str, str] = {
    "mapping values are not allowed in this context": "a second ':' in one line: put the value in quotes",
    "mapping values are not allowed here": "a second ':' in one line: put the value in quotes",
    "could not find expected ':'": "expected ':'",
    "did not find expected key": "expected a key: text after a closing quote, or wrong indentation?",
    "did not find expected node content": "expected a value",
    "did not find expected '-' indicator": "expected '-': a list may not become a mapping",
    "did not find expected <document start>": "expected '---' after the directives",
    "found a tab character that violates indentation": "a tab may not indent: use spaces",
    "found undefined alias": "no such alias: put a value that begins with '*' in quotes",
    "found unhashable key": "a key may not be a list or a mapping",
    "found another document": "a second document begins with '---'",
    "but found another document": "a second document begins with '---'",
}
_BEGINS_THERE = {"could not find expected ':'", "found unexpected end of stream"}


def _explain(error: yaml.MarkedYAMLError, text: str) -> YamlFault:
    problem = error.problem or error.context or "not readable"
    context = error.context_mark
    mark = error.problem_mark or context
    if problem in _BEGINS_THERE and context is not None:
        # libyaml notices where the text that began there did not end; the person's slip is where it began.
        mark = context
    index = None if mark is None else min(mark.index, len(text))

    if problem == "found unexpected end of stream":
        message = "a quote that is never closed"
    elif problem.startswith("found character") and "cannot start any token" in problem and index is not None:
        char = text[index : index + 1]
        message = (
            "a tab may not indent: use spaces" if char == "\t" else f"a value may not begin with '{char}'"
        )
        message += "" if char == "\t" else ": put it in quotes"
    elif problem.startswith("did not find expected ',' or") and context is not None:
        message = "expected " + problem.removeprefix("did not find expected ")
        if index is not None and "\n" in text[context.index : index]:
            message += ": what was opened above is not closed"
    elif problem.startswith("could not determine a constructor for the tag"):
        message = "unknown tag" + problem.removeprefix("could not determine a constructor for the tag")
    else:
        message = _WORDS.get(problem, problem)
    return YamlFault(_cut(message, MAX_MESSAGE_CHARS), index)


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
