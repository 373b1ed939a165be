"""How it starts and how it ends: exit codes, and messages that say what happened, why and what to type."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness.api import Api
from harness.isolation import REPOSITORY, isolated_environment
from harness.process import WatchProcess, run_pyrite
from harness.socket import Tab
from harness.wait import eventually

from .conftest import Starter, make_small_kb, write_entry

pytestmark = pytest.mark.timeout(120)

MAX_STOP_S = 3.0
SQLITE_MAGIC = b"SQLite format 3\x00"


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> str:
    """Assert the exit code and that the message names the words, without a traceback; return the message."""
    text = done.stdout + done.stderr
    assert done.returncode == code, f"exit {done.returncode}, expected {code}\n{text}"
    assert "Traceback" not in text, text
    # A long path may be wrapped by a terminal library: compare without white space.
    squeezed = re.sub(r"\s+", "", done.stderr)
    for word in words:
        assert re.sub(r"\s+", "", word) in squeezed, f"{word!r} is not in the message on stderr:\n{text}"
    return text


def watch_refused(home: Path, *arguments: str | Path, code: int, words: tuple[str, ...] = ()) -> str:
    """Run a watch that must refuse to start."""
    port = () if "--port" in arguments else ("--port", "0")
    done = run_pyrite("watch", *arguments, *port, "--state-dir", home / "state", home=home)
    return refused(done, code, *words)


def test_missing_root_is_3(home: Path) -> None:
    """The folder is named."""
    missing = home / "no-such-folder"
    watch_refused(home, missing, code=3, words=(str(missing),))


def test_root_that_is_a_file_is_3(home: Path) -> None:
    """A file is no root."""
    file = home / "file.md"
    write_entry(file, "file", "Text.")
    watch_refused(home, file, code=3, words=(str(file),))


def test_port_in_use_is_3_and_names_the_next_command(home: Path, small_kb: Path) -> None:
    """The port, and a command that would work."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        watch_refused(home, small_kb, "--port", str(port), code=3, words=(str(port), "--port"))


def test_broken_config_is_2_with_file_and_line(home: Path) -> None:
    """Pyrite's config is a person's file: say where to look."""
    folder = home / "pyrite-data"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text("knowledge_bases:\n  - name: notes\n    path: [unclosed\n", encoding="utf-8")
    done = run_pyrite("watch", "--port", "0", home=home, env={"PYRITE_DATA_DIR": str(folder)})
    text = refused(done, 2, str(config))
    assert re.search(r"line\s+[34]\b|config\.yaml:[34]\b", text), text


def test_config_of_another_shape_is_2(home: Path) -> None:
    """Good YAML that cannot be meant."""
    folder = home / ".pyrite"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text("knowledge_bases: 7\n", encoding="utf-8")
    refused(run_pyrite("watch", "--port", "0", home=home), 2, str(config))


def test_config_names_the_kbs(start: Starter, home: Path, small_kb: Path) -> None:
    """Without PATH the KBs of Pyrite's config are watched, under the names that it gives."""
    folder = home / "elsewhere"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"knowledge_bases:\n  - name: named-there\n    path: {small_kb}\n    description: Five\n",
        encoding="utf-8",
    )
    watch = start(env={"PYRITE_DATA_DIR": str(folder)})
    assert watch.ready["kbs"] == [{"name": "named-there", "path": str(small_kb), "entries": 5}]


def test_no_kb_at_all_is_2_and_says_what_to_type(home: Path) -> None:
    """No PATH, no config."""
    refused(run_pyrite("watch", "--port", "0", home=home), 2, "pyrite watch")


def test_two_kbs_of_one_name_are_2(home: Path) -> None:
    """Both folders are named; NAME=PATH would help."""
    one, two = make_small_kb(home / "a" / "same"), make_small_kb(home / "b" / "same")
    watch_refused(home, one, two, code=2, words=("same", str(one), str(two)))


def test_a_name_of_ones_own_settles_it(start: Starter, home: Path) -> None:
    """NAME=PATH names a KB."""
    one, two = make_small_kb(home / "a" / "same"), make_small_kb(home / "b" / "same")
    watch = start(one, f"other={two}")
    assert sorted(kb["name"] for kb in watch.ready["kbs"]) == ["other", "same"]


@pytest.mark.parametrize("through_link", [False, True])
def test_one_root_twice_is_2(home: Path, small_kb: Path, through_link: bool) -> None:
    """Also under two names, and through a link."""
    second = small_kb
    if through_link:
        second = home / "link"
        second.symlink_to(small_kb)
    watch_refused(home, f"one={small_kb}", f"two={second}", code=2)


@pytest.mark.parametrize("own_state", [True, False])
def test_root_owned_by_another_process_is_3(
    start: Starter, home: Path, small_kb: Path, own_state: bool
) -> None:
    """One running watch owns a root, whatever state folder the other is given."""
    owner = start(small_kb)
    owner.wait_ready()
    state = start.state_dir if own_state else home / "other-state"
    done = run_pyrite("watch", small_kb, "--port", "0", "--state-dir", state, home=home)
    refused(done, 3, str(small_kb))
    assert owner.exit_code is None
    write_entry(small_kb / "entry-1.md", "entry-1", "Still heard.")
    owner.wait_for(lambda message: message.get("entry_id") == "entry-1")


def test_state_inside_a_kb_is_refused(home: Path, small_kb: Path) -> None:
    """The state never lies inside a KB."""
    before = sorted(small_kb.rglob("*"))
    done = run_pyrite("watch", small_kb, "--port", "0", "--state-dir", small_kb / "state", home=home)
    refused(done, 2)
    assert sorted(small_kb.rglob("*")) == before


def test_other_host_without_a_token_is_2(home: Path, small_kb: Path) -> None:
    """It says how."""
    watch_refused(home, small_kb, "--host", "0.0.0.0", code=2, words=("--token",))


def test_unknown_option_is_2(home: Path, small_kb: Path) -> None:
    """As every command line does."""
    watch_refused(home, small_kb, "--no-such-option", code=2, words=("--no-such-option",))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_within_3_s_with_tabs_connected(
    start: Starter, small_kb: Path, number: signal.Signals
) -> None:
    """Exit 0, 1012 to every tab, `stopped` as the last line."""
    watch = start(small_kb)
    tabs = [Tab(watch.url), Tab(watch.url, since="now"), Tab(watch.url, since=watch.position)]
    began = time.monotonic()
    code = watch.stop(number)
    took_s = time.monotonic() - began
    assert code == 0, watch.describe()
    assert took_s < MAX_STOP_S
    for tab in tabs:
        assert tab.wait_closed() == 1012
        tab.close()
    lines = watch.messages.since()
    assert [line["type"] for line in lines[-1:]] == ["stopped"], watch.describe()
    assert "Traceback" not in watch.output


BUSY = """
import sys, time
from pyrite_watch.cli import server
from pyrite_watch.index import search
def load_hits(*_):
    print("asked", file=sys.stderr, flush=True)
    time.sleep(60)
search.load_hits = load_hits
server.GRACE_S = 0.1
from pyrite_watch.__main__ import main
main()
"""
"""A watch that is asked something which takes a minute; it waits less for such before it ends."""


def test_a_stop_does_not_wait_for_a_long_question(home: Path, small_kb: Path) -> None:
    """Bug: the process stayed until SQLite had answered, and a second SIGINT was the end by that signal."""
    program = (sys.executable, "-c", BUSY, "watch")
    with WatchProcess(small_kb, home=home, state_dir=home / "state", program=program) as watch:
        asking = threading.Thread(target=ask_in_vain, args=(watch.url,))
        asking.start()
        eventually(lambda: "asked" in watch.stderr)
        began_s = time.monotonic()
        assert watch.stop() == 0, watch.describe()
        assert time.monotonic() - began_s < MAX_STOP_S
        asking.join()
        assert watch.messages.since()[-1]["type"] == "stopped"
        assert "Traceback" not in watch.output


def ask_in_vain(url: str) -> None:
    """Ask what is not answered any more."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        Api(url).request("GET", "/api/search?q=x")


def test_second_start_after_a_stop_works(start: Starter, small_kb: Path) -> None:
    """The lock goes with the process, also after SIGKILL."""
    first = start(small_kb)
    epoch = first.ready["epoch"]
    assert first.stop(signal.SIGTERM) == 0
    second = start(small_kb)
    assert second.ready["epoch"] == epoch
    second.kill()
    third = start(small_kb)
    assert third.ready["epoch"] == epoch


def test_signal_while_it_starts_is_a_clean_end(start: Starter, corpus: Path) -> None:
    """A Ctrl-C that comes before `ready` shows no traceback either."""
    watch = start(corpus)
    eventually(start.state_dir.exists, 30, what="the state folder")
    code = watch.stop(signal.SIGINT)
    assert code in (0, 130), watch.describe()
    assert "Traceback" not in watch.output


def test_run_for_people_prints_where_it_serves(start: Starter, small_kb: Path) -> None:
    """Without --json: the address, the KB, and a clean end."""
    watch = start(small_kb, json_lines=False)
    eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+", watch.output), 30, what="the address")
    assert small_kb.name in watch.output
    write_entry(small_kb / "entry-3.md", "entry-3", "Changed.")
    eventually(lambda: "entry-3" in watch.stdout, what="the change on stdout")
    assert "\x1b[" not in watch.output, "NO_COLOR, and no terminal"
    assert watch.stop() == 0


def test_no_serve_prints_and_opens_no_port(start: Starter, small_kb: Path) -> None:
    """Watch, index, print."""
    watch = start(small_kb, options=["--no-serve"])
    assert watch.ready.get("url") in (None, "")
    write_entry(small_kb / "entry-3.md", "entry-3", "Changed.")
    watch.wait_for(lambda message: message.get("entry_id") == "entry-3")
    assert watch.stop() == 0


def databases(folder: Path) -> list[Path]:
    """Every SQLite file below a folder."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as opened:
                if opened.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC:
                    found.append(file)
    return found


def stopped_state(start: Starter, root: Path) -> list[Path]:
    """Make a state, stop, and return its databases."""
    watch: WatchProcess = start(root)
    watch.wait_ready()
    assert watch.stop() == 0
    found = databases(start.state_dir)
    assert found, "no SQLite file in the state folder"
    return found


def test_state_of_a_newer_version_is_4_and_untouched(start: Starter, home: Path, small_kb: Path) -> None:
    """A later version's state is not ours to read, mend or replace."""
    files = stopped_state(start, small_kb)
    for file in files:
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version=9999")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    before = {file: file.read_bytes() for file in files}
    text = watch_refused(home, small_kb, code=4)
    assert "newer" in text.lower()
    assert {file: file.read_bytes() for file in files} == before
    assert databases(start.state_dir) == files


def test_damaged_state_is_4_and_untouched(start: Starter, home: Path, small_kb: Path) -> None:
    """It is said, and left for the person to look at."""
    files = stopped_state(start, small_kb)
    for file in files:
        content = bytearray(file.read_bytes())
        content[100 : len(content)] = b"\xa5" * (len(content) - 100)
        file.write_bytes(content)
    before = {file: file.read_bytes() for file in files}
    watch_refused(home, small_kb, code=4)
    assert {file: file.read_bytes() for file in files} == before


def wait_catching(pid: int, number: int) -> None:
    """Wait until a process has a handler for a signal."""

    def is_caught() -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[0], 16)
        return bool(caught >> (number - 1) & 1)

    eventually(is_caught)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_it_is_up_is_a_clean_stop(home: Path, small_kb: Path, number: int) -> None:
    """Bug: until the server ran, it was the end by the signal, or a traceback out of an import."""
    for delay_s in (0.0, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-m", "pyrite_watch", "watch", str(small_kb), "--port", "0"],
            env=isolated_environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_catching(process.pid, signal.SIGTERM)  # before that, Python itself starts
        time.sleep(delay_s)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
        assert (process.returncode, told) == (0, ""), f"after {delay_s} s"


@pytest.mark.parametrize("table", ["kb", "file", "entry"])
def test_a_damaged_page_is_4_whenever_it_is_met(
    start: Starter, home: Path, small_kb: Path, table: str
) -> None:
    """At once, in the first comparison, or with the first change: said in a sentence."""
    (database,) = stopped_state(start, small_kb)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(database.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    database.write_bytes(content)
    watch = start(small_kb)
    with contextlib.suppress(AssertionError):
        watch.wait_ready()
        write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
    assert watch.wait_exit(20) == 4
    assert "Traceback" not in watch.output
    assert "damaged" in watch.output
    assert "Move that folder away" in watch.output


def test_an_absolute_path_needs_no_current_folder(home: Path, small_kb: Path) -> None:
    """Bug: a shell in a folder that was removed got a traceback."""
    script = (
        f"mkdir {home}/gone && cd {home}/gone && rmdir {home}/gone && exec {sys.executable} -m pyrite_watch"
    )
    for path, code in ((small_kb, 0), ("notes", 2)):
        done = subprocess.run(
            ["sh", "-c", f"{script} sync {path}"],
            env=isolated_environment(home) | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
