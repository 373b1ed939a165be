"""`GET /render`, `POST /render` and `GET /files` in the running app."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from declared import Description, codes_of
from harness.wait import eventually
from live_app import BASE_URL, client_of, make_app, make_kb, write_entry
from starlette.testclient import TestClient

from pyrite_watch import create_app

PNG = b"\x89PNG\r\n\x1a\nnot much of one"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two KBs; `notes` with links, pictures and what must not be had."""
    notes = make_kb(tmp_path / "kbs" / "notes", "a", "b", "c")
    make_kb(tmp_path / "kbs" / "work", "d")
    (notes / "sub").mkdir()
    (notes / "sub" / "deep.md").write_text("---\nid: deep\ntitle: A Deep One\n---\nUp: [a](../a.md#top)\n")
    write_entry(notes, "links", "[[a]] [[work:d]] [[none]] [[sub/deep]] [[A Deep One]] [x](sub/deep.md)")
    for path in ("pic.png", "sub/pic.PNG", ".hidden.png", "_templates/pic.png", "private/pic.png"):
        (notes / path).parent.mkdir(exist_ok=True)
        (notes / path).write_bytes(PNG)
    (notes / "evil.svg").write_bytes(SVG)
    (notes / ".pyriteignore").write_text("private/\nsecret-*\n")
    (notes / "secret-x.png").write_bytes(PNG)
    (notes / "text.txt").write_text("no picture")
    (tmp_path / "outside.png").write_bytes(PNG)
    (notes / "link.png").symlink_to(tmp_path / "outside.png")
    (notes / "linked").symlink_to(tmp_path)
    os.mkfifo(notes / "pipe.png")
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """The running app."""
    with client_of(make_app(folder), raise_server_exceptions=False) as client:
        yield client


def code_of(client: TestClient, method: str, url: str, **options: object) -> tuple[int, str]:
    answer = client.request(method, url, **options)  # type: ignore[arg-type]
    return answer.status_code, answer.json()["detail"]["code"]


def test_an_entry_is_rendered_with_its_links_resolved(client: TestClient) -> None:
    """By id, path and title, also in another KB and by a relative path; what is missing looks so."""
    answer = client.get("/render/notes/links")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Pyrite-Revision"] == client.get("/api/entries/links").json()["revision"]
    assert answer.headers["Pyrite-Position"] == client.get("/api/kbs").headers["Pyrite-Position"]
    assert answer.text.count('href="k/notes/deep"') == 3
    assert 'class="wikilink" data-kb="notes" data-id="a" href="k/notes/a"' in answer.text
    assert 'data-kb="work" data-id="d"' in answer.text
    assert 'class="wikilink missing" data-kb="notes" data-id="none"' in answer.text
    deep = client.get("/render/notes/deep").text
    assert 'data-id="a" href="k/notes/a#h-top"' in deep


def test_the_etag_is_that_of_the_answer(client: TestClient, folder: Path) -> None:
    """A link's target that comes changes it, though the entry does not."""
    first = client.get("/render/notes/links")
    again = client.get("/render/notes/links", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Pyrite-Revision"] == first.headers["Pyrite-Revision"]
    write_entry(folder / "kbs" / "notes", "none")
    client.post("/api/index/sync")
    now = client.get("/render/notes/links", headers={"If-None-Match": first.headers["ETag"]})
    assert now.status_code == 200
    assert "missing" not in now.text
    assert now.headers["Pyrite-Revision"] == first.headers["Pyrite-Revision"]


def test_a_preview_is_what_the_entry_will_be(client: TestClient) -> None:
    """The same fragment, from a body that is nowhere on the disk."""
    body = client.get("/api/entries/links").json()["body"]
    preview = client.post("/render/notes", json={"body": body, "path": "links.md"})
    assert preview.text == client.get("/render/notes/links").text
    assert client.post("/render/notes", json={"body": "[[none]]", "path": None}).status_code == 200
    assert client.post("/render/notes", json={}).status_code == 422


def test_what_is_not_there_is_told(client: TestClient) -> None:
    """In the contract's shape."""
    assert code_of(client, "GET", "/render/none/a") == (404, "KB_NOT_FOUND")
    assert code_of(client, "GET", "/render/notes/zzz") == (404, "NOT_FOUND")
    assert code_of(client, "POST", "/render/none", json={"body": ""}) == (404, "KB_NOT_FOUND")
    assert code_of(client, "GET", "/files/none/x.png") == (404, "KB_NOT_FOUND")


def test_a_preview_larger_than_an_entry_is_refused(folder: Path) -> None:
    """By the limit of entries."""
    with client_of(make_app(folder, max_entry_bytes=100)) as client:
        assert code_of(client, "POST", "/render/notes", json={"body": "x" * 101}) == (413, "TOO_BIG")


def test_a_preview_reads(folder: Path) -> None:
    """The read token and `--read-only` allow it; a page of another origin may not ask."""
    with client_of(make_app(folder, token="t0ken-t0ken", read_token="r0ken-r0ken", read_only=True)) as client:
        key = {"X-API-Key": "r0ken-r0ken"}
        assert client.post("/render/notes", json={"body": "x"}, headers=key).status_code == 200
        assert code_of(client, "POST", "/render/notes", json={"body": "x"}) == (401, "UNAUTHORIZED")
        foreign = {**key, "Origin": "https://example.com"}
        refused = code_of(client, "POST", "/render/notes", json={"body": "x"}, headers=foreign)
        assert refused == (403, "ORIGIN_NOT_ALLOWED")
        assert code_of(client, "POST", "/api/entries", json={}, headers=key) == (403, "READ_ONLY_TOKEN")


def test_an_unavailable_kb_is_rendered_from_the_index(client: TestClient, folder: Path) -> None:
    """Its pictures are not there meanwhile."""
    notes = folder / "kbs" / "notes"
    notes.rename(folder / "away")
    try:
        eventually(lambda: client.get("/render/notes/a").status_code == 200)
        assert code_of(client, "GET", "/files/notes/pic.png") == (503, "KB_UNAVAILABLE")
    finally:
        (folder / "away").rename(notes)


def test_a_picture_comes_with_its_type_and_no_rights(client: TestClient) -> None:
    """By its suffix in any case, never sniffed; an SVG may not run anything."""
    for path, media_type, data in (
        ("pic.png", "image/png", PNG),
        ("sub/pic.PNG", "image/png", PNG),
        ("evil.svg", "image/svg+xml", SVG),
    ):
        answer = client.get(f"/files/notes/{path}")
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["Content-Type"].partition(";")[0] == media_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy


def test_a_picture_is_sent_once(client: TestClient) -> None:
    """304 by either header; HEAD has no body."""
    first = client.get("/files/notes/pic.png")
    for name, value in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        again = client.get("/files/notes/pic.png", headers={name: first.headers[value]})
        assert (again.status_code, again.content) == (304, b"")
    head = client.head("/files/notes/pic.png")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(PNG))


@pytest.mark.parametrize(
    "path",
    [
        "none.png",
        "text.txt",
        "a.md",
        "kb.yaml",
        "sub",
        "sub/",
        ".hidden.png",
        "_templates/pic.png",
        "private/pic.png",
        "secret-x.png",
        "link.png",
        "linked/outside.png",
        "pipe.png",
        "%2e%2e/%2e%2e/outside.png",
        "sub%2f..%2f..%2f..%2foutside.png",
        "%2fetc%2fx.png",
        "sub//pic.PNG",
        "./pic.png%00.png",
        "x" * 300 + ".png",
    ],
)
def test_nothing_else_can_be_had(client: TestClient, path: str) -> None:
    """Not what is hidden, nor beyond a link or the root, nor any other kind of file."""
    assert code_of(client, "GET", f"/files/notes/{path}") == (404, "NOT_FOUND")


def test_a_picture_that_was_replaced_is_sent_anew(client: TestClient, folder: Path) -> None:
    """Also where the new file has the old one's time, as a copy that keeps times has."""
    old = folder / "kbs" / "notes" / "pic.png"
    first = client.get("/files/notes/pic.png")
    times = (old.stat().st_atime_ns, old.stat().st_mtime_ns)
    new = old.with_name("pic.new")
    new.write_bytes(PNG[:-1] + b"!")
    os.utime(new, ns=times)
    new.rename(old)
    again = client.get("/files/notes/pic.png", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (200, PNG[:-1] + b"!")


def test_a_knowledge_base_within_another_shows_its_own_pictures(tmp_path: Path) -> None:
    """They are not the outer one's, as its entries are not."""
    outer = make_kb(tmp_path / "kbs" / "outer", "a")
    inner = make_kb(outer / "inner", "b")
    (inner / "pic.png").write_bytes(PNG)
    app = create_app([outer, f"inner={inner}"], state_dir=tmp_path / "state")
    with client_of(app, raise_server_exceptions=False) as client:
        assert client.get("/files/inner/pic.png").status_code == 200
        assert code_of(client, "GET", "/files/outer/inner/pic.png") == (404, "NOT_FOUND")


def test_a_large_picture_is_not_read(client: TestClient, folder: Path) -> None:
    """It would be held in memory whole."""
    with (folder / "kbs" / "notes" / "huge.png").open("wb") as file:
        file.truncate(33 << 20)
    assert code_of(client, "GET", "/files/notes/huge.png") == (404, "NOT_FOUND")


CALLS = [
    ("GET", "/render/{kb}/{entry_id}", "/render/notes/a"),
    ("POST", "/render/{kb}", "/render/notes"),
    ("GET", "/files/{kb}/{path}", "/files/notes/pic.png"),
]


@pytest.mark.parametrize(("method", "path", "url"), CALLS)
def test_each_call_is_described(client: TestClient, folder: Path, method: str, path: str, url: str) -> None:
    """With every refusal that the door, an app that does not run and a wrong name can make of it."""
    description = Description(client.get("/openapi.json").json())
    operation = description.operations[method, path]
    assert operation["summary"]
    assert operation["description"]
    assert "Page" in operation["tags"]
    body = {"json": {"body": "x"}} if method == "POST" else {}
    answer = client.request(method, url, **body)  # type: ignore[arg-type]
    declared = operation["responses"]["200"]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] in declared["content"]
    for name, header in declared["headers"].items():
        assert name in answer.headers or not header.get("required")
    for headers, code in (
        ({"Host": "box.lan"}, "HOST_NOT_ALLOWED"),
        ({"Origin": "https://example.com"}, "ORIGIN_NOT_ALLOWED"),
        ({"Via": "1.1 proxy"}, "PROXY_WITHOUT_TOKEN"),
    ):
        told = description.check(method, path, client.request(method, url, headers=headers, **body))  # type: ignore[arg-type]
        assert told["detail"]["code"] == code
    elsewhere = url.replace("/notes", "/none")
    told = description.check(method, path, client.request(method, elsewhere, **body))  # type: ignore[arg-type]
    assert told["detail"]["code"] == "KB_NOT_FOUND"
    before = TestClient(make_app(folder / "other"), base_url=BASE_URL)
    told = description.check(method, path, before.request(method, url, **body))  # type: ignore[arg-type]
    assert told["detail"]["code"] == "NOT_RUNNING"
    for status, response in operation["responses"].items():
        if status not in ("200", "422"):
            assert codes_of(response), status
