"""`pyrite tail`: follows what runs, and ends as it should."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.command import Command
from harness.isolation import isolated_environment
from harness.process import run_pyrite
from harness.wait import eventually

from .conftest import Starter, make_small_kb, write_entry

pytestmark = pytest.mark.timeout(120)


def test_it_finds_what_runs_and_prints_lines(start: Starter, home: Path, small_kb: Path) -> None:
    """Without an address; in the style of `watch`, and no colours where nobody sees them."""
    watch = start(small_kb)
    with Command("tail", "--since", watch.position, home=home) as tail:
        assert tail.wait_line("Following") == f"Following {watch.url}   Ctrl-C stops"
        write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
        line = tail.wait_line("entry-1")
        assert re.fullmatch(r"\d\d:\d\d:\d\d  updated  small   entry-1 +disk", line), line
        (small_kb / "entry-2.md").rename(small_kb / "moved.md")
        assert tail.wait_line("entry-2").endswith("entry-2.md → moved.md")
        assert not any("\x1b" in line for line in tail.lines)
        assert tail.stop() == 0


def test_json_is_what_the_socket_tells(start: Starter, home: Path, small_kb: Path) -> None:
    """The very lines that `watch --json` prints, from the position on, each once."""
    watch = start(small_kb)
    since = watch.position
    write_entry(small_kb / "entry-1.md", "entry-1", "Before.")
    eventually(lambda: len(watch.events) == 2)
    with Command("tail", watch.url, "--json", "--since", since, home=home) as tail:
        eventually(lambda: len(tail.lines) == 2, what="the replay")
        write_entry(small_kb / "entry-3.md", "entry-3", "After.")
        eventually(lambda: len(tail.lines) == 4, what="what happens")
        assert tail.stop(signal.SIGTERM) == 0
        assert tail.lines == watch.stdout.splitlines()[1:5]


def test_a_script_begins_at_a_position_and_needs_no_ready_line(
    start: Starter, home: Path, small_kb: Path
) -> None:
    """What happens between `status --json` and the connection is told; nothing but messages is printed."""
    watch = start(small_kb)
    watch.wait_ready()
    (status,) = json.loads(run_pyrite("status", watch.url, "--json", home=home).stdout)["running"]
    write_entry(small_kb / "entry-1.md", "entry-1", "Before it follows.")
    eventually(lambda: len(watch.events) == 2)
    with Command("tail", watch.url, "--json", "--since", status["position"], home=home) as tail:
        tail.wait_line("kb_synced")
        write_entry(small_kb / "entry-2.md", "entry-2", "While it follows.")
        eventually(lambda: len(tail.lines) == 4)
        told = [(message["type"], message["entry_id"]) for message in tail.messages]
        assert told[::2] == [("entry_updated", "entry-1"), ("entry_updated", "entry-2")]
        assert told[1::2] == [("kb_synced", "")] * 2


def test_kb_narrows_it_down(start: Starter, home: Path) -> None:
    """To those that are named."""
    one, two = make_small_kb(home / "one"), make_small_kb(home / "two")
    watch = start(one, two)
    with Command("tail", "--json", "--since", watch.position, "--kb", "two", home=home) as tail:
        write_entry(one / "entry-1.md", "entry-1", "Not told.")
        eventually(lambda: len(watch.events) == 2)
        write_entry(two / "entry-2.md", "entry-2", "Told.")
        eventually(lambda: len(tail.lines) == 2)
        assert {message["kb_name"] for message in tail.messages} == {"two"}


def test_it_resumes_where_the_server_is_restarted(start: Starter, home: Path, small_kb: Path) -> None:
    """What happened meanwhile is told too; that the connection was lost is said once."""
    first = start(small_kb)
    port = first.url.rpartition(":")[2]
    with Command("tail", "--json", "--since", first.position, home=home) as tail:
        write_entry(small_kb / "entry-1.md", "entry-1", "Once.")
        eventually(lambda: len(tail.lines) == 2)
        assert first.stop() == 0
        tail.wait_error("No connection to http://127.0.0.1")
        write_entry(small_kb / "entry-2.md", "entry-2", "Twice.")
        start(small_kb, options=["--port", port]).wait_ready()
        eventually(lambda: len(tail.lines) >= 4, timeout_s=40, what="the rest")
        assert [message["entry_id"] for message in tail.messages] == ["entry-1", "", "entry-2", ""]
        assert len(tail.errors) == 1
        assert tail.stop() == 0


def test_a_position_of_another_log_is_told(start: Starter, home: Path, small_kb: Path) -> None:
    """As `resync`, for programs and for people."""
    watch = start(small_kb)
    watch.wait_ready()
    with Command("tail", "--json", "--since", "other:7", home=home) as tail:
        tail.wait_line("resync")
        assert tail.messages[0]["reason"] == "epoch"
    with Command("tail", "--since", "other:7", home=home) as tail:
        assert "load the state again" in tail.wait_line("resync")


def test_the_end_of_its_reader_ends_it_at_once(start: Starter, home: Path, small_kb: Path) -> None:
    """`| head -1`: also when nothing is told any more, and without a word."""
    watch = start(small_kb)
    tail = subprocess.Popen(
        [sys.executable, "-m", "pyrite_watch", "tail", watch.url, "--json", "--since", "other:7"],
        cwd=home,
        env=isolated_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert b"resync" in tail.stdout.readline()
        tail.stdout.close()
        assert tail.wait(20) == 0
        assert tail.stderr.read() == b""
    finally:
        tail.kill()
        tail.wait()
        assert tail.stderr is not None
        tail.stderr.close()


def test_a_reader_that_reads_nothing_does_not_hold_up_its_end(
    start: Starter, home: Path, small_kb: Path
) -> None:
    """The pipe is full, and Ctrl-C still ends it with 0."""
    watch = start(small_kb)
    since = watch.position
    for round_number in range(4):
        for number in range(100):
            write_entry(small_kb / f"many-{number}.md", f"many-{number}", f"Text {round_number}.")
        assert run_pyrite("sync", small_kb, home=home).returncode == 0
    tail = subprocess.Popen(
        [sys.executable, "-m", "pyrite_watch", "tail", watch.url, "--json", "--since", since],
        cwd=home,
        env=isolated_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert tail.stdout is not None
        pipe = tail.stdout
        eventually(lambda: _waiting_bytes(pipe.fileno()) >= 60_000, what="a full pipe")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
    finally:
        tail.kill()
        tail.communicate()


def _waiting_bytes(descriptor: int) -> int:
    import array
    import fcntl
    import termios

    found = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, found)
    return found[0]


def test_nothing_runs_is_3_and_says_what_to_type(home: Path) -> None:
    """No process, no guess."""
    done = run_pyrite("tail", home=home)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "pyrite watch PATH" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_are_2_and_a_list(start: Starter, home: Path) -> None:
    """Which one, only the user knows."""
    one, two = make_small_kb(home / "one"), make_small_kb(home / "two")
    first, second = start(one), start(two, state_dir=home / "second")
    first.wait_ready()
    second.wait_ready()
    done = run_pyrite("tail", home=home)
    assert done.returncode == 2
    for text in (first.url, second.url, str(one), str(two)):
        assert text in done.stderr


def test_a_refusal_is_1_with_a_hint(start: Starter, home: Path, small_kb: Path) -> None:
    """A wrong token, a KB that is not there; the right token works."""
    watch = start(small_kb, options=["--token", "t0ken-t0ken"])
    watch.wait_ready()
    for arguments, words in (
        (["tail"], "--token"),
        (["tail", f"{watch.url}/?token=wr0ng"], "--token"),
        (["tail", "--token", "t0ken-t0ken", "--kb", "none"], "pyrite status"),
    ):
        done = run_pyrite(*arguments, home=home)
        assert done.returncode == 1, done.stdout + done.stderr
        assert words in done.stderr
        assert "t0ken-t0ken" not in done.stderr + done.stdout
        assert "wr0ng" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
    with Command("tail", "--json", "--since", "x:1", home=home, env={"PYRITE_TOKEN": "t0ken-t0ken"}) as tail:
        tail.wait_line("resync")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["http://127.0.0.1:1", "--since", "7"], ["http://127.0.0.1:1", "--token", "ä"]],
)
def test_what_cannot_be_meant_is_2(home: Path, arguments: list[str]) -> None:
    """Before anything is asked."""
    done = run_pyrite("tail", *arguments, home=home)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_yet_is_waited_for(home: Path) -> None:
    """It is said, once, and Ctrl-C ends the wait."""
    with Command("tail", "http://127.0.0.1:1", "--json", home=home) as tail:
        tail.wait_error("No connection to http://127.0.0.1:1. Trying until there is one.")
        assert tail.exit_code is None
        assert tail.stop() == 0


def test_watch_from_a_position_on(start: Starter, home: Path, small_kb: Path) -> None:
    """What happened while nothing ran comes after what was told before: no gap, no repeat."""
    first = start(small_kb)
    since = first.position
    write_entry(small_kb / "entry-1.md", "entry-1", "While it runs.")
    eventually(lambda: len(first.events) == 2)
    assert first.stop() == 0
    write_entry(small_kb / "entry-2.md", "entry-2", "While nothing runs.")
    second = start(small_kb, options=["--since", since])
    offset = second.ready["offset"]
    write_entry(small_kb / "entry-3.md", "entry-3", "While it runs again.")
    second.wait_for(lambda message: message.get("offset") == offset + 2 and message["type"] == "kb_synced")
    told = [(event["offset"], event["entry_id"]) for event in second.events]
    ids = ["entry-1", "", "entry-2", "", "entry-3", ""]
    assert told == list(enumerate(ids, int(since.partition(":")[2]) + 1))
    assert second.stop() == 0


def test_watch_from_a_position_of_another_log(start: Starter, small_kb: Path) -> None:
    """One `resync`, as on the socket; without a port, too."""
    watch = start(small_kb, options=["--since", "other:7", "--no-serve"])
    ready = watch.ready
    resync = watch.wait_for(lambda message: message["type"] == "resync", start=1)
    assert resync == {"type": "resync", "reason": "epoch", "epoch": ready["epoch"], "offset": ready["offset"]}


@pytest.mark.parametrize("options", [["--since", "k3f9:7"], ["--json", "--since", "7"]])
def test_watch_since_that_cannot_be_meant_is_2(home: Path, small_kb: Path, options: list[str]) -> None:
    """It goes with --json, and is EPOCH:OFFSET."""
    done = run_pyrite("watch", small_kb, "--port", "0", *options, home=home)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
