"""The page as people reach it who are not on this machine: by https, below a path, by a plain name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.api import Api
from harness.wait import eventually
from playwright.sync_api import expect

from browser.browser import Pages, Watch
from browser.follower import Follower, offset_of
from browser.proxy import Proxy, make_certificate
from browser.test_live_resume import written

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize("takes_off", [True, False], ids=["the path taken off", "the path kept"])
def test_everything_works_on_https_below_a_path(
    serve: Callable[..., Watch],
    pages_of: Callable[[str], Pages],
    small_kb: Path,
    tmp_path: Path,
    takes_off: bool,
) -> None:
    """Lists, links, pictures, the shared socket, an edit by a file and one by the page, a reload, back."""
    (small_kb / "dot.png").write_bytes(PIXEL)
    with Proxy("/notes", takes_off, make_certificate(tmp_path)) as proxy:
        watch = serve(small_kb, options=["--public-url", f"{proxy.url}/", "--port", str(proxy.target)])
        api = Api(f"http://127.0.0.1:{proxy.target}")
        watch.write("entry-1", "See [two](entry-2.md), [[entry-3]] and ![a dot](dot.png).")
        open_page = pages_of(proxy.url)
        context = open_page.new_context(ignore_https_errors=True)
        page = open_page("/", context=context)
        expect(page.locator("#status")).to_contain_text("Live")
        assert page.evaluate("isSecureContext && Boolean(navigator.locks)")
        page.get_by_role("link", name="small", exact=True).click()
        page.locator("[data-id=entry-1] a").first.click()
        expect(page.locator(".body a[data-id=entry-2]")).to_be_visible()
        assert page.url == f"{proxy.url}/k/small/entry-1"
        picture = page.get_by_role("img", name="a dot")
        eventually(lambda: picture.evaluate("(image) => image.naturalWidth") == 1, what="the picture")
        second = open_page("/k/small/entry-2", context=context)
        expect(second.locator("#status")).to_contain_text("Live")
        expect(second.locator(".linked [data-id=entry-1]")).to_be_visible()
        eventually(lambda: api.get("/health")["connections"] == 1, what="one connection for both tabs")
        watch.write("entry-2", "Written by an editor.")
        expect(second.locator(".body")).to_have_text("Written by an editor.")
        second.get_by_role("button", name="Edit").click()
        second.get_by_label("Body").fill("Written by the page.")
        second.get_by_role("button", name="Save").click()
        eventually(lambda: "Written by the page." in (small_kb / "entry-2.md").read_text(), what="the save")
        expect(second.locator(".body")).to_have_text("Written by the page.")
        second.reload()
        expect(second.locator(".body")).to_have_text("Written by the page.")
        page.locator(".body a[data-id=entry-3]").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Title of entry-3")
        page.go_back()
        expect(page.locator(".body a[data-id=entry-2]")).to_be_visible()
        assert proxy.strays == []


def test_a_plain_name_is_no_secure_context_and_works_all_the_same(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """Another machine's name without https: no Web Locks. The tabs share a socket, and drafts are kept."""
    watch = serve(small_kb, options=["--allow-host", "notes.test"])
    open_page = pages_of(watch.url.replace("127.0.0.1", "notes.test"))
    page = open_page("/k/small/entry-1")
    assert page.evaluate("!isSecureContext && !navigator.locks")
    expect(page.locator("#status")).to_contain_text("Live")
    since = watch.process.position
    after = offset_of(since)
    tabs = [Follower(open_page, since=since) for _ in range(2)]
    for tab in tabs:
        tab.wait_live()
    eventually(lambda: watch.connections == 1, what="one connection for all tabs")
    last = written(watch, "entry-1", "For all.")
    for tab in tabs:
        tab.wait_offset(last)
        tab.check_dense(after, last)
    expect(page.locator(".body")).to_have_text("For all.")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Body").fill("Not saved yet.")
    expect(page.locator(".editor .note")).to_contain_text("Draft kept")
    page.reload()
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Restore draft").click()
    expect(page.get_by_label("Body")).to_have_value("Not saved yet.")
    for tab in tabs:
        tab.page.close()
    page.close()
    eventually(lambda: watch.connections == 0, what="no connection without a tab")
