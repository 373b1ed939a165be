"""A KB in a real git repository, in each of the places where a repository can keep its `.git`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.tools import git, run_tool

LAYOUTS = ("root", "subfolder", "worktree", "separate")
"""The KB is the working tree, a folder inside it, a linked worktree, or has its git directory elsewhere."""

PER_FOLDER = 50


def entry_text(number: int, text: str) -> str:
    """The whole of an entry's file; the text is one line in the middle of ten."""
    filler = "\n".join(f"Line {count} of {number}." for count in range(5))
    return (
        f"---\nid: entry-{number:03d}\ntitle: Entry {number:03d}\ntype: note\n---\n\n"
        f"{filler}\n\n{text}\n\n{filler}\n"
    )


def entry_path(number: int) -> str:
    """Where an entry lies in its KB."""
    return f"area-{number // PER_FOLDER}/entry-{number:03d}.md"


class Repository:
    """A KB of entries 0, 1, 2, …, committed on the branch `base`.

    Args:
        notes: the folder that it is made in; must not exist.
        layout: one of `LAYOUTS`.
    """

    def __init__(self, notes: Path, layout: str = "root", entries: int = 400) -> None:
        notes.mkdir(parents=True)
        self.entries = entries
        self.kb = notes / "project" / "docs" / "kb" if layout == "subfolder" else notes / "kb"
        self.work = notes / "project" if layout == "subfolder" else self.kb
        if layout == "worktree":
            project = notes / "project"
            project.mkdir()
            git(project, "init", "--quiet", "--initial-branch=main")
            git(project, "commit", "--quiet", "--allow-empty", "--message=begin")
            git(project, "worktree", "add", "--quiet", "-b", "base", str(self.work))
        else:
            self.work.mkdir()
            places = ["--separate-git-dir", str(notes / "kb.git")] if layout == "separate" else []
            git(self.work, "init", "--quiet", "--initial-branch=base", *places)
        self.kb.mkdir(parents=True, exist_ok=True)
        (self.kb / "kb.yaml").write_text("name: kb\n", encoding="utf-8")
        self.write(range(entries), "As it was.")
        self.commit("base")

    def git(self, *arguments: str) -> str:
        """Run git in the working tree; it must succeed."""
        return git(self.work, *arguments)

    def git_fails(self, *arguments: str) -> str:
        """Run git, which must not succeed: a conflict, or its death."""
        return run_tool("sh", "-c", '! git "$@"', "sh", "-c", "gc.auto=0", *arguments, cwd=self.work)

    @property
    def git_dir(self) -> Path:
        """Where git keeps the index of this working tree."""
        return self.work / self.git("rev-parse", "--git-dir").strip()

    @property
    def lock(self) -> Path:
        """What git takes while it rewrites the working tree."""
        return self.git_dir / "index.lock"

    def file(self, number: int) -> Path:
        """The file of an entry."""
        return self.kb / entry_path(number)

    def write(self, numbers: Iterable[int], text: str) -> None:
        """Write these entries anew."""
        for number in numbers:
            file = self.file(number)
            file.parent.mkdir(exist_ok=True)
            file.write_text(entry_text(number, text), encoding="utf-8")

    def commit(self, message: str) -> None:
        """Commit everything that is there."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")

    def branch(self, name: str, numbers: Iterable[int], text: str) -> None:
        """Make a branch on which these entries have another text, and come back."""
        self.git("checkout", "--quiet", "-b", name)
        self.write(numbers, text)
        self.commit(name)
        self.git("checkout", "--quiet", "-")

    def remote(self, branch: str) -> None:
        """Make a bare repository `origin` whose `base` is that branch."""
        folder = self.work.parent / "origin.git"
        git(self.work.parent, "init", "--quiet", "--bare", "--initial-branch=base", str(folder))
        self.git("remote", "add", "origin", str(folder))
        self.git("push", "--quiet", "origin", f"{branch}:base")
