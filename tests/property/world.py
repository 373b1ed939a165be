"""The disk of the property test: three knowledge bases (KBs), everything that people do to files, and a
record of every state that was ever at rest.

A state is at rest when the operation that made it has closed the file. So the half of a save, or the moment
between a deletion and its quick undoing, is never noted, and an event of it is an invention.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

from harness.reader import entry_paths
from harness.tools import git

from property.contents import RULES, Seen, look_at, note

KBS = ("one", "two")
MARKER_KB = "marks"
"""Where nothing happens but the markers."""

QUICK_S = 0.1
"""A file that comes back within this time was never gone (the settle time is 120 ms)."""

HALF_S = 0.35
"""A half that stands for longer may be told (after 400 ms)."""

Snapshot = dict[str, Seen]


class World:
    """The KBs' folders below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roots = {name: folder / "kbs" / name for name in (*KBS, MARKER_KB)}
        self.aside = folder / "aside"
        self.aside.mkdir()
        self.hidden_by = dict.fromkeys(self.roots, "")
        self.away: dict[str, str] = {}
        """KBs whose root is not there, and what is in its place: "nothing" or "an empty folder"."""
        self.replaced: set[str] = set()
        self.broken: dict[Path, bytes] = {}
        self.trash: list[tuple[Path, bytes]] = []
        self.did: Counter[str] = Counter()
        self.history: dict[str, list[Snapshot]] = {}
        """Per KB the states at rest since the last check; the first is that of the check."""
        self.touched: dict[str, set[str]] = {name: set() for name in self.roots}
        self.at_work_s: dict[tuple[str, str], float] = {}
        self.half: tuple[str, str] | None = None
        """The file that is half written at the moment: it is not at rest, so it counts as it was."""
        self.written: set[tuple[str, str, str]] = set()
        """What the API wrote and answered for: (kb, path, revision)."""
        self.numbers = 0
        for name, root in self.roots.items():
            root.mkdir(parents=True)
            (root / "kb.yaml").write_text(f"name: {name}\n")
        for number, path in enumerate(("a.md", "b.md", "f/a.md", "h/a.md", "f/index.md")):
            self.put("one", path, note("xy"[number] if number < 2 else None))
            self.put("two", path, note("x" if number < 2 else None, "other"))
        root = self.roots["one"]
        git(root, "init", "--quiet", "--initial-branch=main")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message=begin")
        git(root, "branch", "other")
        self.history = {name: [self.look(name)] for name in self.roots}

    # -- what is there -----------------------------------------------------------------------

    def path(self, kb: str, path: str) -> Path:
        """The absolute path of a file in a KB."""
        return self.roots[kb] / path

    def put(self, kb: str, path: str, content: bytes) -> None:
        """Write a file and its folders."""
        full = self.path(kb, path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)

    def here(self) -> list[str]:
        """The KBs whose root is there."""
        return [name for name in KBS if name not in self.away]

    def files(self, kb: str) -> list[str]:
        """The paths of all files, hidden ones too; without those of a bulk copy beyond the first three."""
        paths = entry_paths(self.roots[kb]) if kb not in self.away else []
        bulk = [path for path in paths if "bulk-" in path]
        return [path for path in paths if "bulk-" not in path] + bulk[:3]

    def folders(self, kb: str) -> list[str]:
        """The folders in a KB."""
        root = self.roots[kb]
        found = [Path(where, name) for where, names, _ in os.walk(root) for name in names]
        paths = sorted(path.relative_to(root).as_posix() for path in found)
        return [path for path in paths if not path.startswith(".")]

    def look(self, kb: str) -> Snapshot:
        """What the KB holds now, as an entry or a problem."""
        root, is_shown = self.roots[kb], RULES[self.hidden_by[kb]]
        found = {
            path: look_at(path, (root / path).read_bytes()) for path in entry_paths(root) if is_shown(path)
        }
        if self.half is not None and self.half[0] == kb:
            path = self.half[1]
            found.pop(path, None)
            if path in self.history[kb][-1]:
                found[path] = self.history[kb][-1][path]
        return found

    # -- what was there ----------------------------------------------------------------------

    def note(self, did: str | None = None) -> None:
        """Note the state of now: everything is at rest. A root that is away is as it was."""
        if did is not None:
            self.did[did] += 1
        for kb in self.roots:
            if kb in self.away:
                continue
            now, before = self.look(kb), self.history[kb][-1]
            if now != before:
                self.history[kb].append(now)
                self.touched[kb] |= {
                    path for path in now.keys() | before if now.get(path) != before.get(path)
                }

    def touch_path(self, kb: str, path: str) -> None:
        """Note that something was done to a path, whatever it holds afterwards."""
        self.touched[kb].add(path)
        self.at_work_s[kb, path] = time.monotonic()

    def forget_history(self, kb: str) -> None:
        """The index was compared with the state of now."""
        self.history[kb] = self.history[kb][-1:]
        self.touched[kb].clear()

    def number(self) -> int:
        """Count up."""
        self.numbers += 1
        return self.numbers

    def make_marker(self) -> str:
        """Make a new, empty file: its event comes after 400 ms, so after whatever was to be told before."""
        path = f"zzz-{self.number()}.md"
        self.path(MARKER_KB, path).touch(exist_ok=False)
        self.note()
        return path

    # -- single files ------------------------------------------------------------------------

    def can_be_file(self, kb: str, path: str) -> bool:
        """Make the folders of a path; tell whether a file may be there now."""
        full = self.path(kb, path)
        if kb in self.away:
            return False
        full.parent.mkdir(parents=True, exist_ok=True)
        return not full.is_dir()

    def write(self, kb: str, path: str, content: bytes, how: str) -> None:
        """Save as editors do: "in place", "by rename", or "by deletion" with a moment before the new file."""
        full = self.path(kb, path)
        self.touch_path(kb, path)
        if how == "by rename":
            temporary = full.with_name(f"{full.name}.tmp")
            temporary.write_bytes(content)
            os.replace(temporary, full)
        elif how == "by deletion" and full.exists():
            began_s = time.monotonic()
            full.unlink()
            time.sleep(0.05)
            if time.monotonic() - began_s > QUICK_S:
                self.note()  # it was gone for long enough to be told
            self._write_in_place(kb, path, content)
        else:
            self._write_in_place(kb, path, content)
        self.note(f"write {how}")

    def _write_in_place(self, kb: str, path: str, content: bytes) -> None:
        began_s = time.monotonic()
        self.path(kb, path).write_bytes(content)
        self._note_emptied(kb, path, began_s)

    def _note_emptied(self, kb: str, path: str, began_s: float) -> None:
        """Where this process had no turn between opening and writing, that the file was empty may be told."""
        if time.monotonic() - began_s > HALF_S and RULES[self.hidden_by[kb]](path):
            self.history[kb].append({**self.history[kb][-1], path: look_at(path, b"")})
            self.touched[kb].add(path)

    def begin_half(self, kb: str, path: str, content: bytes) -> HalfWrite:
        """Open a file, write half of it, and leave it open."""
        return HalfWrite(self, kb, path, content)

    def append(self, kb: str, path: str) -> None:
        """Add a line."""
        with open(self.path(kb, path), "ab") as file:
            file.write(b"more\n")
        self.touch_path(kb, path)
        self.note("append")

    def touch(self, kb: str, path: str, mtime_s: int | None, mode: bool) -> None:
        """Change the time (None: now), or the mode, and nothing else."""
        full = self.path(kb, path)
        if mode:
            full.chmod(0o600 if full.stat().st_mode & 0o044 else 0o644)
        else:
            os.utime(full, None if mtime_s is None else (mtime_s, mtime_s))
        self.touch_path(kb, path)
        self.note("chmod" if mode else "touch")

    def change_bytes(self, kb: str, path: str, content: bytes, did: str) -> None:
        """Write in place."""
        self._write_in_place(kb, path, content)
        self.touch_path(kb, path)
        self.note(did)

    def rename(self, kb: str, path: str, to_kb: str, to: str) -> None:
        """Rename, over whatever is there."""
        os.replace(self.path(kb, path), self.path(to_kb, to))
        self.touch_path(kb, path)
        self.touch_path(to_kb, to)
        self.note("rename" if kb == to_kb else "rename to another KB")

    def swap(self, kb: str, one: str, other: str) -> None:
        """Exchange two files by three renames."""
        first, second, between = self.path(kb, one), self.path(kb, other), self.aside / "between"
        os.replace(first, between)
        os.replace(second, first)
        os.replace(between, second)
        self.touch_path(kb, one)
        self.touch_path(kb, other)
        self.note("swap")

    def delete(self, kb: str, path: str) -> None:
        """Delete; the bytes go to the trash."""
        full = self.path(kb, path)
        self.trash = [*self.trash[-5:], (full, full.read_bytes())]
        full.unlink()
        self.touch_path(kb, path)
        self.note("delete")

    # -- folders -----------------------------------------------------------------------------

    def move_folder(self, source: Path, target: Path, did: str) -> None:
        """Move a folder."""
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        self.note(did)

    def bulk_copy(self, kb: str, files: int) -> str:
        """Copy a folder of many files into the KB."""
        folder = f"bulk-{self.number()}"
        source = self.aside / folder
        source.mkdir()
        for number in range(files):
            (source / f"{folder}-{number}.md").write_bytes(note(body=f"{folder} {number}"))

        def copy(file: str, to: str) -> None:
            began_s = time.monotonic()
            shutil.copy2(file, to)
            self._note_emptied(kb, f"{folder}/{Path(to).name}", began_s)

        shutil.copytree(source, self.path(kb, folder), copy_function=copy)
        shutil.rmtree(source)
        self.note("bulk copy")
        return folder

    def begin_storm(self, kb: str) -> threading.Thread:
        """Let a thread save new files, one every few milliseconds; `note` when it has ended."""
        folder = self.path(kb, f"bulk-{self.number()}")
        folder.mkdir()

        def save() -> None:
            for number in range(80):
                draft = folder / "draft.tmp"
                draft.write_bytes(note(body=f"{folder.name} {number}"))
                os.replace(draft, folder / f"{folder.name}-{number}.md")
                time.sleep(0.004)

        storm = threading.Thread(target=save)
        storm.start()
        return storm

    def delete_folder(self, kb: str, folder: str) -> None:
        """Delete a folder with all that is in it."""
        shutil.rmtree(self.path(kb, folder))
        self.note("delete folder")

    def hide(self, kb: str, rules: str) -> None:
        """Change `.pyriteignore`, by a rename: while it is being written in place, it is read as it is."""
        draft = self.path(kb, ".pyriteignore.tmp")
        draft.write_text(rules)
        os.replace(draft, self.path(kb, ".pyriteignore"))
        self.hidden_by[kb] = rules
        self.note("ignore rules")

    # -- roots -------------------------------------------------------------------------------

    def take_root_away(self, kb: str, leaving: str) -> None:
        """The root goes; in its place is "nothing", "an empty folder" (a mount point), or "another" KB."""
        root = self.roots[kb]
        os.rename(root, self.aside / f"root-{kb}")
        if leaving == "another":
            other = self.aside / "other-root"
            other.mkdir()
            (other / "kb.yaml").write_text(f"name: {kb}\n")
            (other / "a.md").write_bytes(note("y", "another root"))
            (other / ".pyriteignore").write_text(self.hidden_by[kb])
            os.rename(other, root)
            self.replaced.add(kb)
        else:
            if leaving == "an empty folder":
                root.mkdir()
            self.away[kb] = leaving
        self.note(f"root away, leaving {leaving}")

    def bring_root_back(self, kb: str) -> None:
        """The root comes back as it was."""
        root, began_s = self.roots[kb], time.monotonic()
        if kb in self.replaced:
            shutil.rmtree(root)
            self.replaced.remove(kb)
            if time.monotonic() - began_s > QUICK_S:
                self.history[kb].append({})  # it was emptied slowly enough to be told
        elif self.away.pop(kb) == "an empty folder":
            root.rmdir()
        os.rename(self.aside / f"root-{kb}", root)
        rules = root / ".pyriteignore"
        self.hidden_by[kb] = rules.read_text() if rules.exists() else ""
        self.note("root back")

    # -- git ---------------------------------------------------------------------------------

    def git(self, *arguments: str) -> bool:
        """Run git in KB `one`; what it leaves is the state, also where it refuses."""
        try:
            git(self.roots["one"], *arguments)
        except AssertionError:
            return False
        finally:
            rules = self.roots["one"] / ".pyriteignore"
            # git brings it back, too; one that it left in conflict hides nothing.
            text = rules.read_text() if rules.exists() else ""
            if text not in RULES:
                rules.write_text("")
                text = ""
            self.hidden_by["one"] = text
            self.note(f"git {arguments[0]}")
        return True


class HalfWrite:
    """A save that has come half way, in one opening of the file."""

    def __init__(self, world: World, kb: str, path: str, content: bytes) -> None:
        self._world, self._kb, self._path = world, kb, path
        self._rest = content[len(content) // 2 :]
        self._half = content[: len(content) // 2]
        before_s = world.at_work_s.get((kb, path), float("-inf"))
        # The patience with a file is counted from its first change.
        self._may_be_told = time.monotonic() - before_s < 0.5
        self._began_s = time.monotonic()
        self._file = open(world.path(kb, path), "wb", buffering=0)  # noqa: SIM115 - open is the point
        self._file.write(self._half)
        world.half = kb, path
        world.touch_path(kb, path)

    def finish(self) -> None:
        """Write the rest and close it."""
        self._world.half = None
        if self._may_be_told or time.monotonic() - self._began_s > HALF_S:
            self._world.note()
        self._file.write(self._rest)
        self._file.close()
        self._world.touch_path(self._kb, self._path)
        self._world.note("half write")
