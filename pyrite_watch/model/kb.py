"""A knowledge base (KB): a named folder of Markdown files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType

KbName = NewType("KbName", str)


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """One KB as it was named on the command line or in the config.

    `root` is absolute but not resolved: a root that is a symlink may be retargeted, and the next
    pass shall see that. `subdirectories` maps an entry type to its folder (kb.yaml, unchecked:
    whoever writes there must still refuse what leads outside). `problem` is the sentence about a
    kb.yaml that cannot be read; such a KB is watched all the same. What the config says of a KB
    (`config_…`, None for nothing) goes before what its kb.yaml says.
    """

    name: KbName
    root: Path
    description: str = ""
    kb_type: str = "generic"
    read_only: bool = False
    source: Literal["path", "config"] = "path"
    config_description: str | None = None
    config_type: str | None = None
    subdirectories: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    problem_line: int | None = None
