"""From what was typed, or else from Pyrite's config, to the knowledge bases (KBs) to watch.

Looks at folders, once, at the start; a root that comes and goes later is the watcher's matter, and so is a
kb.yaml that changes.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pyrite_watch.errors import (
    ConfigError,
    DuplicateKbError,
    DuplicateRootError,
    NoKnowledgeBaseError,
    RootMissingError,
    UsageError,
)
from pyrite_watch.kb_files import ConfigKb, KbYaml, find_config, has_kb_yaml, read_config, read_kb_yaml
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.system import expand_home

MAX_NAME_BYTES = 200


def resolve_kbs(paths: Sequence[str], environ: Mapping[str, str]) -> tuple[KnowledgeBase, ...]:
    """Find the KBs that `paths` name, or those of Pyrite's config where there are no paths.

    The order is that of the paths (in a folder of KBs: by name), as "the first KB that has it" is an
    answer that users see. A root of the config that is missing stays in, as it may be mounted later.

    Raises:
        NoKnowledgeBaseError: No path, and no config that names one.
        ConfigError: The config cannot be used.
        RootMissingError: A path is not a folder that can be listed, or no root of the config is one.
        DuplicateKbError: Two KBs have one name.
        DuplicateRootError: One folder was named twice, perhaps through a link.
        UsageError: A name that no URL could hold, or one name for a folder of several KBs.
    """
    if paths:
        named = [item for path in paths for item in _resolve_path(path, environ)]
    else:
        named = _resolve_config(environ)
    _check_unique(named)
    return tuple(kb for _, kb in named)


# What was typed, for messages, and the KB that it became.
_Named = tuple[str, KnowledgeBase]


def _resolve_path(typed: str, environ: Mapping[str, str]) -> list[_Named]:
    name, path = _split_name(typed, environ)
    root = _absolute(expand_home(path, environ))
    if not os.path.isdir(root):
        raise RootMissingError(root, "is not a folder" if os.path.lexists(root) else "does not exist")
    # Listed also where it is a KB itself: a folder that cannot be listed cannot be watched.
    try:
        children = sorted(os.listdir(root))
    except OSError as error:
        raise RootMissingError(root, f"cannot be listed ({error.strerror})") from error
    roots = [root]
    if not has_kb_yaml(root):
        # Hidden folders hold what tools put aside (.trash, .stversions), not what a user means.
        inner = [root / child for child in children if not child.startswith(".")]
        roots = [folder for folder in inner if folder.is_dir() and has_kb_yaml(folder)] or roots
    if name is not None and len(roots) > 1:
        raise UsageError(
            f"'{name}' cannot name {root}: it holds {len(roots)} knowledge bases.",
            f"Name one of them: {name}={roots[0]}",
        )
    return [(typed if one == root else str(one), _kb_of_path(name, one)) for one in roots]


def _split_name(typed: str, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Split NAME=PATH, unless a folder of that very name exists."""
    name, equals, path = typed.partition("=")
    # ./a=b is a path that is missing rather than a name, as no name has a slash.
    if not equals or "/" in name or os.sep in name or os.path.lexists(expand_home(typed, environ)):
        name, path = "", typed
    elif not name:
        raise UsageError(f"'{typed}' gives no name before the '='.", "Type NAME=PATH, or only PATH.")
    if not path:
        raise UsageError(f"'{typed}' gives no path.", "Type the path of a folder; '.' is this one.")
    return name or None, path


def _kb_of_path(name: str | None, root: Path) -> KnowledgeBase:
    if problem := _name_problem(name if name is not None else _folder_name(root)):
        whose = f"The name '{_printable(name)}'" if name else f"The name of the folder {_printable(root)}"
        raise UsageError(
            f"{whose} cannot name a knowledge base: it {problem}.",
            f"Give it another name: NAME={_printable(root)}",
        )
    kb = KnowledgeBase(name=KbName(name if name is not None else _folder_name(root)), root=root)
    return described(kb, read_kb_yaml(root))


def described(kb: KnowledgeBase, about: KbYaml) -> KnowledgeBase:
    """Give the same KB with what its kb.yaml says."""
    return replace(
        kb,
        description=about.description if kb.config_description is None else kb.config_description,
        kb_type=kb.config_type or about.kb_type or "generic",
        subdirectories=about.subdirectories,
        problem=about.problem,
        problem_line=about.problem_line,
    )


def _resolve_config(environ: Mapping[str, str]) -> list[_Named]:
    config = find_config(environ)
    found = [_kb_of_config(item, config, environ) for item in read_config(config)]
    if not found:
        raise NoKnowledgeBaseError(config)
    if not any(kb.root.is_dir() for _, kb in found):
        first = found[0][1].root
        raise RootMissingError(first, "is not a folder" if os.path.lexists(first) else "does not exist")
    return found


def _kb_of_config(item: ConfigKb, config: Path, environ: Mapping[str, str]) -> _Named:
    root = _absolute(os.path.join(config.parent, expand_home(item.path, environ)))
    name = item.name if item.name is not None else _folder_name(root)
    if problem := _name_problem(name):
        raise ConfigError(
            config, f"'{_printable(name)}' cannot name a knowledge base: it {problem}", item.line
        )
    kb = KnowledgeBase(
        name=KbName(name),
        root=root,
        read_only=item.read_only,
        source="config",
        config_description=item.description,
        config_type=item.kb_type,
    )
    return item.path, described(kb, read_kb_yaml(root) if root.is_dir() else KbYaml())


def _absolute(path: str) -> Path:
    """Make a path absolute without resolving the links in it, save those before a `..`.

    `link/..` is the parent of what the link leads to, as for every other program; removing the pair
    from the text, as os.path.abspath does, would watch another folder than the one that was typed.
    """
    try:
        here = "" if os.path.isabs(path) else os.getcwd()
    except OSError as error:
        raise UsageError(
            f"'{_printable(path)}' means nothing: the folder that this shell is in is gone.", "Type cd first."
        ) from error
    parts = Path(os.path.join(here, path)).parts
    if ".." in parts:
        behind = len(parts) - parts[::-1].index("..")
        parts = (os.path.realpath(os.path.join(*parts[:behind])), *parts[behind:])
    return Path(*parts)


def _folder_name(root: Path) -> str:
    # NFC, as macOS may give the decomposed form, which nobody types into a URL.
    return unicodedata.normalize("NFC", root.name)


def _name_problem(name: str) -> str | None:
    """Say why a name cannot stand in a URL and in JSON; None where it can."""
    if not name.strip():
        return "is empty"
    if "/" in name or name in (".", ".."):
        return "would be a path in a URL"
    categories = {unicodedata.category(character) for character in name}
    if "Cs" in categories:
        return "is not valid UTF-8"
    if categories & {"Cc", "Zl", "Zp"}:
        return "contains control characters"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def _printable(text: object) -> str:
    """Make a text safe to print: no control characters for the terminal, no lone surrogates."""
    characters = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(characters)


def _check_unique(named: Sequence[_Named]) -> None:
    names: dict[str, Path] = {}
    seen: dict[object, str] = {}
    for typed, kb in named:
        for key in _identities(kb.root):
            if key in seen:
                raise DuplicateRootError(seen[key], typed, Path(os.path.realpath(kb.root)))
        seen.update(dict.fromkeys(_identities(kb.root), typed))
    for _, kb in named:
        if kb.name in names:
            raise DuplicateKbError(kb.name, names[kb.name], kb.root)
        names[kb.name] = kb.root


def _identities(root: Path) -> list[object]:
    """Give what makes a folder itself: its real path, and its inode for bind mounts and other case."""
    found: list[object] = [os.path.realpath(root)]
    try:
        status = os.stat(root)
    except OSError:
        return found
    if status.st_ino:  # 0 where the file system has none
        found.append((status.st_dev, status.st_ino))
    return found
