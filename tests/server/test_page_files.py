"""The page's files over a real uvicorn, with paths exactly as they are sent."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from live_app import Served, make_app, served


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
