"""Where rendering gives up: nested too deeply, or too slow. The text is then shown as it is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from pyrite_watch.server.render.blocks import TAG

MAX_NESTING = 60
"""Levels of quotes and lists (a list is two). Beyond `maxNesting` markdown-it loses text, so this is less."""

MAX_OPEN_TAGS = 60
"""Of somebody's own HTML. Parsers are quadratic in how deep it is: 20,000 levels take 0.7 s."""

RENDER_S = 2.0

_VOID = frozenset({"br", "hr", "img", "wbr", "input", "col"})


class TooHardError(Exception):
    """This text is not to be rendered. `why` says it to a reader."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Budget:
    """The time that one rendering has, of its own thread: others may have the processor meanwhile."""

    def __init__(self, seconds: float = RENDER_S) -> None:
        self._end_s = time.thread_time() + seconds
        self._asked = 0

    def check(self, steps: int = 1) -> None:
        """Raise `TooHardError` where it is used up; the clock is looked at every 64 steps."""
        self._asked += steps
        if self._asked >= 64 and time.thread_time() > self._end_s:
            raise TooHardError("rendering it would take too long")
        self._asked %= 64


def add_limits(md: MarkdownIt) -> None:
    """Ask before each block and each piece of text; `env["budget"]` has the budget."""
    md.options["maxNesting"] = MAX_NESTING + 20
    md.block.ruler.before("table", "limits", _check_block, {"alt": []})
    md.inline.ruler.before("text", "limits", _check_inline)


def _check_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.level >= MAX_NESTING:
        raise TooHardError("it is nested too deeply")
    budget: Budget = state.env["budget"]
    budget.check()
    return False


def _check_inline(state: StateInline, silent: bool) -> bool:
    budget: Budget = state.env["budget"]
    budget.check()
    return False


def check_tags(pieces: Iterable[str]) -> None:
    """Raise `TooHardError` where more tags are open at once than a parser takes lightly."""
    opened: Counter[str] = Counter()
    total = 0
    for piece in pieces:
        for close, written in TAG.findall(piece):
            name = written.lower()
            if name in _VOID:
                continue
            if not close:
                opened[name] += 1
                total += 1
            elif opened[name]:
                opened[name] -= 1
                total -= 1
            if total > MAX_OPEN_TAGS:
                raise TooHardError("its HTML is nested too deeply")
