"""Which paths are no entries, and what `pyrite explain` says of them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyrite_watch.disk.ignore import MAX_IGNORE_BYTES, IgnoreRules, read_ignore_rules


def write(root: Path, path: str, text: str | bytes = "x") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def rules(root: Path, patterns: str | bytes) -> IgnoreRules:
    write(root, ".pyriteignore", patterns)
    return read_ignore_rules(root)


# ---- built-in rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "a.md",
        "deep/er/a.md",
        "name with spaces 🎈.md",
        "-dash.md",
        "new\nline.md",
        "\udcff.md",
        "x.sync-conflict-20240101-101010-ABCDEFG.md",
        "x (conflicted copy).md",
        "~tilde.md",
        "readme-first.md",
        "my readme.md",
        "4913.md",
        "x.tmp.md",
        "_templates.md",
    ],
)
def test_ordinary_names_are_entries(tmp_path: Path, path: str) -> None:
    """Sync conflicts too: they hold somebody's words."""
    assert read_ignore_rules(tmp_path).file_rule(path) is None


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".hidden.md", "hidden"),
        (".#f.md", "hidden"),
        (".f.md.swp", "hidden"),
        (".syncthing.x.md.tmp", "hidden"),
        (".x.md.icloud", "hidden"),
        ("README.md", "README"),
        ("a/ReadMe.md", "README"),
        ("README.MD", "README"),
        ("#f.md#", "temporary file of an editor or sync tool"),
        ("f.md~", "temporary file of an editor or sync tool"),
        ("4913", "temporary file of an editor or sync tool"),
        ("a/~$x.md", "temporary file of an editor or sync tool"),
        ("~syncthing~x.md.tmp", "temporary file of an editor or sync tool"),
        ("~syncthing~x.md", "temporary file of an editor or sync tool"),
        ("x.md.tmp", "temporary file of an editor or sync tool"),
        ("x.md___jb_tmp___", "temporary file of an editor or sync tool"),
        ("x.MD", "not a .md file"),
        ("x.markdown", "not a .md file"),
        ("x.txt", "not a .md file"),
        ("md", "not a .md file"),
    ],
)
def test_names_that_are_no_entries_say_why(tmp_path: Path, path: str, rule: str) -> None:
    """The rule is a word or two for a person."""
    assert read_ignore_rules(tmp_path).file_rule(path) == rule


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".git", "hidden"),
        ("a/.stversions", "hidden"),
        ("a/_templates", "folder _templates"),
        ("other", "belongs to another knowledge base"),
        ("a/other", None),
        ("dir.md", None),
        ("templates", None),
        ("README.md", None),
    ],
)
def test_folders_are_skipped_by_name_or_as_anothers(tmp_path: Path, path: str, rule: str | None) -> None:
    """A folder's name need not look like anything; only these are left out."""
    assert read_ignore_rules(tmp_path, nested=["other/"]).folder_rule(path) == rule


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("a/b/c.md", None),
        ("a/.obsidian/c.md", "hidden"),
        ("_templates/deep/c.md", "folder _templates"),
        ("kbs/inner/c.md", "belongs to another knowledge base"),
        ("../c.md", "hidden"),
    ],
)
def test_path_rule_asks_every_folder_above(tmp_path: Path, path: str, rule: str | None) -> None:
    """A hint comes with a whole path, of which nothing was accepted yet."""
    assert read_ignore_rules(tmp_path, nested={"kbs/inner"}).path_rule(path) == rule


def test_path_rule_of_a_folder_is_the_folders(tmp_path: Path) -> None:
    """A folder need not end in .md."""
    assert read_ignore_rules(tmp_path).path_rule("a/b", folder=True) is None
    assert read_ignore_rules(tmp_path).path_rule("a/_templates", folder=True) == "folder _templates"


# ---- .pyriteignore ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "path", "rule"),
    [
        ("# comment\n\ndrafts/\n", "drafts/a.md", ".pyriteignore line 3: drafts/"),
        ("drafts/", "a/drafts/b/c.md", ".pyriteignore line 1: drafts/"),
        ("/drafts", "a/drafts/b.md", None),
        ("drafts/", "drafts.md", None),
        ("x.md/", "x.md", None),
        ("*.md\n!keep.md", "a/keep.md", None),
        ("*.md\n!keep.md", "a/other.md", ".pyriteignore line 1: *.md"),
        ("*.md\n!keep/", "keep/a.md", ".pyriteignore line 1: *.md"),
        ("drafts/\n!drafts/keep.md", "drafts/keep.md", ".pyriteignore line 1: drafts/"),
        ("drafts/*\n!drafts/keep.md", "drafts/keep.md", None),
        ("drafts/**\n!drafts/keep.md", "drafts/keep.md", None),
        ("/*\n!/a", "a/b.md", None),
        ("/*\n!/a", "b/b.md", ".pyriteignore line 1: /*"),
        ("a/**/z.md", "a/b/c/z.md", ".pyriteignore line 1: a/**/z.md"),
        ("wild?[0-9].md", "wildx7.md", ".pyriteignore line 1: wild?[0-9].md"),
        ("\\#x.md\n\\!y.md", "!y.md", ".pyriteignore line 2: \\!y.md"),
        ("\ufeffa.md\r\nb.md  \r\n", "a.md", ".pyriteignore line 1: a.md"),
        ("\ufeffa.md\r\nb.md  \r\n", "b.md", ".pyriteignore line 2: b.md"),
        ("new*.md", "new\nline.md", ".pyriteignore line 1: new*.md"),
        ("!.hidden.md\n!README.md", ".hidden.md", "hidden"),
        ("!README.md", "README.md", "README"),
        ("/\n!/\n", "a.md", None),
    ],
)
def test_patterns_mean_what_they_mean_to_git(
    tmp_path: Path, patterns: str, path: str, rule: str | None
) -> None:
    """The last pattern that names a path decides, and says its line; below a skipped folder none is asked."""
    assert rules(tmp_path, patterns).path_rule(path) == rule


def test_names_that_are_not_utf8_can_be_ignored(tmp_path: Path) -> None:
    """A pattern is bytes to Git; a line that is not UTF-8 works, and is told, for it may be a slip."""
    found = rules(tmp_path, b"good.md\ncaf\xe9.md\n")
    assert found.path_rule("caf\udce9.md") == ".pyriteignore line 2: caf\\udce9.md"
    assert found.path_rule("good.md") == ".pyriteignore line 1: good.md"
    assert [(problem.kind, problem.line) for problem in found.problems] == [("ignore_file", 2)]


def test_bad_pattern_is_a_problem_and_the_others_hold(tmp_path: Path) -> None:
    """One slip does not show all that the rest hides."""
    found = rules(tmp_path, "a.md\nb\\\nc.md\n")
    assert found.path_rule("a.md") is not None
    assert found.path_rule("c.md") is not None
    assert [(problem.path, problem.kind, problem.line) for problem in found.problems] == [
        (".pyriteignore", "ignore_file", 2)
    ]


@pytest.mark.parametrize("content", ["drafts/".encode("utf-16"), b"a\n" * MAX_IGNORE_BYTES])
def test_ignore_file_that_is_no_text_or_huge_is_a_problem(tmp_path: Path, content: bytes) -> None:
    """Nothing is ignored then, and that is said."""
    found = rules(tmp_path, content)
    assert found.path_rule("drafts/a.md") is None
    assert [problem.kind for problem in found.problems] == ["ignore_file"]


def test_ignore_file_that_is_a_folder_is_a_problem(tmp_path: Path) -> None:
    """Whatever stands there, nothing crashes."""
    (tmp_path / ".pyriteignore").mkdir()
    assert [problem.kind for problem in read_ignore_rules(tmp_path).problems] == ["ignore_file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs and no free links there")
def test_ignore_file_that_would_block_or_leads_out_is_a_problem(tmp_path: Path) -> None:
    """A FIFO is not waited for, and a link is not followed out of the root."""
    (tmp_path / "pipe").mkdir()
    (tmp_path / "link").mkdir()
    write(tmp_path, "outside", "*.md")
    os.mkfifo(tmp_path / "pipe" / ".pyriteignore")
    (tmp_path / "link" / ".pyriteignore").symlink_to(tmp_path / "outside")
    for root in (tmp_path / "pipe", tmp_path / "link"):
        found = read_ignore_rules(root)
        assert [problem.kind for problem in found.problems] == ["ignore_file"]
        assert found.path_rule("a.md") is None


def test_missing_ignore_file_or_root_is_no_problem(tmp_path: Path) -> None:
    """That a root is gone is told elsewhere."""
    assert read_ignore_rules(tmp_path / "gone", gitignore=True).problems == []


# ---- .gitignore -------------------------------------------------------------------------------------------


def test_what_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race: cut when it is read, written and closed before it is asked who writes it. (Bug: what it hides was
    told as created, and deleted again.)"""
    last = rules(tmp_path, "private/\n")
    file = tmp_path / ".pyriteignore"
    file.write_bytes(b"# private/\n")

    def ask_too_late(descriptor: int) -> bool:
        file.write_bytes(b"private/\n# and a comment\n")
        return False

    monkeypatch.setattr("pyrite_watch.disk.ignore.is_open_for_writing", ask_too_late)
    read = read_ignore_rules(tmp_path, last=last, wait_for_writer=True, wait_for_return=True)
    assert read.path_rule("private/a.md") is not None


def test_what_changes_faster_than_it_is_read_is_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last rules hold on meanwhile."""
    last = rules(tmp_path, "private/\n")
    file = tmp_path / ".pyriteignore"
    file.write_bytes(b"")

    def ask_too_late(descriptor: int) -> bool:
        with file.open("ab") as growing:
            growing.write(b"# one more\n")
        return False

    monkeypatch.setattr("pyrite_watch.disk.ignore.is_open_for_writing", ask_too_late)
    read = read_ignore_rules(tmp_path, last=last, wait_for_writer=True)
    assert read.is_unfinished
    assert read.path_rule("private/a.md") is not None
    assert read_ignore_rules(tmp_path, last=last).path_rule("private/a.md") is None


def test_an_ignore_file_that_was_emptied_may_be_half_a_save(tmp_path: Path) -> None:
    """As one that is missing: closed while empty, then written in another opening."""
    last = rules(tmp_path, "private/\n")
    (tmp_path / ".pyriteignore").write_bytes(b"")
    read = read_ignore_rules(tmp_path, last=last, wait_for_return=True)
    assert read.is_unfinished
    assert read.path_rule("private/a.md") is not None
    assert read_ignore_rules(tmp_path, last=last).path_rule("private/a.md") is None


def test_gitignore_is_followed_only_when_asked(tmp_path: Path) -> None:
    """Notes kept out of Git are notes."""
    write(tmp_path, ".gitignore", "private/\n")
    assert read_ignore_rules(tmp_path).path_rule("private/a.md") is None
    asked = read_ignore_rules(tmp_path, gitignore=True)
    assert asked.path_rule("private/a.md") == ".gitignore line 1: private/"


def test_gitignore_above_the_root_does_not_count(tmp_path: Path) -> None:
    """The root is where a KB begins."""
    write(tmp_path, ".gitignore", "*.md\n")
    (tmp_path / "kb").mkdir()
    assert read_ignore_rules(tmp_path / "kb", gitignore=True).path_rule("a.md") is None


def test_deeper_gitignore_wins_and_is_relative_to_its_folder(tmp_path: Path) -> None:
    """A sub-folder's file may show again what the root's hides."""
    write(tmp_path, ".gitignore", "draft*.md\n")
    write(tmp_path, "a/b/.gitignore", "!draft1.md\n/c.md\n")
    found = read_ignore_rules(tmp_path, gitignore=True)
    assert found.path_rule("a/b/draft1.md") is None
    assert found.path_rule("a/b/draft2.md") == ".gitignore line 1: draft*.md"
    assert found.path_rule("a/b/c.md") == "a/b/.gitignore line 2: /c.md"
    assert found.path_rule("a/b/d/c.md") is None
    assert found.path_rule("c.md") is None


def test_pyriteignore_decides_before_gitignore(tmp_path: Path) -> None:
    """What is kept out of Git can be an entry nevertheless."""
    write(tmp_path, ".gitignore", "journal/\n*.md\n")
    write(tmp_path, ".pyriteignore", "!journal/\n!journal/*.md\n")
    found = read_ignore_rules(tmp_path, gitignore=True)
    assert found.path_rule("journal/a.md") is None
    assert found.path_rule("b.md") == ".gitignore line 2: *.md"


def test_gitignore_is_read_once_for_a_pass(tmp_path: Path) -> None:
    """Rules that change in the midst of a pass would show half of a change."""
    found = read_ignore_rules(tmp_path, gitignore=True)
    assert found.path_rule("a/x.md") is None
    write(tmp_path, "a/.gitignore", "x.md\n")
    assert found.path_rule("a/x.md") is None
    assert read_ignore_rules(tmp_path, gitignore=True).path_rule("a/x.md") is not None


def test_problem_in_a_deep_gitignore_is_told_when_it_is_met(tmp_path: Path) -> None:
    """Its path is the file's, relative to the root."""
    write(tmp_path, "a/.gitignore", b"\0")
    found = read_ignore_rules(tmp_path, gitignore=True)
    assert found.problems == []
    assert found.path_rule("a/x.md") is None
    assert [(problem.path, problem.kind) for problem in found.problems] == [("a/.gitignore", "ignore_file")]


def test_path_of_two_thousand_folders_is_answered(tmp_path: Path) -> None:
    """No recursion by folder, also where nothing above was asked before."""
    path = "a/" * 2000 + "x.md"
    found = read_ignore_rules(tmp_path, gitignore=True)
    assert found.file_rule(path) is None
    assert found.path_rule(path) is None


# fmt: off
PATTERNS = [
    "*.md", "!keep.md", "drafts/", "/drafts", "a/b", "a/**", "!a/keep.md", "**/b", "**", "*", "/*", "!/a",
    "!keep/", "a/**/x.md", "!*.md", "keep", "b/*", "!b/x.md", "*/", "!*/", "**/", "a*",
    "?b.md", "[xy].md", "[!x].md", "a/**/", "/a/", "# c", "", "drafts/  ", "**/keep/**", "a/*/x.md",
    "/**/x.md", "/", "!/", "a/**/b/**/x.md", "!a", "[z-a]",
]
# fmt: on


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git itself")
@pytest.mark.parametrize("seed", range(12))
def test_git_itself_agrees(tmp_path: Path, seed: int) -> None:
    """Random patterns in random folders hide what `git ls-files` leaves out."""
    chance = random.Random(seed)
    files = {
        "/".join(
            [
                *chance.choices(["a", "b", "keep", "drafts"], k=depth),
                chance.choice(["x.md", "keep.md", "ab.md"]),
            ]
        )
        for depth in (0, 0, 1, 1, 1, 2, 2, 2, 3, 3)
    }
    for file in files:
        write(tmp_path, file)
    folders = sorted({file.rpartition("/")[0] for file in files} - {""})
    for folder in ["", *chance.sample(folders, k=min(2, len(folders)))]:
        lines = chance.choices(PATTERNS, k=chance.randint(1, 4))
        write(tmp_path, f"{folder}/.gitignore".lstrip("/"), "\n".join(lines))
    git = ["git", "-c", f"core.excludesFile={os.devnull}", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--others", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout.split("\0")

    found = read_ignore_rules(tmp_path, gitignore=True)

    assert {file for file in files if found.path_rule(file) is None} == files.intersection(listed)
