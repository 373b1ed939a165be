"""`pyrite status`: what runs, and how it goes."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from harness.process import run_pyrite
from harness.socket import Tab
from harness.wait import eventually

from .conftest import Starter, make_small_kb

pytestmark = pytest.mark.timeout(120)


def test_nothing_runs_is_3(home: Path) -> None:
    """For people and for programs; nothing is made by asking."""
    done = run_pyrite("status", home=home)
    assert (done.returncode, done.stderr) == (3, "")
    assert "pyrite watch PATH" in done.stdout
    done = run_pyrite("status", "--json", home=home)
    assert done.returncode == 3
    assert json.loads(done.stdout)["running"] == []
    assert list(home.iterdir()) == []


def test_it_shows_every_process_that_runs(start: Starter, home: Path) -> None:
    """Address, process, knowledge bases, way of watching, connections, position."""
    one, two = make_small_kb(home / "one"), make_small_kb(home / "two", entries=1)
    (two / "bad.md").write_text("---\nid: [\n---\n", encoding="utf-8")
    first = start(one)
    second = start(two, state_dir=home / "second", options=["--poll", "5"])
    first.wait_ready()
    second.wait_ready()
    with Tab(first.url):
        done = run_pyrite("status", home=home)
        told = json.loads(run_pyrite("status", "--json", home=home).stdout)["running"]
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    for words in (
        f"{first.url}/ process {first.pid}",
        f"{second.url}/ process {second.pid}",
        f"one 5 entries {one}",
        f"two 1 entry 1 problem {two}",
        "By poll, every 5 s: --poll 5",
        "Connections 1",
        f"Position {first.position}",
    ):
        assert words in text, done.stdout
    assert "\x1b" not in done.stdout
    by_pid = {each["pid"]: each for each in told}
    assert by_pid[first.pid]["health"]["connections"] == 1
    assert by_pid[first.pid]["position"] == first.position
    assert by_pid[first.pid]["state_dir"] == str(start.state_dir)
    assert by_pid[second.pid]["kbs"][0]["problems"] == 1
    assert by_pid[second.pid]["health"]["watch"]["mode"] == "poll"


def test_an_absent_folder_shows(start: Starter, home: Path, small_kb: Path) -> None:
    """Its entries are still counted."""
    watch = start(small_kb)
    watch.wait_ready()
    small_kb.rename(home / "elsewhere")
    watch.wait_for(lambda message: message.get("available") is False)
    done = run_pyrite("status", watch.url, home=home)
    assert done.returncode == 0
    assert "5 entries  1 problem  away: its folder is not there" in done.stdout


def test_the_address_finds_also_what_is_not_registered_here(
    start: Starter, home: Path, small_kb: Path
) -> None:
    """Another user's, or another machine's."""
    watch = start(small_kb)
    watch.wait_ready()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    assert run_pyrite("status", home=elsewhere).returncode == 3
    done = run_pyrite("status", watch.url, home=elsewhere)
    assert done.returncode == 0
    assert "5 entries" in done.stdout


def test_one_that_opens_no_port_is_shown_from_its_state(start: Starter, home: Path, small_kb: Path) -> None:
    """What it has committed may be read."""
    watch = start(small_kb, options=["--no-serve"])
    watch.wait_ready()
    done = run_pyrite("status", home=home)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert f"opens no port process {watch.pid}" in text
    assert "small 5 entries" in text
    assert f"Position {watch.position}" in text


def test_without_the_token_the_rest_is_shown(start: Starter, home: Path, small_kb: Path) -> None:
    """`/health` needs none; what to type is said, and with it all is there."""
    watch = start(small_kb, options=["--token", "t0ken-t0ken"])
    watch.wait_ready()
    done = run_pyrite("status", home=home)
    assert done.returncode == 0
    assert "--token" in done.stdout
    assert "Connections" in done.stdout
    assert "5 entries" not in done.stdout
    done = run_pyrite("status", home=home, env={"PYRITE_TOKEN": "t0ken-t0ken"})
    assert "5 entries" in done.stdout
    assert "t0ken" not in done.stdout + done.stderr
    done = run_pyrite("status", f"{watch.url}/?token=t0ken-t0ken", home=home)
    assert "5 entries" in done.stdout
    assert "t0ken" not in done.stdout + done.stderr


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", 3), ("nonsense", 2)])
def test_an_address_where_nothing_is(home: Path, url: str, code: int) -> None:
    """3 as where nothing runs; 2 where it is no address."""
    done = run_pyrite("status", url, home=home)
    assert done.returncode == code
    assert url in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_process_is_not_shown(start: Starter, home: Path, small_kb: Path) -> None:
    """What it left in the registry means nothing without its lock."""
    watch = start(small_kb)
    watch.wait_ready()
    watch.kill()
    assert run_pyrite("status", home=home).returncode == 3


def test_a_stopped_process_runs_and_does_not_answer(start: Starter, home: Path, small_kb: Path) -> None:
    """It has its lock: `status` waits for an answer, says that none came, and exits with 0."""
    watch = start(small_kb)
    watch.wait_ready()
    watch.send_signal(signal.SIGSTOP)
    try:
        done = run_pyrite("status", home=home)
    finally:
        watch.send_signal(signal.SIGCONT)
    assert done.returncode == 0
    assert f"process {watch.pid}" in done.stdout
    assert "did not answer (timed out)" in done.stdout
    assert str(small_kb) in done.stdout


def test_a_name_with_control_characters_does_not_reach_the_terminal(start: Starter, home: Path) -> None:
    """A folder's path may hold anything."""
    root = make_small_kb(home / "plain").rename(home / "a\x1b[31mb")
    start(f"kb={root}").wait_ready()
    done = run_pyrite("status", home=home)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "a\\x1b[31mb" in done.stdout


def test_a_registry_that_cannot_be_understood_is_no_crash(home: Path) -> None:
    """Somebody's files in it."""
    owners = home / ".local" / "state" / "pyrite-watch" / "owners"
    owners.mkdir(parents=True)
    (owners / "x.lock").mkdir()
    (owners / "y.lock").write_text("not a pid")
    (owners / "y.json").write_text("[")
    done = run_pyrite("status", home=home)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    shutil.rmtree(owners)
    owners.write_text("a file")
    assert run_pyrite("status", home=home).returncode == 3


def test_progress_of_a_first_index_is_no_error(start: Starter, home: Path, small_kb: Path) -> None:
    """It may be asked at any moment of a start."""
    watch = start(small_kb)
    eventually(lambda: run_pyrite("status", home=home).returncode == 0, 60, what="the process in the list")
    watch.wait_ready()
