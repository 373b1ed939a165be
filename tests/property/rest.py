"""Writes through the API, each judged by the bytes on the disk before and after it."""

from __future__ import annotations

from urllib.parse import quote

from harness.reader import entry_paths, revision_of
from harness.record import Json

from property.product import Product


def create(product: Product, kb: str, entry_id: str, title: str) -> None:
    """Make an entry, or be refused for a reason that holds."""
    answer = product.api.request(
        "POST", "/api/entries", body={"kb": kb, "title": title, "id": entry_id, "body": "made"}
    )
    product.world.note(f"REST create {answer.status}")
    # 400: a rule hides where it would be.
    allowed = {503} if kb in product.world.away else {200, 409, 400}
    assert answer.status in allowed, f"{answer.status} {answer.body!r}"
    if answer.status == 200:
        _check_written(product, answer.json(), kb, "entry_created")


def change(product: Product, kb: str, number: int, what: str, condition: str) -> None:
    """PUT, PATCH or DELETE an entry that the index has, with or without If-Match; no edit may be lost."""
    known = sorted(product.api.state().of(kb).items())
    found = known[number % len(known)] if known else None
    if found is None:
        return
    entry_id, (path, revision) = found
    full = product.world.path(kb, path)
    before = full.read_bytes() if full.is_file() else None
    all_before = _all_bytes(product, kb)
    headers = {} if condition == "none" else {"If-Match": f'"{revision}"'}
    if condition == "a wrong one":
        headers = {"If-Match": f'"{revision_of(b"never")}"'}
    url = f"/api/entries/{quote(entry_id, safe='')}"
    body: Json | None = None
    if what == "DELETE":
        url += f"?kb={kb}"
    elif what == "PUT":
        body = {"kb": kb, "body": f"put {number}"}
    else:
        body = {"kb": kb, "field": "importance", "value": number % 10}
    answer = product.api.request(what, url, body=body, headers=headers)
    product.world.touch_path(kb, path)
    if answer.status == 200 and what != "DELETE":
        # Perhaps a new rule hides it, and the index does not know that yet.
        product.world.written.add((kb, path, answer.json()["revision"]))
    product.world.note(f"REST {what} {answer.status}")
    after = full.read_bytes() if full.is_file() else None
    if kb in product.world.away:
        assert answer.status == 503, f"{answer.status} {answer.body!r}"
    # 404 and 409: the disk is another than the index knew, and it learnt that first.
    assert answer.status in {200, 404, 409, 412, 503}, f"{answer.status} {answer.body!r}"
    if answer.status != 200:
        assert after == before, f"refused with {answer.status}, and {path} was changed"
        return
    assert condition != "a wrong one", "written in spite of If-Match"
    if condition != "none":
        # The entry may be in another file than the index knew: two that swapped names, or an heir with the
        # same bytes. Whichever was written held the revision that was asked for, and there was one.
        all_after = _all_bytes(product, kb)
        for other, content in all_before.items():
            if all_after.get(other) != content:
                assert revision_of(content) == revision, f"a lost edit: {other} was {content!r}"
        assert revision in map(revision_of, all_before.values()), f"{entry_id} was nowhere as {revision}"
    kind = "entry_deleted" if what == "DELETE" else "entry_updated"
    _check_written(product, answer.json(), kb, kind)


def _all_bytes(product: Product, kb: str) -> dict[str, bytes]:
    """Every file of a KB, hidden ones too; none while its root is away."""
    world = product.world
    paths = entry_paths(world.roots[kb]) if kb not in world.away else []
    return {path: full.read_bytes() for path in paths if (full := world.path(kb, path)).is_file()}


def _check_written(product: Product, answer: Json, kb: str, kind: str) -> None:
    """Its offset is that of its own event, of origin `api`; where nothing changed there is none."""
    offset = answer["offset"]
    page = product.api.get("/api/events/log", since=f"{product.epoch}:{offset - 1}", limit="1")
    event = page["events"][0]
    if kind == "entry_deleted" and event["type"] == "entry_updated":
        # A file that waited for the id has it now.
        assert event["entry_id"] == answer["id"], f"{answer}: {event}"
        assert "previous_path" in event, f"{answer}: {event}"
    elif event["entry_id"] == answer["id"] and event["kb_name"] == kb:
        assert event["revision"] == answer.get("revision"), f"{answer}: {event}"
        if event["origin"] == "api":
            assert event["type"] == kind, f"{answer}: {event}"
    else:
        assert kind == "entry_updated", f"{answer}: {event}"
