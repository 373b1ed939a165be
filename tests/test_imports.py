"""The stages are folders, and imports point one way: a newcomer can trust the map."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pyrite_watch"

RANKS = {
    "errors": 0,
    "model": 0,
    "system": 1,
    "client": 1,
    "kb_files": 2,
    "kb_roots": 3,
    "settings": 4,
    "ownership": 4,
    "disk": 5,
    "index": 6,
    "live": 7,
    "roots": 8,
    "watching": 8,
    "git_patience": 9,
    "reconciler": 10,
    "write_requests": 10,
    "writer": 11,
    "pipeline": 12,
    "service": 13,
    "server": 14,
    "cli": 15,
    "__main__": 16,
}
"""A module may import those of its own room and of lower ranks."""

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def _room(module: str) -> str:
    return module.removesuffix(".py").split("/")[0]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        for name in names:
            parts = name.split(".")
            if parts[0] == "pyrite_watch" and len(parts) > 1 and parts[1] != "__version__":
                found.add(parts[1])
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_imports_point_one_way(module: str) -> None:
    """No module imports a later stage."""
    room = _room(module)
    for imported in _imports(PACKAGE / module):
        assert RANKS[imported] < RANKS[room] or imported == room, f"{module} imports {imported}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("model/")])
def test_values_do_no_io(module: str) -> None:
    """The model imports nothing that could touch a disk, a socket or a loop."""
    source = (PACKAGE / module).read_text("utf-8")
    for forbidden in ("import os", "import sqlite3", "import asyncio", "import socket", "open("):
        assert forbidden not in source


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_below_500_lines(module: str) -> None:
    """A file that grows past its purpose is split."""
    assert (PACKAGE / module).read_text("utf-8").count("\n") < 500


def test_only_the_log_has_sql_on_events() -> None:
    """What is told is the log's affair alone."""
    for module in MODULES:
        if module not in ("index/log.py", "index/schema.py"):
            source = (PACKAGE / module).read_text("utf-8")
            assert " FROM event" not in source, module
            assert "INTO event" not in source, module
