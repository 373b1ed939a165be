"""Read kb.yaml and config.yaml, the two files that say what a knowledge base (KB) is.

Both come from strangers (a KB is often a clone), so nothing here constructs Python objects from
YAML: the node tree is walked by hand, which also tells the line of everything, and makes cyclic
aliases and merge bombs harmless (merge keys, `<<`, are not followed).
A broken kb.yaml is data: a sentence and a line. A broken config.yaml is an error, as the user
would otherwise be served fewer KBs than they wrote down.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pyrite_watch.errors import ConfigError
from pyrite_watch.system import expand_home

KB_FILE = "kb.yaml"
CONFIG_FILE = "config.yaml"
RACY_S = 0.01
MAX_YAML_BYTES = 256 * 2**10
# kb.yaml needs 3 levels, config.yaml 3. libyaml's composer recurses in C and takes the process with
# it at about 100,000 (PyYAML 6.0.3), and its scanner is quadratic in the depth of brackets.
MAX_YAML_DEPTH = 64

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class KbYaml:
    """What a kb.yaml says; what it does not say is empty, or None for the kind of KB.

    `name` only informs. `problem` tells the first thing that is wrong; the rest is read all the same.
    `is_unread` where the system did not give it: it may in a moment, without another state of the file.
    """

    name: str = ""
    description: str = ""
    kb_type: str | None = None
    subdirectories: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    problem_line: int | None = None
    is_unread: bool = False


@dataclass(frozen=True, slots=True)
class ConfigKb:
    """One item of the config's `knowledge_bases`; `line` counts from 1, None where it says nothing."""

    name: str | None
    path: str
    description: str | None
    kb_type: str | None
    read_only: bool
    line: int


class _BadYamlError(Exception):
    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


class _UnreadYamlError(_BadYamlError):
    pass


def has_kb_yaml(folder: str | Path) -> bool:
    """Tell whether a folder is a KB by its kb.yaml, readable or not (a broken link counts)."""
    path = os.path.join(folder, KB_FILE)
    return os.path.lexists(path) and not os.path.isdir(path)


def kb_yaml_state(root: str | Path) -> object:
    """Give what tells one kb.yaml from the next without reading it; None where only reading tells.

    That is so within 10 ms of its last change: another may follow that the file system's clock does not
    tell apart.
    """
    try:
        status = os.stat(os.path.join(root, KB_FILE))
    except OSError as error:
        return error.errno
    if abs(time.time() - status.st_mtime) < RACY_S:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def read_kb_yaml(root: str | Path) -> KbYaml:
    """Read the kb.yaml of a root; a missing one is an empty one, and nothing is raised."""
    try:
        node = _read_yaml(os.path.join(root, KB_FILE))
    except _BadYamlError as error:
        problem = f"{KB_FILE} cannot be used: {error.problem}."
        return KbYaml(problem=problem, problem_line=error.line, is_unread=isinstance(error, _UnreadYamlError))
    walk = _Walk()
    top = walk.mapping(node, "the file")
    subdirectories = {}
    for entry_type, spec in walk.mapping(top.get("types"), "types").items():
        folder = walk.text(walk.mapping(spec, f"types.{entry_type}"), "subdirectory")
        if folder:
            subdirectories[entry_type] = folder
    name, description, kb_type = (walk.text(top, key) for key in ("name", "description", "kb_type"))
    bad = walk.problem
    return KbYaml(
        name=name or "",
        description=description or "",
        kb_type=kb_type or None,
        subdirectories=subdirectories,
        problem=f"{KB_FILE} cannot be used in full: {bad.problem}." if bad else None,
        problem_line=bad.line if bad else None,
    )


def find_config(environ: Mapping[str, str]) -> Path:
    """Name Pyrite's own config file; it need not exist."""
    folder = environ.get("PYRITE_DATA_DIR") or environ.get("PYRITE_CONFIG_DIR") or "~/.pyrite"
    return Path(os.path.abspath(expand_home(folder, environ))) / CONFIG_FILE


def read_config(path: Path) -> list[ConfigKb]:
    """Read the KBs that a config.yaml names, in its order; a missing file names none.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or has another shape than it should.
    """
    walk = _Walk()
    found = []
    try:
        top = walk.mapping(_read_yaml(path), "the file")
        for item in walk.sequence(top.get("knowledge_bases"), "knowledge_bases"):
            fields = walk.mapping(item, "this knowledge base")
            root = walk.text(fields, "path")
            if not root or "\0" in root:
                walk.note("this knowledge base has no path", item)
            found.append(
                ConfigKb(
                    name=walk.text(fields, "name"),
                    path=root or "",
                    description=walk.text(fields, "description"),
                    kb_type=walk.text(fields, "kb_type") or None,
                    read_only=walk.flag(fields, "read_only"),
                    line=_line(item),
                )
            )
        if walk.problem:
            raise walk.problem
    except _BadYamlError as error:
        raise ConfigError(path, error.problem, error.line) from error
    return found


def _read_yaml(path: str | Path) -> yaml.Node | None:
    """Read one YAML document as nodes; None for a file that is missing or says nothing."""
    try:
        data = _read_bytes(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise _BadYamlError("it is a link to a file that is not there") from error
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        raise _UnreadYamlError(f"it cannot be read ({error.strerror})") from error
    try:
        _check_depth(data)
        node: yaml.Node | None = yaml.compose(data, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise _BadYamlError(f"it is not YAML ({error.problem})", line) from error
    except yaml.YAMLError as error:
        # A ReaderError (bad bytes, control characters) has an offset in bytes instead of a mark.
        position = getattr(error, "position", None)
        line = data.count(b"\n", 0, position) + 1 if isinstance(position, int) else None
        reason = getattr(error, "reason", None) or "unknown error"
        raise _BadYamlError(f"it is not YAML ({reason})", line) from error
    return node


def _read_bytes(path: str | Path) -> bytes:
    # O_NONBLOCK: a FIFO of this name must not hold up the start. Links are followed: dotfile managers
    # link configs.
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    fd = os.open(path, flags)
    try:
        # Before `open` takes it, which raises for a folder and leaves it open.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _BadYamlError("it is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(MAX_YAML_BYTES + 1)
    finally:
        os.close(fd)
    if len(data) > MAX_YAML_BYTES:
        raise _BadYamlError(f"it is larger than {MAX_YAML_BYTES // 2**10} KiB")
    return data


def _check_depth(data: bytes) -> None:
    """Refuse what would overrun the composer's C stack; events come one by one, so this stops early."""
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_YAML_DEPTH:
                raise _BadYamlError(f"it is nested deeper than {MAX_YAML_DEPTH} levels", _line(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _line(place: yaml.Node | yaml.Event) -> int:
    return place.start_mark.line + 1 if place.start_mark else 1


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


class _Walk:
    """Takes values out of nodes; a wrong shape gives an empty value, and the first one is noted."""

    def __init__(self) -> None:
        self.problem: _BadYamlError | None = None

    def note(self, problem: str, node: yaml.Node) -> None:
        self.problem = self.problem or _BadYamlError(problem, _line(node))

    def mapping(self, node: yaml.Node | None, what: str) -> dict[str, yaml.Node]:
        if node is None or _is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.note(f"{what} is not a mapping (key: value)", node)
            return {}
        return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}

    def sequence(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        if node is None or _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.note(f"{what} is not a list (- item)", node)
            return []
        return list(node.value)

    def text(self, fields: Mapping[str, yaml.Node], key: str) -> str | None:
        """Give a scalar as it is written, so that the name 2024 or 1.10 is what it looks like."""
        node = fields.get(key)
        if node is None or _is_null(node):
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.note(f"{key} is not a text", node)
            return None
        return str(node.value).strip()

    def flag(self, fields: Mapping[str, yaml.Node], key: str) -> bool:
        node = fields.get(key)
        if node is None or _is_null(node):
            return False
        if node.tag != "tag:yaml.org,2002:bool":
            self.note(f"{key} is neither true nor false", node)
            return False
        return bool(yaml.SafeLoader.bool_values.get(str(node.value).lower(), False))
