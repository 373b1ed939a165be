"""Saving: one's own save is no news, and changes no byte on disk that was not typed."""

from __future__ import annotations

import pytest
from harness.wait import eventually
from playwright.sync_api import Page, Request, Route, expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.editing import (
    TYPED,
    await_draft,
    await_saved,
    body_of,
    drafts_in,
    expect_conflict,
    expect_no_conflict,
    held,
    open_editor,
    press,
    type_text,
)


def writes_of(page: Page) -> list[Request]:
    """The writes that a page sends from now on."""
    sent: list[Request] = []

    def note(request: Request) -> None:
        if request.method in ("PUT", "POST", "PATCH") and "/api/entries" in request.url:
            sent.append(request)

    page.on("request", note)
    return sent


def test_save_writes_the_text_closes_and_drops_the_draft(watch: Watch, open_page: Pages) -> None:
    """Saved text is on disk, the editor closes, no draft is left, nobody is told of a change elsewhere."""
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    assert drafts_in(page) == []
    revision = watch.api.entry("small", "entry-1")["revision"]
    expect(page.locator(f"article[data-revision='{revision}']")).to_be_visible()


def test_a_save_by_key_goes_on_typing(watch: Watch, open_page: Pages) -> None:
    """Ctrl+S saves and stays open; the next save starts from the revision of the first."""
    page = open_editor(open_page)
    for turn in ("one", "two", "three"):
        type_text(page, f" {turn}")
        page.keyboard.press("Control+s")
        await_saved(watch.kb / "entry-1.md", f" {turn}")
        expect(page.get_by_text("Saved", exact=True)).to_be_visible()
        expect_no_conflict(page)
    assert body_of(page) == "Text 1. one two three"


def test_the_event_of_a_save_may_overtake_its_answer(watch: Watch, open_page: Pages) -> None:
    """Where the answer is late and the event is there already, the editor waits and asks nothing."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        page.keyboard.press("Control+s")
        await_saved(watch.kb / "entry-1.md", TYPED)
        # The event reached the page: the revision of what it shows beside the editor is the new one.
        eventually(lambda: page.evaluate("1") and watch.api.entry("small", "entry-1")["body"].endswith(TYPED))
        type_text(page, " More.")
        expect_no_conflict(page)
        let()
    expect_no_conflict(page)
    await_draft(page, " More.")
    page.keyboard.press("Control+s")
    await_saved(watch.kb / "entry-1.md", TYPED + " More.")
    expect_no_conflict(page)


def test_a_change_behind_an_unanswered_save_is_a_conflict(watch: Watch, open_page: Pages) -> None:
    """Somebody writes after one's own save and before its answer: that is news, and is asked."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        page.keyboard.press("Control+s")
        await_saved(watch.kb / "entry-1.md", TYPED)
        watch.write("entry-1", "Theirs.")
        eventually(lambda: watch.api.entry("small", "entry-1")["body"] == "Theirs.")
        type_text(page, " More.")
        let()
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED + " More."


def test_what_is_typed_while_a_save_runs_stays(watch: Watch, open_page: Pages) -> None:
    """The Save button leaves the editor open where more was typed meanwhile, and keeps that as a draft."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        press(page, "Save")
        type_text(page, " More.")
        let()
    await_saved(watch.kb / "entry-1.md", TYPED)
    await_draft(page, " More.")
    assert body_of(page) == "Text 1." + TYPED + " More."
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", " More.")
    expect_no_conflict(page)


def test_a_double_click_on_save_writes_once(watch: Watch, open_page: Pages) -> None:
    """Two clicks in a row are one write, and one event."""
    page = open_editor(open_page)
    type_text(page)
    sent = writes_of(page)
    start = len(watch.process.events)
    page.get_by_role("button", name="Save", exact=True).dblclick(delay=0)
    await_saved(watch.kb / "entry-1.md", TYPED)
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    assert len(sent) == 1
    told = [event["type"] for event in watch.process.events[start:] if event["entry_id"] == "entry-1"]
    assert told == ["entry_updated"]


def test_only_what_was_changed_is_sent(watch: Watch, open_page: Pages) -> None:
    """A new body sends no title, a new title no body, and both name the revision they began from."""
    page = open_editor(open_page)
    revision = watch.api.entry("small", "entry-1")["revision"]
    sent = writes_of(page)
    page.get_by_label("Title", exact=True).fill("Another title")
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", "Another title")
    eventually(lambda: page.evaluate("1") and sent)
    assert sent[0].post_data_json == {"kb": "small", "title": "Another title"}
    assert sent[0].headers["if-match"] == f'"{revision}"'


def test_line_ends_front_matter_and_comments_stay(watch: Watch, open_page: Pages) -> None:
    """One word typed into a CRLF file with unknown keys and comments changes the bytes of that word only."""
    file = watch.kb / "entry-1.md"
    before = (
        b"---\r\nid: entry-1\r\n# a comment\r\ntitle: 'Old'   # of the title\r\n"
        b"odd_key: {b: 1,   a: 2}\r\n---\r\n\r\n"
        b"First line.\r\n\r\nThe word here.\r\n\tLast line.  \r\n"
    )
    file.write_bytes(before)
    eventually(lambda: watch.api.entry("small", "entry-1")["title"] == "Old")
    page = open_editor(open_page)
    body = page.get_by_label("Body", exact=True)
    body.evaluate("a => { const at = a.value.indexOf('word'); a.focus(); a.setSelectionRange(at, at + 4); }")
    page.keyboard.type("phrase")
    press(page, "Save")
    expect(body).to_have_count(0)
    assert file.read_bytes() == before.replace(b"word", b"phrase")


def test_lone_carriage_returns_stay(watch: Watch, open_page: Pages) -> None:
    """Line ends that a text area cannot hold come back as they were, in the lines that stay."""
    file = watch.kb / "entry-1.md"
    before = b"---\nid: entry-1\n---\n\nold\rmac\rlines\nand an end\n"
    file.write_bytes(before)
    eventually(lambda: watch.api.entry("small", "entry-1")["body"].startswith("old"))
    page = open_editor(open_page)
    expect(page.get_by_label("Body", exact=True)).to_have_value("old\nmac\nlines\nand an end")
    type_text(page, "ing")
    press(page, "Save")
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    assert file.read_bytes() == before.replace(b"end", b"ending")


def test_a_save_that_changes_nothing_writes_nothing(watch: Watch, open_page: Pages) -> None:
    """Save without a change closes the editor; no call, no event."""
    page = open_editor(open_page)
    sent = writes_of(page)
    press(page, "Save")
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    assert sent == []


def test_a_server_that_is_gone_keeps_the_text(watch: Watch, open_page: Pages) -> None:
    """Save without a server says so, keeps text and draft, and succeeds at the next click when it is back."""
    open_page.expect_complaint(SERVER_GONE)
    page = open_editor(open_page)
    type_text(page)
    watch.kill()
    press(page, "Save")
    expect(page.get_by_role("form").get_by_text("the server does not answer")).to_be_visible()
    assert body_of(page) == "Text 1." + TYPED
    await_draft(page)
    watch.start()
    expect(page.get_by_role("status")).to_contain_text("Live")
    expect_no_conflict(page)
    assert TYPED not in (watch.kb / "entry-1.md").read_text(encoding="utf-8")
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_save_whose_answer_was_lost_is_no_conflict(watch: Watch, open_page: Pages) -> None:
    """The server wrote and died before it answered: when it is back, the text is simply saved."""
    open_page.expect_complaint(SERVER_GONE)
    open_page.expect_complaint("ERR_FAILED")
    page = open_editor(open_page)
    type_text(page)
    lost: list[int] = []

    def lose(route: Route) -> None:
        if route.request.method != "PUT":
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/api/entries/**", lose)
    page.keyboard.press("Control+s")
    eventually(lambda: page.evaluate("1") and lost == [200])
    page.unroute("**/api/entries/**", lose)
    expect_no_conflict(page)
    eventually(lambda: not drafts_in(page), what="the draft goes, as the text is on disk")
    type_text(page, " More.")
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED + " More.")


def test_a_change_while_the_server_was_killed_is_found(watch: Watch, open_page: Pages) -> None:
    """`kill -9`, a change, a new start: the typed text stays and the change is asked about."""
    open_page.expect_complaint(SERVER_GONE)
    page = open_editor(open_page)
    type_text(page)
    watch.kill()
    watch.write("entry-1", "Changed without a server.")
    watch.start()
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_new_epoch_looks_again(watch: Watch, open_page: Pages) -> None:
    """A server that begins its log anew tells no events: the editor compares with the disk by itself."""
    open_page.expect_complaint(SERVER_GONE)
    page = open_editor(open_page)
    type_text(page)
    watch.stop()
    watch.write("entry-1", "Changed without a server.")
    watch.start(state_dir=watch.state_dir.with_name("other"))
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED


def test_changes_of_others_are_no_matter(watch: Watch, open_page: Pages) -> None:
    """Entries created, changed and deleted beside it, and a sync, leave the text and ask nothing."""
    page = open_editor(open_page)
    type_text(page)
    watch.write("entry-new", "New.")
    watch.write("entry-2", "Changed.")
    (watch.kb / "entry-3.md").unlink()
    watch.api.request("POST", "/api/index/sync")
    watch.process.wait_for(lambda message: message["type"] == "entry_deleted")
    watch.write("entry-4", "Last.")
    watch.process.wait_for(lambda message: message.get("entry_id") == "entry-4")
    expect_no_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_root_that_vanishes_keeps_the_text(watch: Watch, open_page: Pages) -> None:
    """The KB's folder goes away: the save is refused in words, and works when the folder is back."""
    open_page.expect_complaint("503|404|412|409")
    page = open_editor(open_page)
    type_text(page)
    away = watch.kb.with_name("away")
    watch.kb.rename(away)
    watch.process.wait_for(lambda message: message.get("available") is False)
    press(page, "Save")
    expect(page.get_by_role("form").get_by_text("Not saved:")).to_be_visible()
    assert body_of(page) == "Text 1." + TYPED
    away.rename(watch.kb)
    watch.process.wait_for(lambda message: message.get("available") is True)
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_file_that_cannot_be_read_is_not_written_over(watch: Watch, open_page: Pages) -> None:
    """Broken front matter on disk: the save is refused in words, text and file stay."""
    open_page.expect_complaint("409|412")
    page = open_editor(open_page)
    type_text(page)
    file = watch.kb / "entry-1.md"
    file.write_text("---\ntitle: [broken\n---\n\nText 1.\n", encoding="utf-8")
    eventually(watch.api.problems)
    press(page, "Save")
    expect(page.get_by_role("form").get_by_text("Not saved:")).to_be_visible()
    assert body_of(page) == "Text 1." + TYPED
    assert "[broken" in file.read_text(encoding="utf-8")
    await_draft(page)


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        (401, {"code": "UNAUTHORIZED", "message": "x"}, "wants a token"),
        (403, {"code": "READ_ONLY", "message": "It is read-only."}, "It is read-only."),
        (422, [{"msg": "The body is odd.", "loc": ["body"]}], "The body is odd."),
        (503, {"code": "INDEX_BUSY", "message": "Busy.", "hint": "Try again."}, "Busy. Try again."),
        (500, None, "answered 500"),
    ],
    ids=["401", "403", "422", "503", "500"],
)
def test_a_refusal_is_told_in_words(open_page: Pages, status: int, detail: object, words: str) -> None:
    """Whatever the server refuses with, the page says in words, and keeps text and draft."""
    open_page.expect_complaint("Failed to load resource")
    page = open_editor(open_page)
    type_text(page)

    def refuse(route: Route) -> None:
        if route.request.method == "PUT":
            route.fulfill(status=status, json={"detail": detail})
        else:
            route.continue_()

    page.route("**/api/entries/**", refuse)
    press(page, "Save")
    expect(page.get_by_role("form").get_by_text(words)).to_be_visible()
    assert body_of(page) == "Text 1." + TYPED
    await_draft(page)


def test_the_preview_shows_what_is_typed(watch: Watch, open_page: Pages) -> None:
    """Preview renders the text as the page will, and follows the typing, without a write."""
    page = open_editor(open_page)
    before = (watch.kb / "entry-1.md").read_bytes()
    page.get_by_label("Body", exact=True).fill("## A heading")
    press(page, "Preview")
    preview = page.get_by_role("group", name="Preview")
    expect(preview.get_by_role("heading", name="A heading")).to_be_visible()
    type_text(page, " that grows")
    expect(preview.get_by_role("heading", name="A heading that grows")).to_be_visible()
    assert (watch.kb / "entry-1.md").read_bytes() == before


def test_what_was_saved_reads_otherwise_and_is_no_draft(watch: Watch, open_page: Pages) -> None:
    """Bug: after a save and a reconnect the title that the heading gave counted as typed, and the next save
    wrote the old one into the file; so did white space at the end of the body."""
    open_page.expect_complaint(SERVER_GONE)
    file = watch.kb / "headed.md"
    file.write_text("# Foo\n\nText.\n", encoding="utf-8")
    eventually(lambda: watch.api.entry("small", "headed")["title"] == "Foo")
    page = open_editor(open_page, "/k/small/headed")
    page.get_by_label("Body", exact=True).fill("# Bar\n\nText.\n\n")
    page.keyboard.press("Control+s")
    await_saved(file, "# Bar")
    watch.restart()
    expect(page.get_by_role("status")).to_contain_text("Live")
    expect(page.get_by_label("Title", exact=True)).to_have_value("Bar")
    type_text(page, "More.")
    page.keyboard.press("Control+s")
    assert "title:" not in await_saved(file, "More.")
    press(page, "Cancel")
    eventually(lambda: not drafts_in(page))


def test_a_title_of_two_lines_is_not_typed(watch: Watch, open_page: Pages) -> None:
    """Bug: a field of one line drops the line end, and that counted as a change of the title."""
    file = watch.kb / "two.md"
    file.write_text('---\nid: two\ntitle: "Foo\\nBar"\n---\n\nText.\n', encoding="utf-8")
    eventually(lambda: "two" in {entry["id"] for entry in watch.api.get("/api/entries")["entries"]})
    page = open_editor(open_page, "/k/small/two")
    type_text(page)
    press(page, "Save")
    assert 'title: "Foo\\nBar"' in await_saved(file, TYPED)


def test_the_focus_comes_back_to_edit(watch: Watch, open_page: Pages) -> None:
    """Bug: it fell out of the page when the editor closed."""
    page = open_editor(open_page)
    press(page, "Cancel")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_focused()
