"""For everybody: axe-core on every view in both schemes, phone width, keys, less motion, print."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from harness.fixtures import make_small_kb
from harness.isolation import REPOSITORY
from playwright.sync_api import Locator, Page, expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.editing import TYPED, expect_conflict, type_text

AXE = Path("node_modules/axe-core/axe.min.js")
BODY = """A text with a [link](entry-2.md), a wikilink [[entry-3]], a missing one [[nowhere]], and `code`.

## A heading

| Part | Weight |
|---|---|
| Flour | 500 g |

- [x] done
- [ ] to do

> Quoted.

```python
print("a line that is long enough to scroll in its own box and not to push the page wider than a phone is")
```

<details><summary>More</summary>Folded.</details>

A note.[^1]

[^1]: At the end.
"""
SCHEMES: tuple[tuple[Literal["light", "dark"], dict[str, Any]], ...] = (
    ("light", {}),
    ("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}),
)
VIEWS = {
    "home": "/",
    "entries": "/k/small",
    "entry": "/k/small/entry-1",
    "absent": "/k/small/no-such-entry",
    "search": "/search?q=text",
    "problems": "/problems",
    "empty": "/k/empty",
    "unknown": "/k/small/x/y",
}


def axe_source() -> str:
    """axe-core as tests/run installed it from npm."""
    for folder in (os.environ.get("PYRITE_TEST_NPM"), REPOSITORY / ".venv-test" / "npm"):
        if folder and (Path(folder) / AXE).is_file():
            return (Path(folder) / AXE).read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed: tests/run installs it where there is npm")


@pytest.fixture
def everything(serve: Callable[..., Watch], home: Path) -> Watch:
    """Two KBs with something of everything: a full entry, a problem, an empty KB, activity."""
    small = make_small_kb(home / "notes" / "small")
    (small / "broken.md").write_text("---\ntitle: [broken\n---\n", encoding="utf-8")
    watch = serve(small, make_small_kb(home / "notes" / "empty", 0))
    watch.write("entry-1", BODY)
    watch.write("entry-2", "Text to [[entry-1]].")
    return watch


def shown(page: Page) -> Page:
    """Wait until a view is there, and live."""
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("…")
    expect(page.locator("main")).not_to_contain_text("Loading…")
    return page


def faults(page: Page) -> list[str]:
    """What axe-core finds in the page as it is: by all its rules in the light scheme, by those of
    colours in the dark one, which changes nothing else."""
    found: list[str] = []
    for scheme, only in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        told = page.evaluate(
            """(only) => axe.run(document, {resultTypes: ['violations'], ...only}).then(
              ({violations}) => violations.map(({id, help, nodes}) => `${id}: ${help}: ` +
                nodes.slice(0, 3).map(({html, any}) => `${html} ${any[0]?.message ?? ''}`).join(' | ')))""",
            only,
        )
        found += [f"{scheme}: {fault}" for fault in told]
    return found


def test_axe_finds_nothing_in_any_view(everything: Watch, pages_of: Callable[[str], Pages]) -> None:
    """No view has a fault that axe-core knows, in either scheme; nor has a page that lost its server."""
    source = axe_source()
    open_page = pages_of(everything.url)
    open_page.expect_complaint("404")
    open_page.expect_complaint(SERVER_GONE)
    page = open_page("/")
    for name, path in VIEWS.items():
        page.goto(everything.url + path)
        shown(page)
        page.evaluate(source)
        assert faults(page) == [], name
    page.goto(everything.url + VIEWS["entry"])
    shown(page)
    page.evaluate(source)
    everything.write("entry-1", BODY.replace("Quoted", "Changed"))
    bar = page.locator(".gutter button")
    expect(bar).to_have_count(1)
    bar.click()
    assert faults(page) == [], "with a change"
    page.keyboard.press("Escape")
    (everything.kb / "entry-1.md").unlink()
    expect(page.locator("article")).to_contain_text("This entry was deleted")
    assert faults(page) == [], "deleted"
    everything.stop()
    expect(page.locator("#notice")).to_be_visible()
    assert faults(page) == [], "server gone"


def states(page: Page, watch: Watch) -> Iterator[str]:
    """Bring a page into what is more than a view: of each the name, while it is there."""

    def button(name: str) -> Locator:
        return page.get_by_role("button", name=name, exact=True)

    page.goto(f"{watch.url}/k/small/entry-1")
    shown(page)
    button("Edit").click()
    expect(page.get_by_label("Body", exact=True)).to_be_editable()
    type_text(page)
    expect(page.locator(".editor .note")).to_have_text("Draft kept")
    button("Preview").click()
    expect(page.locator(".preview")).to_contain_text(TYPED)
    yield "editor"
    watch.write("entry-1", BODY.replace("Quoted", "Changed"))
    expect_conflict(page)
    yield "conflict"
    button("Compare").click()
    expect(page.locator(".compare ins").first).to_be_visible()
    yield "compared"
    button("Load from disk").click()
    expect(page.locator("#toasts").get_by_role("button", name="Undo")).to_be_visible()
    yield "toast with a button"
    button("Cancel").click()
    button("Edit").click()
    expect(button("Restore draft")).to_be_visible()
    yield "draft offered"
    button("Cancel").click()
    button("Delete").click()
    expect(page.get_by_role("dialog", name="Delete this entry?")).to_be_visible()
    yield "delete"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    yield "help"
    page.keyboard.press("Escape")
    page.get_by_role("link", name="small", exact=True).click()
    button("New entry").click()
    page.get_by_role("dialog").get_by_label("Title", exact=True).fill("Of what is new")
    page.keyboard.press("Escape")
    button("New entry").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Restore")).to_be_visible()
    yield "new entry, with a draft"
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    watch.write("entry-3", "Held.")
    expect(page.locator("#held")).to_have_text("1 held")
    yield "paused"
    page.keyboard.press("p")
    shown(page)
    watch.stop()
    watch.write("entry-4", "Meanwhile.")
    watch.start()
    toast = page.locator("#toasts", has_text="While you were away")
    toast.get_by_role("button", name="Show").click()
    expect(page.locator("#activity .away li")).to_have_count(1)
    yield "away"


def test_axe_finds_nothing_while_one_works(everything: Watch, pages_of: Callable[[str], Pages]) -> None:
    """Nor in the editor, a conflict, a dialog, a toast, while paused, or in what came while one was away."""
    source = axe_source()
    open_page = pages_of(everything.url)
    open_page.expect_complaint(SERVER_GONE)
    page = open_page(goto=False)
    for name in states(page, everything):
        page.evaluate(source)
        assert faults(page) == [], name


def test_nothing_one_works_with_is_wider_than_a_phone(
    everything: Watch, pages_of: Callable[[str], Pages]
) -> None:
    """Nor does any of that scroll sideways."""
    open_page = pages_of(everything.url)
    open_page.expect_complaint(SERVER_GONE)
    page = open_page(goto=False, viewport={"width": 360, "height": 700})
    for name in states(page, everything):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_nothing_is_wider_than_a_phone(everything: Watch, pages_of: Callable[[str], Pages]) -> None:
    """At 360 pixels no view scrolls sideways."""
    open_page = pages_of(everything.url)
    open_page.expect_complaint("404")
    page = open_page("/", viewport={"width": 360, "height": 700})
    for name, path in VIEWS.items():
        page.goto(everything.url + path)
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_less_motion_means_none(watch: Watch, open_page: Pages) -> None:
    """Where less motion is wished, a change has its bar and no animation."""
    page = shown(open_page("/k/small/entry-1", reduced_motion="reduce"))
    expect(page.locator(".body")).to_have_text("Text 1.")
    watch.write("entry-1", "Changed.")
    expect(page.locator(".gutter button")).to_have_count(1)
    assert page.evaluate("document.getAnimations().length") == 0


def test_all_can_be_reached_by_keys(open_page: Pages) -> None:
    """The skip link comes first; `/` goes to the search, `j` and `k` along the list, Enter opens."""
    page = shown(open_page("/k/small"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    second = page.locator("main [data-id]").nth(1)
    expect(second.locator("a")).to_be_focused()
    entry_id = second.get_attribute("data-id")
    page.keyboard.press("Enter")
    expect(page.locator("article")).to_have_attribute("data-id", str(entry_id))
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()


def test_an_event_never_moves_the_focus(open_page: Pages, watch: Watch) -> None:
    """What has the focus in a list keeps it while its row moves, and another comes before it."""
    page = shown(open_page("/k/small"))
    page.locator("main [data-id=entry-3] a").focus()
    watch.write("entry-5", "First now.")
    expect(page.locator("main [data-id]").first).to_have_attribute("data-id", "entry-5")
    expect(page.locator("main [data-id=entry-3] a")).to_be_focused()


def test_print_shows_the_text_alone(open_page: Pages) -> None:
    """On paper there are the entry's title and text, without buttons and search."""
    page = shown(open_page("/k/small/entry-1"))
    page.emulate_media(media="print")
    expect(page.locator(".body")).to_be_visible()
    expect(page.get_by_role("button", name="Edit")).to_be_hidden()
    expect(page.get_by_role("searchbox")).to_be_hidden()
