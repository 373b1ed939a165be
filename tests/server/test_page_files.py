"""The page's files over a real uvicorn, with paths exactly as they are sent."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_app import Served, make_app, served

from pyrite_watch import create_app
from pyrite_watch.server import page
from pyrite_watch.server.guard import OWN_SEGMENTS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests here."""
    with served(make_app(tmp_path_factory.mktemp("page"))) as running:
        yield running


def ask(server: Served, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    # Clients that know better take ".." out of a path before they send it.
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/web/style.css", "/web/icon.svg"])
def test_the_pages_files_are_strict(server: Served, path: str) -> None:
    """No script but its own, and never an old one after an upgrade."""
    answer, body = ask(server, path)
    assert answer.status == 200
    assert body
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/web/none.js",
        "/web/",
        "/web",
        "/web/..",
        "/web/../__init__.py",
        "/web/../../pyproject.toml",
        "/web/%2e%2e/__init__.py",
        "/web/%2e%2e%2f__init__.py",
        "/web/..%2f__init__.py",
        "/web/..%5c__init__.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/app.js%00",
        "/web/%c0%ae%c0%ae/x",
        "/web/APP.JS",
        "/web/__init__.py",
        "/../pyproject.toml",
    ],
)
def test_no_other_file_can_be_had(server: Served, path: str) -> None:
    """The files are a fixed set: a name is looked up, never joined to a folder."""
    answer, body = ask(server, path)
    assert answer.status == 404
    assert json.loads(body)["detail"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/health", "/api/state", "/api/none"])
def test_head_sends_the_length_and_no_body(server: Served, path: str) -> None:
    """The connection stays in step: the next answer on it is a whole one."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("HEAD", path)
        head = connection.getresponse()
        assert head.read() == b""
        connection.request("GET", path)
        get = connection.getresponse()
        body = get.read()
        assert (head.status, head.headers["Content-Type"]) == (get.status, get.headers["Content-Type"])
        if head.headers["Content-Length"] is not None and path != "/health":
            assert int(head.headers["Content-Length"]) == len(body)
    finally:
        connection.close()


def ask_as_browser(server: Served, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("path", "base"), [("/nothing", "./"), ("/k/a/b/c", "../../../"), ("/k/", "../")])
def test_an_unknown_address_is_the_pages_to_explain(server: Served, path: str, base: str) -> None:
    """A browser gets the page, with 404, and its files are found from there; a program gets JSON."""
    answer, body = ask_as_browser(server, path)
    assert answer.status == 404
    assert f'<base href="{base}">'.encode() in body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    answer, body = ask(server, path)
    assert answer.status == 404
    assert json.loads(body)["detail"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/web/none.js", "/files/notes/none.png", "/render/notes/none"]
)
def test_a_missing_file_is_no_page(server: Served, path: str) -> None:
    """Also where a browser asks: a picture or a script that is not there is not HTML."""
    answer, body = ask_as_browser(server, path)
    assert answer.status == 404
    assert b"<html" not in body


@pytest.mark.parametrize(
    ("path", "base"), [("/", "./"), ("/search?q=x", "./"), ("/k/notes", "../"), ("/k/a/b", "../../")]
)
def test_every_address_of_the_page_knows_its_root(server: Served, path: str, base: str) -> None:
    """The page's files and the API are found from any depth."""
    answer, body = ask_as_browser(server, path)
    assert answer.status == 200
    assert f'<base href="{base}">'.encode() in body


def test_a_file_that_the_browser_has_is_not_sent_again(server: Served) -> None:
    """An ETag: a reload asks, and is told that nothing changed."""
    answer, body = ask(server, "/web/app.js")
    assert body
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/web/app.js", headers={"If-None-Match": answer.headers["ETag"]})
    again = connection.getresponse()
    assert (again.status, again.read()) == (304, b"")
    connection.close()


def test_what_our_own_paths_begin_with_is_known(tmp_path: Path) -> None:
    """Else a sub-path of that name would be taken off twice: by the proxy, and by us."""
    (tmp_path / "kb").mkdir()
    app = create_app([tmp_path / "kb"], state_dir=tmp_path / "state")
    # The schema leaves out the page, the socket and itself.
    paths = [*app.openapi()["paths"], "/ws", "/openapi.json"]
    paths += [route.path for route in page.router.routes]  # type: ignore[attr-defined]
    first = {path.split("/")[1] for path in paths} - {""}
    assert first == OWN_SEGMENTS
