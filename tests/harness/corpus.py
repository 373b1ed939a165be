"""Input: the real knowledge base where there is one, else a look-alike of its size and mix; storms of files.

The real one is named by PYRITE_CORPUS, or lies beside the repository. A clone has neither: there the
look-alike (always the same, from a seed) takes its place, so every test runs everywhere.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Iterator
from pathlib import Path

Files = tuple[tuple[str, bytes], ...]
"""Paths and what they hold."""

LOOKALIKE_FILES = 610
FOLDER_FILES = 250

# The real one's mix: types, and how many files in 610 carry a key.
_TYPES = {
    "backlog_item": 476,
    "component": 64,
    "adr": 26,
    "design_doc": 19,
    "note": 13,
    "standard": 6,
    "runbook": 4,
}
_FOLDERS = {
    "backlog_item": "backlog/done",
    "component": "components",
    "adr": "adrs",
    "design_doc": "designs",
    "note": "notes",
    "standard": "standards",
    "runbook": "runbooks",
}
_VOCABULARY = """
index search entry graph schema service plugin storage import export revision folder title backlog
link query cache sync event socket watch migration review design record standard runbook component
module test editor branch commit merge change save reader writer offset position epoch replica
problem tag note field value type mapping parser front matter body heading list table figure limit
measure latency memory naïve café
"""
_WORDS = _VOCABULARY.split()
_KB_YAML = """name: {name}
kb_type: software
description: "A look-alike of a project's knowledge base"
types:
  note:
    subdirectory: notes
  component:
    subdirectory: components
"""


def corpus_source() -> Path | None:
    """The folder of the real corpus; None where there is none."""
    named = os.environ.get("PYRITE_CORPUS")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise FileNotFoundError(f"PYRITE_CORPUS names no folder: {folder}")
        return folder
    beside = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "pyrite-kb"
    return beside if beside.is_dir() else None


def copy_corpus(target: Path) -> Path:
    """Put a corpus of about 610 files into a new folder, writable throughout; return the folder."""
    source = corpus_source()
    if source is None:
        return generate_lookalike(target)
    return _write_all(target, _read_all(source))


@functools.cache
def _read_all(source: Path) -> Files:
    # Once: hundreds of tests want a copy, and writing one costs a tenth of `shutil.copytree`.
    return tuple(
        (file.relative_to(source).as_posix(), file.read_bytes())
        for file in sorted(source.rglob("*"))
        if file.is_file()
    )


def _write_all(target: Path, files: Files) -> Path:
    for folder in sorted({os.path.dirname(path) for path, _ in files}):
        os.makedirs(target / folder, exist_ok=True)
    for path, content in files:
        with open(f"{target}/{path}", "xb") as file:
            file.write(content)
    return target


def copy_corpus_times(folder: Path, times: int) -> list[Path]:
    """Put `times` copies side by side, each a KB with a name of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return [copy_corpus(folder / f"kb-{number}") for number in range(1, times + 1)]


def generate_lookalike(target: Path, files: int = LOOKALIKE_FILES, seed: int = 610) -> Path:
    """Write a look-alike: ids unlike names, ids that two files share, README.md."""
    kb_yaml = _KB_YAML.format(name=target.name).encode("utf-8")
    return _write_all(target, (("kb.yaml", kb_yaml), *_lookalike(files, seed)))


@functools.cache
def _lookalike(files: int, seed: int) -> Files:
    rng = random.Random(seed)
    writer = _Writer(rng)
    kinds = list(_TYPES)
    weights = list(_TYPES.values())
    made = [
        ("backlog/README.md", b"# Backlog\n\nHow to read it.\n"),
        ("roadmap.md", b"---\ntitle: Roadmap\ntype: article\n---\n\nWhat is next.\n"),
    ]
    for number in range(files - 2):
        kind = rng.choices(kinds, weights)[0]
        stem = f"{'-'.join(rng.choices(_WORDS[:60], k=4))}-{number}"
        entry_id = f"{stem}-as-first-named" if number % 20 == 7 else stem
        if number < 8:  # four ids that two files share
            entry_id = f"shared-by-two-{number // 2}"
        made.append((f"{_FOLDERS[kind]}/{stem}.md", writer.entry(entry_id, kind)))
    return tuple(made)


def generate_many(target: Path, files: int = 100_000, seed: int = 100) -> Path:
    """Write a KB of many files, 250 a folder, with sizes like the real ones (median 1.3 KB)."""
    writer = _Writer(random.Random(seed))
    os.makedirs(target)
    (target / "kb.yaml").write_text(_KB_YAML.format(name=target.name), encoding="utf-8")
    for number in range(files):
        folder = f"{target}/area-{number // FOLDER_FILES:04d}"
        if number % FOLDER_FILES == 0:
            os.mkdir(folder)
        with open(f"{folder}/entry-{number:06d}.md", "wb") as file:
            file.write(writer.entry(f"entry-{number:06d}", "note"))
    return target


class _Writer:
    """Makes entries; paragraphs are made once and dealt out: 20 times faster than word by word."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._paragraphs = list(self._make_paragraphs(400))

    def _make_paragraphs(self, count: int) -> Iterator[str]:
        for _ in range(count):
            words = self._rng.choices(_WORDS, k=self._rng.randint(15, 60))
            yield f"{' '.join(words).capitalize()}.\n\n"

    def entry(self, entry_id: str, kind: str) -> bytes:
        rng = self._rng
        tags = rng.sample(_WORDS[:60], k=rng.randint(1, 5))
        title = " ".join(rng.choices(_WORDS, k=rng.randint(3, 8))).capitalize()
        head = [f"id: {entry_id}", f'title: "{title}"', f"type: {kind}"]
        if rng.random() < 0.8:
            head += ["tags:", *(f"- {tag}" for tag in tags)]
        else:
            head.append(f"tags: [{', '.join(tags)}]")
        if rng.random() < 0.36:
            head += [
                "links:",
                f"- target: {rng.choice(_WORDS)}-{rng.randint(1, 600)}",
                "  relation: subtask_of",
            ]
        if rng.random() < 0.88:
            head += [f"kind: {rng.choice(('feature', 'refactor', 'module'))}", "status: done"]
        if rng.random() < 0.7:
            head += [f"priority: {rng.choice(('high', 'medium', 'low'))}", f"effort: {rng.choice('SML')}"]
        if rng.random() < 0.14:
            head += ["importance: 5", f"rank: {rng.randint(0, 9)}"]
        if rng.random() < 0.06:
            head.append(f"date: 2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}")
        paragraphs = min(40, max(1, round(rng.lognormvariate(1.2, 0.8))))
        body = "".join(rng.choices(self._paragraphs, k=paragraphs))
        text = "\n".join(
            ["---", *head, "---", "", "## Problem", "", body, f"See [[{rng.choice(_WORDS)}]].", ""]
        )
        return text.encode("utf-8")
