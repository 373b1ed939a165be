"""`pyrite doctor`: each line says how it is and what to type; and it removes only what is old and ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from harness.isolation import REPOSITORY, isolated_environment
from harness.namespaces import require_namespaces
from harness.process import run_pyrite
from harness.record import Json

from .conftest import Starter, make_small_kb

pytestmark = pytest.mark.timeout(120)


def examine(home: Path, *arguments: str | Path, code: int = 0) -> dict[str, list[Json]]:
    """Its findings by what they are about; people get the same."""
    done = run_pyrite("doctor", *arguments, "--json", home=home)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, list[Json]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["about"], []).append(finding)
    return found


def levels(found: dict[str, list[Json]], about: str) -> list[str]:
    return [finding["level"] for finding in found[about]]


def states_of(home: Path) -> list[Path]:
    return sorted((home / ".local" / "state" / "pyrite-watch" / "states").glob("*"))


def make_state(home: Path, root: Path) -> Path:
    """Sync a KB once, and give the state that this made."""
    before = states_of(home)
    assert run_pyrite("sync", root, home=home).returncode == 0
    (made,) = set(states_of(home)) - set(before)
    return made


def test_all_is_well(start: Starter, home: Path, small_kb: Path) -> None:
    """Versions, limits, mounts, clock, owner, state: a line each, with exit code 0."""
    watch = start(small_kb)
    watch.wait_ready()
    done = run_pyrite("doctor", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "All is well.", done.stdout
    assert all(line.startswith(("ok  ", " ")) for line in lines[:-1])
    found = examine(home)
    assert {"version", "libraries", "kb small", "inotify", "clock", "owners", "state"} <= found.keys()
    assert f"process {watch.pid} watches {small_kb} at {watch.url}" in found["owners"][0]["message"]
    assert watch.position in found["state"][0]["message"]


def test_nothing_known_is_no_trouble(home: Path) -> None:
    """On a fresh machine; nothing is made by asking."""
    found = examine(home)
    assert levels(found, "kb") == ["ok"]
    assert found["kb"][0]["hint"] == "Name some: pyrite doctor PATH"
    assert list(home.iterdir()) == []


def test_it_changes_nothing(home: Path, small_kb: Path) -> None:
    """Neither the KB nor the state."""
    make_state(home, small_kb)
    before = {path: path.is_file() and path.read_bytes() for path in home.rglob("*")}
    examine(home, small_kb)
    after = {path: path.is_file() and path.read_bytes() for path in home.rglob("*")}
    # SQLite's own, empty, beside an index in WAL mode that is only read.
    passing = {path for path in after if path.name.endswith(("-wal", "-shm"))}
    assert {path: after[path] for path in after.keys() - passing} == before


def test_a_folder_that_is_away_is_bad(home: Path, small_kb: Path) -> None:
    """Of the config, which names it; the other is looked at all the same."""
    (home / ".pyrite").mkdir()
    (home / ".pyrite" / "config.yaml").write_text(
        f"knowledge_bases: [{{name: there, path: {small_kb}}}, {{name: away, path: {home / 'none'}}}]\n"
    )
    found = examine(home, code=1)
    assert (levels(found, "kb there"), levels(found, "kb away")) == (["ok"], ["bad"])
    assert str(home / "none") in found["kb away"][0]["message"]


def test_a_broken_config_is_bad(home: Path) -> None:
    """The file and the line are named."""
    (home / ".pyrite").mkdir()
    (home / ".pyrite" / "config.yaml").write_text("knowledge_bases: 7\n")
    found = examine(home, code=1)
    assert levels(found, "config") == ["bad"]
    assert "config.yaml, line 1" in found["config"][0]["message"]


def test_a_broken_kb_yaml_is_a_warning(home: Path, small_kb: Path) -> None:
    """The KB is watched all the same."""
    (small_kb / "kb.yaml").write_text("types: [\n")
    found = examine(home, small_kb)
    assert levels(found, "kb small") == ["ok", "warn"]


def test_an_owner_that_does_not_answer_is_bad(start: Starter, home: Path, small_kb: Path) -> None:
    """Its process is named, so that it can be ended."""
    watch = start(small_kb)
    watch.wait_ready()
    watch.send_signal(signal.SIGSTOP)
    try:
        found = examine(home, code=1)
    finally:
        watch.send_signal(signal.SIGCONT)
    assert levels(found, "owners") == ["bad"]
    assert f"kill {watch.pid}" in found["owners"][0]["hint"]


def test_a_registry_that_others_may_read_is_a_warning(start: Starter, home: Path, small_kb: Path) -> None:
    """It names folders."""
    start(small_kb).wait_ready()
    registry = home / ".local" / "state" / "pyrite-watch" / "owners"
    registry.chmod(0o755)
    found = examine(home)
    assert levels(found, "owners") == ["warn", "ok"]
    assert found["owners"][0]["hint"] == f"chmod 700 {registry}"


def test_a_damaged_state_is_bad(home: Path, small_kb: Path) -> None:
    """It is left untouched, and what to type is said."""
    index = make_state(home, small_kb) / "index.sqlite"
    damaged = index.read_bytes()[:100] + b"\xa5" * 5000
    index.write_bytes(damaged)
    found = examine(home, small_kb, code=1)
    assert levels(found, "state") == ["bad"]
    assert f"mv {index.parent} " in found["state"][0]["hint"]
    assert index.read_bytes() == damaged


def test_a_state_of_a_newer_version_is_bad(home: Path, small_kb: Path) -> None:
    """An upgrade helps."""
    with sqlite3.connect(make_state(home, small_kb) / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    found = examine(home, small_kb, code=1)
    assert "newer version" in found["state"][0]["message"]
    assert "upgrade" in found["state"][0]["hint"]


def test_a_copied_state_is_a_warning(home: Path, small_kb: Path) -> None:
    """Two logs of one epoch would be taken for one."""
    state = make_state(home, small_kb)
    copy = shutil.copytree(state, home / "copy")
    assert levels(examine(home, small_kb), "state") == ["ok"]
    found = examine(home, small_kb, "--state-dir", copy)
    assert levels(found, "state") == ["ok", "warn"]
    assert str(state) in found["state"][1]["message"]


@pytest.mark.parametrize(("boot", "words"), [("", "load it again"), (None, "nothing is lost")])
def test_how_the_last_process_ended_is_told(
    start: Starter, home: Path, small_kb: Path, boot: str | None, words: str
) -> None:
    """Killed under this boot, or before it."""
    watch = start(small_kb, own_state=False)
    watch.wait_ready()
    watch.kill()
    if boot is not None:
        (state,) = states_of(home)
        with sqlite3.connect(state / "index.sqlite") as connection:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'running'", (boot,))
        connection.close()
    assert words in examine(home, small_kb)["state"][0]["message"]


def test_a_virtual_file_system_is_a_warning(home: Path, small_kb: Path) -> None:
    """It tells of no changes, so it is compared every few seconds: of a real FUSE mount."""
    require_namespaces()
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine has no /dev/fuse that we may open")
    point = home / "mounted"
    point.mkdir()
    mirror = REPOSITORY / "tests" / "harness" / "mirror_fs.py"
    script = (
        f"{sys.executable} {mirror} {small_kb} {point} &\n"
        f"for _ in $(seq 200); do mountpoint -q {point} && break; sleep 0.05; done\n"
        f"{sys.executable} -m pyrite_watch doctor {point} --json\n"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        env=isolated_environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    (finding,) = [each for each in json.loads(done.stdout)["findings"] if each["about"] == "kb mounted"]
    assert finding["level"] == "warn"
    assert "fuse" in finding["message"]


def test_a_dry_run_shows_what_prune_would_remove(home: Path) -> None:
    """Nothing is touched; the state of a folder that is there is not even named."""
    kept, gone = make_small_kb(home / "kept"), make_small_kb(home / "gone")
    here, old = make_state(home, kept), make_state(home, gone)
    shutil.rmtree(gone)
    done = run_pyrite("doctor", "--prune", "--dry-run", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"would remove {old} of {gone} " in done.stdout
    assert "To remove it: pyrite doctor --prune\n" in done.stdout
    assert str(here) not in done.stdout
    assert states_of(home) == sorted([here, old])


def test_prune_removes_it_and_nothing_else(start: Starter, home: Path) -> None:
    """Not the state of a process that runs, though its folder is away for now."""
    kept, gone, away = (make_small_kb(home / name) for name in ("kept", "gone", "away"))
    here, old = make_state(home, kept), make_state(home, gone)
    start(away, own_state=False).wait_ready()
    shutil.rmtree(gone)
    away.rename(home / "elsewhere")
    done = run_pyrite("doctor", "--prune", "--json", home=home)
    (removed,) = json.loads(done.stdout)["old_states"]
    assert (removed["path"], removed["roots"], removed["removed"]) == (str(old), [str(gone)], True)
    left = states_of(home)
    assert here in left
    assert len(left) == 2


def test_prune_keeps_what_the_config_names(home: Path) -> None:
    """Its drive may only not be mounted; and where the config cannot be read, all is kept."""
    gone = make_small_kb(home / "gone")
    state = make_state(home, gone)
    shutil.rmtree(gone)
    (home / ".pyrite").mkdir()
    config = home / ".pyrite" / "config.yaml"
    for text in (f"knowledge_bases: [{{name: x, path: {gone}}}]\n", "knowledge_bases: 7\n"):
        config.write_text(text)
        done = run_pyrite("doctor", "--prune", home=home)
        assert "nothing to remove" in done.stdout, done.stdout
        assert states_of(home) == [state]


def test_a_dry_run_alone_is_2(home: Path) -> None:
    """There is nothing to be run."""
    done = run_pyrite("doctor", "--dry-run", home=home)
    assert done.returncode == 2
    assert "--prune" in done.stderr
