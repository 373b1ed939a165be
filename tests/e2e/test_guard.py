"""Who may connect: a page of somebody else's must neither read nor write a person's notes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from harness.api import Api
from harness.process import WatchProcess, run_pyrite
from harness.socket import Tab
from harness.wait import eventually
from websockets.exceptions import InvalidStatus

from .conftest import Starter, write_entry

pytestmark = pytest.mark.timeout(60)

FOREIGN = ("https://evil.example", "http://127.0.0.1:1", "http://localhost.evil.example", "null")


def test_foreign_origin_is_403_before_the_upgrade(start: Starter, small_kb: Path) -> None:
    """No socket for another site's page."""
    watch = start(small_kb)
    for origin in FOREIGN:
        with pytest.raises(InvalidStatus) as refused:
            Tab(watch.url, headers={"Origin": origin})
        assert refused.value.response.status_code == 403, origin


def test_own_origin_is_welcome(start: Starter, small_kb: Path) -> None:
    """The server's own page, and clients that send no Origin."""
    watch = start(small_kb)
    with Tab(watch.url, headers={"Origin": watch.url}) as own, Tab(watch.url) as plain:
        write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
        for tab in (own, plain):
            tab.wait_for(lambda message: message.get("entry_id") == "entry-1")


@pytest.mark.parametrize("path", ["/api/entries", "/api/state", "/api/kbs", "/api/events/log?since=a:0", "/"])
def test_foreign_origin_reads_nothing(start: Starter, small_kb: Path, path: str) -> None:
    """403 on every way to the notes."""
    watch = start(small_kb)
    for origin in FOREIGN:
        answer = Api(watch.url).request("GET", path, headers={"Origin": origin})
        assert answer.status == 403, (origin, answer.body[:200])
        assert b"entry-1" not in answer.body
        assert "access-control-allow-origin" not in answer.headers


def test_foreign_origin_writes_nothing(start: Starter, small_kb: Path) -> None:
    """Refused before anything is done."""
    watch = start(small_kb)
    before = sorted(small_kb.rglob("*"))
    body = {"kb": small_kb.name, "title": "From another site"}
    answer = Api(watch.url).request("POST", "/api/entries", body=body, headers={"Origin": FOREIGN[0]})
    assert answer.status == 403
    answer = Api(watch.url).request(
        "DELETE", f"/api/entries/entry-1?kb={small_kb.name}", headers={"Origin": FOREIGN[0]}
    )
    assert answer.status == 403
    assert sorted(small_kb.rglob("*")) == before


@pytest.mark.parametrize(
    "header",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=10.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_foreign_host_and_proxies_are_403(start: Starter, small_kb: Path, header: dict[str, str]) -> None:
    """A rebound name, and a proxy in front without a token."""
    watch = start(small_kb)
    assert Api(watch.url).request("GET", "/api/entries", headers=header).status == 403
    assert Api(watch.url).request("GET", "/api/entries").status == 200


def test_behind_a_public_url_programs_here_use_where_it_listens(start: Starter, small_kb: Path) -> None:
    """Bug: `sync` and `status` asked the proxy, which may not even be reached from here."""
    watch = start(small_kb, options=("--public-url", "http://notes.invalid/sub/"))
    ready = watch.wait_ready()
    assert ready["url"].startswith("http://127.0.0.1:")
    assert ready["public_url"] == "http://notes.invalid/sub"
    done = run_pyrite("sync", small_kb, home=watch.home)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script")
def test_a_token_that_the_environment_asks_for_is_printed_with_an_address(home: Path, small_kb: Path) -> None:
    """Bugs: `PYRITE_TOKEN=auto` made one that nobody was told; `--open` opened a page that said 401."""
    opened = home / "opened"
    browser = home / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}\n', encoding="utf-8")
    browser.chmod(0o755)
    env = {"PYRITE_TOKEN": "auto", "BROWSER": f"{browser} %s"}
    with WatchProcess(small_kb, home=home, env=env, options=("--open",)) as watch:
        watch.wait_ready()
        told = re.search(r"Token: (\S+)\n +(\S+)\n", watch.output)
        assert told is not None
        token, address = told.groups()
        assert address == f"{watch.url}/?token={token}"
        eventually(lambda: opened.exists() and opened.read_text("utf-8") == f"{address}\n")
        assert Api(watch.url).request("GET", address.removeprefix(watch.url)).status == 303
        refused = Api(watch.url).request("GET", "/")
        assert (refused.status, b"Add ?token=" in refused.body) == (401, True)
        asked = {"Authorization": f"Bearer {token}"}
        assert Api(watch.url).request("GET", "/api/kbs", headers=asked).status == 200
