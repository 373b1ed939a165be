"""Which paths are no entries, and by which rule.

An `IgnoreRules` answers for one KB during one pass: what it read of ignore files stays as it was read. It
decides by the path's spelling alone; what kind of file is there, and where a link leads, the scan finds out.

The built-in rules come first, and no pattern re-includes what they skip. Then `.pyriteignore` decides, in
either direction; where it is silent, the `.gitignore` files do, if asked, the deepest first. As in Git, what
lies below an excluded folder stays excluded, whatever a pattern says of it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from pyrite_watch.disk.read import file_state
from pyrite_watch.model.entry import Problem
from pyrite_watch.system import is_open_for_writing

IGNORE_FILE = ".pyriteignore"
GITIGNORE_FILE = ".gitignore"
MAX_IGNORE_BYTES = 1 << 20
_ATTEMPTS = 3

_HIDDEN = "hidden"
_TEMPORARY = "temporary file of an editor or sync tool"
# vim's probe whether a folder takes files; JetBrains, Kate, Office, Syncthing, backups of emacs and vim.
_TEMPORARY_NAME = re.compile(
    r"[0-9]+|#.*#|.*~|~\$.*|~syncthing~.*|.*\.(?:tmp|temp|swp|swo|swx|bak|part|crdownload)"
    r"|.*___jb_(?:tmp|old|bak)___|.*\.md\.tmp\..*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line of an ignore file."""

    regex: re.Pattern[str]
    negated: bool
    folders_only: bool
    line: int
    text: str


class _PatternFile:
    """The patterns of one ignore file; paths are relative to its folder.

    A pattern is asked about a path itself, never about what lies below it: only so does the last pattern that
    names a path decide, as in Git. (`*.md` then `!keep/` hides keep/a.md; a spec asked once for the whole
    path would show it.)
    """

    def __init__(self, name: str, patterns: list[_Pattern]) -> None:
        self.name = name
        self._patterns = tuple(reversed(patterns))
        # Nearly no path is named by a pattern, and one alternation says so in 2 µs for 20 patterns.
        self._any_file = _any_of(pattern for pattern in patterns if not pattern.folders_only)
        self._any_folder = _any_of(patterns)

    def decide(self, path: str, folder: bool) -> _Pattern | None:
        """Return the pattern that decides about `path`, None where no pattern names it."""
        prefilter = self._any_folder if folder else self._any_file
        if prefilter is None or not prefilter.fullmatch(path):
            return None
        for pattern in self._patterns:
            if (folder or not pattern.folders_only) and pattern.regex.fullmatch(path):
                return pattern
        return None


class IgnoreRules:
    """What to skip in one KB, for one pass.

    `problems` grows as `.gitignore` files in sub-folders are met. Not for use from several threads at once.
    """

    def __init__(
        self,
        root: Path,
        nested: Collection[str],
        gitignore: bool,
        last: IgnoreRules | None = None,
        wait_for_writer: bool = False,
        wait_for_return: bool = False,
    ) -> None:
        self.problems: list[Problem] = []
        self.is_unfinished = False
        """A program is about to write `.pyriteignore`: its last rules still hold."""
        self._root = root
        self._nested = frozenset(path.removeprefix("./").rstrip("/") for path in nested)
        self._gitignore = gitignore
        self._own = self._read_own(last, wait_for_writer, wait_for_return)
        # Of each folder met: the .gitignore files that speak for what is in it, the deepest first, each with
        # the length of its folder's prefix.
        self._chains: dict[str, tuple[tuple[int, _PatternFile], ...]] = {}

    def file_rule(self, path: str) -> str | None:
        """Name the rule that skips the file `path`; None where it is wanted. Its folders are not asked."""
        name = path.rpartition("/")[2]
        if name.startswith("."):
            return _HIDDEN
        if not name.endswith(".md"):
            return _why_not_markdown(name)
        if name.startswith("~"):
            if name.startswith(("~$", "~syncthing~")):
                return _TEMPORARY
        elif len(name) == 9 and name.lower() == "readme.md":
            return "README"
        if self._own is None and not self._gitignore:
            return None
        return self._pattern_rule(path, folder=False)

    def folder_rule(self, path: str) -> str | None:
        """Name the rule that skips the folder `path` and all below; None where it is wanted.

        The folders above are not asked.
        """
        name = path.rpartition("/")[2]
        if path in self._nested:
            return "belongs to another knowledge base"
        if name.startswith("."):
            return _HIDDEN
        if name == "_templates":
            return "folder _templates"
        if self._own is None and not self._gitignore:
            return None
        return self._pattern_rule(path, folder=True)

    def path_rule(self, path: str, *, folder: bool = False) -> str | None:
        """Name the first rule, from the root down, that skips `path`; for a path that comes from outside."""
        at = path.find("/")
        while at >= 0:
            rule = self.folder_rule(path[:at])
            if rule is not None:
                return rule
            at = path.find("/", at + 1)
        return self.folder_rule(path) if folder else self.file_rule(path)

    def picture_rule(self, path: str) -> str | None:
        """Name the first rule, from the root down, that hides a file which is no entry."""
        above, _, name = path.rpartition("/")
        rule = self.path_rule(above, folder=True) if above else None
        if rule is not None or name.startswith("."):
            return rule or _HIDDEN
        return self._pattern_rule(path, folder=False)

    def _pattern_rule(self, path: str, folder: bool) -> str | None:
        pattern = self._own.decide(path, folder) if self._own is not None else None
        if pattern is not None:
            assert self._own is not None
            return _in_words(self._own, pattern)
        if not self._gitignore:
            return None
        for prefix, patterns in self._chain(path.rpartition("/")[0]):
            pattern = patterns.decide(path[prefix:], folder)
            if pattern is not None:
                return _in_words(patterns, pattern)
        return None

    def _chain(self, folder: str) -> tuple[tuple[int, _PatternFile], ...]:
        known = self._chains.get(folder)
        if known is not None:
            return known
        chain: tuple[tuple[int, _PatternFile], ...] = ()
        # A loop, not recursion: a path may have 2,000 parts.
        ends = [0] if not folder else [0, *_slashes(folder), len(folder)]
        for end in ends:
            above = folder[:end]
            known = self._chains.get(above)
            if known is None:
                prefix = f"{above}/" if above else ""
                own = self._read(prefix + GITIGNORE_FILE)
                known = ((len(prefix), own), *chain) if own is not None else chain
                self._chains[above] = known
            chain = known
        return chain

    def _read_own(
        self, last: IgnoreRules | None, wait_for_writer: bool, wait_for_return: bool
    ) -> _PatternFile | None:
        """Read `.pyriteignore`; one that cannot be read, as any file, leaves its last version standing.

        Else what it hides would be shown, and told, until somebody mends it.
        """
        try:
            data, is_writing = _read_data(self._root / IGNORE_FILE)
        except _UnusableError as error:
            outcome = "nothing is ignored by it" if last is None else "what it said before still holds"
            self._report(IGNORE_FILE, f"not read, so {outcome}: {error}")
            return None if last is None else last._own
        if last is not None:
            # Empty and closed may be half a save, too: not all may ask who writes it.
            is_away = not data and last._own is not None and wait_for_return
            self.is_unfinished = is_away or (is_writing and wait_for_writer)
            if self.is_unfinished:
                return last._own
        return None if data is None else self._patterns_of(IGNORE_FILE, data)

    def _read(self, name: str) -> _PatternFile | None:
        try:
            data, _ = _read_data(self._root / name)
        except _UnusableError as error:
            self._report(name, f"not read, so nothing is ignored by it: {error}")
            return None
        return None if data is None else self._patterns_of(name, data)

    def _patterns_of(self, name: str, data: bytes) -> _PatternFile | None:
        patterns = self._parse(name, data)
        return _PatternFile(name, patterns) if patterns else None

    def _parse(self, name: str, data: bytes) -> list[_Pattern]:
        patterns = []
        for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            # A name that is not UTF-8 has the same surrogates, so such a line works; it may be a slip though.
            line = raw.decode("utf-8", "surrogateescape")
            try:
                pattern = _parse_pattern(line, number)
            except (ValueError, re.error):
                self._report(name, "not a pattern that can be understood: the line is skipped", number)
                continue
            if pattern is not None:
                patterns.append(pattern)
                if not line.isascii() and _has_surrogate(line):
                    self._report(name, "the line is not UTF-8", number)
        return patterns

    def _report(self, path: str, message: str, line: int | None = None) -> None:
        self.problems.append(Problem(path, "ignore_file", message, line))


def read_ignore_rules(
    root: Path,
    *,
    nested: Collection[str] = (),
    gitignore: bool = False,
    last: IgnoreRules | None = None,
    wait_for_writer: bool = False,
    wait_for_return: bool = False,
) -> IgnoreRules:
    """Read a KB's `.pyriteignore`. Never raises: what is wrong with it is in `problems`.

    Args:
        root: The KB's folder.
        nested: Folders below it, relative, that are other named KBs.
        gitignore: Also follow the `.gitignore` files in and below `root`, read as their folders are met.
        last: What was read before: holds on where `.pyriteignore` cannot be read.
        wait_for_writer, wait_for_return: `last` holds on also while a program is writing it, and while it
            is missing (`is_unfinished`): many editors save by putting the old file away first.
    """
    return IgnoreRules(root, nested, gitignore, last, wait_for_writer, wait_for_return)


def _parse_pattern(line: str, number: int) -> _Pattern | None:
    text = line.rstrip("\r")
    # As Git: trailing blanks go, unless the last is escaped.
    text = text if text.endswith("\\ ") else text.rstrip(" \t")
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    core = text.removeprefix("!")
    folders_only = core.endswith("/")
    core = core.removesuffix("/")
    if not core:
        return None
    # The slash is taken off because with it the expression would match what is in the folder, not the folder.
    source, _ = GitIgnoreSpecPattern.pattern_to_regex("!" + core if negated else core)
    if source is None:
        return None
    # pathspec's group marks a match of a folder above; then only the whole path counts. Without a group the
    # expression ends early and means all that follows.
    unnamed = re.sub(r"\(\?P<\w+>", "(?:", source)
    if unnamed == source:
        unnamed = source + ".*" if source.startswith("^") else ".*"
    return _Pattern(re.compile(unnamed, re.DOTALL), negated, folders_only, number, text)


def _any_of(patterns: Iterable[_Pattern]) -> re.Pattern[str] | None:
    sources = [f"(?:{pattern.regex.pattern})" for pattern in patterns]
    return re.compile("|".join(sources), re.DOTALL) if sources else None


def _in_words(file: _PatternFile, pattern: _Pattern) -> str | None:
    if pattern.negated:
        return None
    # Bytes that are no UTF-8 are surrogates here, which no terminal and no JSON takes.
    return f"{file.name} line {pattern.line}: {pattern.text}".encode("utf-8", "backslashreplace").decode()


def _why_not_markdown(name: str) -> str:
    if _TEMPORARY_NAME.fullmatch(name):
        return _TEMPORARY
    return "README" if name.lower() == "readme.md" else "not a .md file"


def _has_surrogate(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)


def _slashes(path: str) -> list[int]:
    return [at for at, char in enumerate(path) if char == "/"]


class _UnusableError(Exception):
    """There is an ignore file, and it cannot be read."""


def _read_data(path: Path) -> tuple[bytes | None, bool]:
    """Read an ignore file, None where there is none; and whether a program is writing it.

    Never blocks on a FIFO, never follows a link (nor does Git).

    Raises:
        _UnusableError: It cannot be read, or is not a small text file.
    """
    data = b""
    try:
        for _ in range(_ATTEMPTS):
            data, is_writing, is_stable = _read_once(path)
            if is_stable:
                break
        else:
            is_writing = True  # faster than it can be read
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None, False
        reason = "a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise _UnusableError(reason) from error
    if b"\0" in data:
        raise _UnusableError("not a text file, or not UTF-8")
    return data, is_writing


def _read_once(path: Path) -> tuple[bytes, bool, bool]:
    """Read an ignore file; whether a program is writing it; and whether it stayed as it was meanwhile.

    Race: who writes and closes it after the reading and before the question is not found by the lease.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            raise _UnusableError("not a regular file")
        if opened.st_size > MAX_IGNORE_BYTES:
            raise _UnusableError(f"over {MAX_IGNORE_BYTES >> 20} MiB")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_IGNORE_BYTES)
        is_writing = is_open_for_writing(descriptor) is True
        now = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    is_stable = file_state(now) == file_state(opened) and len(data) == now.st_size and now.st_nlink > 0
    return data, is_writing, is_stable
