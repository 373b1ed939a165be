"""A small change of the product that takes a mechanism out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutation:
    """A text of a product file, what stands in its place, and the tests of which one must fail."""

    name: str
    takes_out: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, copy: Path) -> Callable[[], object]:
        """Change it in a copy of the repository; what is returned undoes that."""
        path = copy / self.file
        source = path.read_text("utf-8")
        assert source.count(self.old) == 1, f"{self.name}: its text is not in {self.file} exactly once"
        path.write_text(source.replace(self.old, self.new), "utf-8")
        return lambda: path.write_text(source, "utf-8")
