"""One owner a root: with real locks, and real second processes that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyrite_watch.errors import RootOwnedError, StateFolderError, StateOwnedError
from pyrite_watch.ownership import Owner, Ownership, find_owner, find_state_owner, registry_dir

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="redirects the registry by XDG_STATE_HOME")

OWN = """
import os, sys
from pathlib import Path
from pyrite_watch.ownership import Ownership
ownership = Ownership.take([Path(p) for p in sys.argv[2:]], Path(sys.argv[1]), os.environ)
ownership.announce("http://127.0.0.1:8088")
print("ready", flush=True)
sys.stdin.read()
ownership.release()
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "a", tmp_path / "b"]
    for root in found:
        root.mkdir()
    return found


def start_owner(environ: dict[str, str], state_dir: Path, *roots: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(state_dir), *map(str, roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environ},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_an_owner_is_found_by_its_root(tmp_path: Path, environ: dict[str, str], roots: list[Path]) -> None:
    """With its address once announced; also through a link to the root."""
    (tmp_path / "link").symlink_to(roots[0])
    with Ownership.take(roots, tmp_path / "state", environ) as ownership:
        assert find_owner(roots[0], environ) == Owner(roots[0], os.getpid(), "", tmp_path / "state")
        ownership.announce("http://127.0.0.1:9")
        for root in (*roots, tmp_path / "link"):
            owner = find_owner(root, environ)
            assert owner is not None
            assert (owner.pid, owner.url) == (os.getpid(), "http://127.0.0.1:9")
        assert find_state_owner(tmp_path / "state") is not None
    assert [find_owner(root, environ) for root in roots] == [None, None]
    assert find_state_owner(tmp_path / "state") is None


def test_nobody_owns_what_was_never_taken(tmp_path: Path, environ: dict[str, str], roots: list[Path]) -> None:
    """Asking makes no registry."""
    assert find_owner(roots[0], environ) is None
    assert not (tmp_path / "xdg").exists()


def test_release_is_idempotent_and_leaves_only_the_locks(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """The second one must not remove the next owner's json."""
    first = Ownership.take(roots, tmp_path / "state", environ)
    first.release()
    left = [path.suffix for path in (*registry_dir(environ).iterdir(), *(tmp_path / "state").iterdir())]
    assert left == [".lock"] * 3
    with Ownership.take(roots, tmp_path / "state", environ):
        first.release()
        assert find_owner(roots[0], environ) is not None


def test_a_second_process_is_told_who_owns_the_root(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Pid and address, in the sentence and the hint; exit 3."""
    with start_owner(environ, tmp_path / "one", roots[1]) as process:
        with pytest.raises(RootOwnedError) as caught:
            Ownership.take(roots, tmp_path / "two", environ)
        assert str(caught.value) == f"{roots[1]} is already watched by process {process.pid}."
        assert caught.value.hint == "Open http://127.0.0.1:8088, or stop that process first."
        assert caught.value.exit_code == 3


def test_a_conflict_gives_back_what_was_taken(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """All or nothing, whichever root comes first."""
    with start_owner(environ, tmp_path / "one", roots[1]):
        with pytest.raises(RootOwnedError):
            Ownership.take(roots, tmp_path / "two", environ)
        assert find_owner(roots[0], environ) is None
        assert find_state_owner(tmp_path / "two") is None
        Ownership.take(roots[:1], tmp_path / "two", environ).release()


def test_one_state_folder_has_one_owner(tmp_path: Path, environ: dict[str, str], roots: list[Path]) -> None:
    """Also for other roots: there would be two writers of one log."""
    with Ownership.take(roots[:1], tmp_path / "state", environ):
        with pytest.raises(StateOwnedError) as caught:
            Ownership.take(roots[1:], tmp_path / "state", environ)
        assert caught.value.pid == os.getpid()
        assert str(caught.value).startswith(f"The state folder {tmp_path / 'state'} is already used")
        assert find_owner(roots[1], environ) is None


def test_a_killed_process_owns_nothing(tmp_path: Path, environ: dict[str, str], roots: list[Path]) -> None:
    """Its json stays behind, and means nothing without the lock."""
    with start_owner(environ, tmp_path / "state", *roots) as process:
        owner = find_owner(roots[0], environ)
        assert owner is not None
        assert owner.pid == process.pid
        process.kill()
    assert len(list(registry_dir(environ).glob("*.json"))) == 2
    assert find_owner(roots[0], environ) is None
    with Ownership.take(roots, tmp_path / "state", environ):
        owner = find_owner(roots[0], environ)
        assert owner is not None
        assert (owner.pid, owner.url) == (os.getpid(), "")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1, "url": "http://stale"}', '{"pid": true, "url": 3}']
)
def test_a_json_that_is_not_the_holders_gives_no_address(
    tmp_path: Path, environ: dict[str, str], roots: list[Path], text: str
) -> None:
    """Between the lock and the first json, a dead process's json may still lie there."""
    with Ownership.take(roots[:1], tmp_path / "state", environ):
        (path,) = registry_dir(environ).glob("*.json")
        path.write_text(text)
        assert find_owner(roots[0], environ) == Owner(roots[0], os.getpid(), "", None)


def test_asking_all_the_time_lets_nobody_start_in_vain(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """A question locks for an instant; taking tries again before it believes a refusal."""
    Ownership.take(roots, tmp_path / "state", environ).release()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            find_owner(roots[0], environ)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(100):
            Ownership.take(roots, tmp_path / "state", environ).release()
    finally:
        stop.set()
        asking.join()


def test_the_registry_is_private_and_readable(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Folders 0700, files 0600; the json says all that a person looks for."""
    with Ownership.take(roots[:1], tmp_path / "state", environ):
        (path,) = registry_dir(environ).glob("*.json")
        assert json.loads(path.read_text()).keys() == {"root", "pid", "url", "state_dir", "started"}
        assert path.stat().st_mode & 0o777 == 0o600
        for folder in (registry_dir(environ), registry_dir(environ).parent, tmp_path / "state"):
            assert folder.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Exit 3, and nothing stays locked."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateFolderError, match="cannot be used") as caught:
        Ownership.take(roots, tmp_path / "file" / "state", environ)
    assert caught.value.exit_code == 3
    assert find_owner(roots[0], environ) is None


def test_a_root_may_be_gone(tmp_path: Path, environ: dict[str, str]) -> None:
    """An unavailable KB is owned too, so that it has one owner when it is back."""
    with Ownership.take([tmp_path / "gone"], tmp_path / "state", environ):
        assert find_owner(tmp_path / "gone", environ) is not None
