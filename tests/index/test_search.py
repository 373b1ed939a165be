"""Search: text taken literally, marks that cannot be forged, the best first, only what is shown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from index_builders import change

from pyrite_watch.index import search
from pyrite_watch.index.excerpt import EXCERPT_WORDS
from pyrite_watch.index.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two KBs with a few entries, for tests that only read."""
    with closing(Store(tmp_path_factory.mktemp("state"), ["garden", "work"], "boot")) as opened:
        opened.name_kbs()
        opened.complete_first_pass(["garden", "work"])
        change(
            opened,
            "garden",
            {
                "mulch.md": note("mulch", "Mulch", "Straw or leaves. Copper keeps slugs off.", tags="[soil]"),
                "copper.md": note("copper", "Copper", "A metal.", importance=7, date="2024-05-06"),
                "cafe.md": note("cafe", "Café au lait", "A well-known drink; NOT tea, AND NEAR nothing."),
                "quoted.md": note("quoted", "Quotes", 'He said "hello world" to O\'Brien.'),
            },
        )
        change(
            opened, "work", {"saw.md": note("saw", "Saw", "Copper rivets in its handle.", tags="[tool, é]")}
        )
        yield opened


def note(entry_id: str, title: str, body: str, **front: Any) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in front.items())
    return f"---\nid: {entry_id}\ntitle: {json.dumps(title)}\n{lines}---\n{body}"


def find(store: Store, text: str, kb: str | None = None, limit: int = 20) -> list[str]:
    return [hit["id"] for hit in search.load_hits(store.connection, text, kb, limit)]


def snippet(store: Store, text: str) -> str:
    (hit,) = search.load_hits(store.connection, text, None, 20)
    found: str = hit["snippet"]
    return found


def is_safe(found: str) -> bool:
    """Whether nothing but pairs of marks is markup."""
    plain = re.sub(r"<mark>([^<>]*)</mark>", r"\1", found)
    return not set("<>\"'") & set(plain) and html.escape(html.unescape(plain)) == plain


def test_a_hit_has_the_fields_of_pyrite(store: Store) -> None:
    """And `date` and `importance`, which Pyrite gives too."""
    (hit,) = search.load_hits(store.connection, "metal", None, 20)
    assert hit == {
        "id": "copper",
        "kb_name": "garden",
        "entry_type": "note",
        "title": "Copper",
        "snippet": "A <mark>metal</mark>.",
        "tags": [],
        "date": "2024-05-06",
        "importance": 7,
    }


def test_every_word_must_be_there_in_any_order(store: Store) -> None:
    """Also across title, body and tags."""
    assert find(store, "slugs copper") == ["mulch"]
    assert find(store, "soil MULCH straw") == ["mulch"]
    assert find(store, "slugs rivets") == []


def test_case_and_accents_do_not_count(store: Store) -> None:
    """Nobody types them in a search box."""
    assert find(store, "CAFE") == find(store, "café") == ["cafe"]


@pytest.mark.parametrize("text", ["NOT tea", "tea AND drink", "AND NEAR", "tea NOT drink"])
def test_operators_are_words(store: Store, text: str) -> None:
    """`tea NOT drink` finds the entry that has all three."""
    assert find(store, text) == ["cafe"]


@pytest.mark.parametrize("text", ["copper OR metal", "title:metal", "body : metal", "^metal x", "met* a"])
def test_no_character_is_an_operator(store: Store, text: str) -> None:
    """Each of these would find the metal if it were FTS5's language."""
    assert find(store, text) == []


def test_punctuation_joins_a_phrase(store: Store) -> None:
    """Quotes in the text are doubled, and apostrophes are nothing special."""
    assert find(store, "well-known") == ["cafe"]
    assert find(store, "known-well") == []
    assert find(store, '"hello world"') == find(store, "O'Brien") == find(store, 'said"hello') == ["quoted"]


@pytest.mark.parametrize("text", ["", "   ", "\0", '"', "***", "!! ??", "()", "-", "\ud800"])
def test_no_word_finds_nothing(store: Store, text: str) -> None:
    """And is no error."""
    assert find(store, text) == []


def test_punctuation_alone_is_no_condition(store: Store) -> None:
    """`copper - rivets` is two words."""
    assert find(store, "copper - rivets ) ") == ["saw"]


def test_the_last_word_is_a_beginning_only_where_none_has_it_whole(store: Store) -> None:
    """A search box finds while one types; who typed a whole word gets that word."""
    assert find(store, "a met") == ["copper"]
    assert find(store, "met a") == []
    assert find(store, "riv") == ["saw"]
    # "o" is a word of its own (O'Brien), and not the beginning of "or" and "off".
    assert find(store, "o") == ["quoted"]
    assert find(store, "r") == []
    # What ends with a sign is no beginning: a star is text.
    assert find(store, "riv*") == []


@pytest.mark.parametrize("count", [65, 5_000])
def test_a_long_text_is_no_error(store: Store, count: int) -> None:
    """FTS5 refuses expressions that are too deep: words past the limit are left out."""
    assert find(store, "copper " * count) != []
    words = " ".join(f"w{number}" for number in range(count))
    assert search.match_expression(words).count("w") == search.MAX_WORDS
    assert find(store, words) == []
    assert find(store, "a-" * count + "a") == []


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.text("\"*^:()+-{}[]\\'\0 ANDORTNEAR,cope"))
@example('"copper" NEAR(')
@example('copper" OR "metal')
@example("\0copper")
def test_any_text_is_answered(store: Store, text: str) -> None:
    """No input is a syntax error, and what is found has every word of it."""
    for hit in search.load_hits(store.connection, text, None, 20):
        assert is_safe(hit["snippet"]), hit["snippet"]


def test_the_title_weighs_more_then_kb_and_id_decide(store: Store) -> None:
    """Equal scores have an order, so that two answers are the same."""
    assert find(store, "copper")[0] == "copper"
    assert set(find(store, "copper")) == {"copper", "mulch", "saw"}


def test_equal_scores_go_by_kb_and_id(tmp_path: Path) -> None:
    """Whatever the order in which they were written."""
    with closing(Store(tmp_path, ["b", "a"], "boot")) as store:
        store.name_kbs()
        store.complete_first_pass(["b", "a"])
        for kb, entry_id in (("b", "2"), ("b", "1"), ("a", "4"), ("a", "3")):
            change(store, kb, {f"{entry_id}.md": note(f"n{entry_id}", "Same", "Same text.")})
        assert find(store, "text") == ["n3", "n4", "n1", "n2"]
        assert find(store, "text", limit=2) == ["n3", "n4"]


def test_one_kb_only(store: Store) -> None:
    """`kb` narrows it down."""
    assert find(store, "copper", "work") == ["saw"]


def test_a_hidden_kb_is_not_found(tmp_path: Path) -> None:
    """One that is no longer named keeps its entries, unseen."""
    for names, expected in ((["a", "b"], ["one", "two"]), (["a"], ["one"])):
        with closing(Store(tmp_path, names, "boot")) as store:
            store.name_kbs()
            store.complete_first_pass(names)
            if len(names) == 2:
                change(store, "a", {"one.md": note("one", "One", "shared")})
                change(store, "b", {"two.md": note("two", "Two", "shared")})
            assert find(store, "shared") == expected


def test_what_changed_or_went_is_found_no_more(tmp_path: Path) -> None:
    """The text index goes with the entries, in one transaction."""
    with closing(Store(tmp_path, ["a"], "boot")) as store:
        store.name_kbs()
        store.complete_first_pass(["a"])
        change(store, "a", {"x.md": note("x", "X", "before"), "y.md": note("y", "Y", "before")})
        change(store, "a", {"x.md": note("x", "X", "after"), "y.md": None})
        assert find(store, "before") == []
        assert find(store, "after") == ["x"]


def test_a_snippet_is_the_body_around_the_hits(store: Store) -> None:
    """Where only the title has them, the title; else the beginning."""
    assert snippet(store, "slugs") == "Straw or leaves. Copper keeps <mark>slugs</mark> off."
    assert snippet(store, "lait") == "Café au <mark>lait</mark>"
    assert snippet(store, "tool") == "Copper rivets in its handle."
    assert snippet(store, "hello") == ("He said &quot;<mark>hello</mark> world&quot; to O&#x27;Brien.")


def test_a_long_body_is_cut(tmp_path: Path) -> None:
    """A few words around the hit, and dots where there is more."""
    with closing(Store(tmp_path, ["a"], "boot")) as store:
        store.name_kbs()
        store.complete_first_pass(["a"])
        change(store, "a", {"x.md": note("x", "X", "left " * 500 + "needle " + "right " * 500)})
        found = snippet(store, "needle")
        assert "<mark>needle</mark>" in found
        assert found.startswith("…")
        assert found.endswith("…")
        assert len(found.split()) <= EXCERPT_WORDS + 2


def long_store(folder: Path, body: str, title: str = "X") -> Store:
    store = Store(folder, ["a"], "boot")
    store.name_kbs()
    store.complete_first_pass(["a"])
    change(store, "a", {"x.md": note("x", title, body)})
    return store


@pytest.mark.timeout(15)
@pytest.mark.parametrize("text", ["x", "x " * 64, "x-x"])
def test_many_hits_in_one_entry_do_not_hold_a_search_up(tmp_path: Path, text: str) -> None:
    """FTS5 weighs each against each: of 44,000 it made half a minute."""
    with closing(long_store(tmp_path, "x " * 50_000)) as store:
        found = snippet(store, text)
        assert found.startswith("<mark>x")
        assert found.endswith("…")
        assert len(found.split()) <= EXCERPT_WORDS + 1


LEFT, RIGHT = "left and " * 3_000, "right and " * 3_000


@pytest.mark.parametrize(
    ("middle", "text", "expected"),
    [
        ("a needle here", "needle", "needle"),
        ("a Näedlé here", "naedle", "Näedlé"),
        ("a na\u0308edle here", "NÄEDLE", "na\u0308edle"),
        ("a well-known here", "well-known", "well-known"),
        ("a well\nknown here", "well-known", "well\nknown"),
        ("some Quokkas here", "quok", "Quokkas"),
        ('a "needle"™ here', 'needle"', "needle"),
        ("Нужная Игла здесь", "игла", "Игла"),
    ],
)
def test_a_hit_in_a_long_text_is_found_as_in_a_short_one(
    tmp_path: Path, middle: str, text: str, expected: str
) -> None:
    """Wherever it is; and parts of other words are none."""
    with closing(long_store(tmp_path, f"needlework, unneedl. {LEFT} unwell-known {middle} {RIGHT}")) as store:
        found = snippet(store, text)
        assert re.findall(r"<mark>(.*?)</mark>", found, re.DOTALL) == [expected]
        assert found.startswith("…")
        assert found.endswith("…")
        assert len(found.split()) <= EXCERPT_WORDS + 2


def test_of_a_long_text_the_place_with_the_most_words_is_shown(tmp_path: Path) -> None:
    """Not the first that has one of them."""
    with closing(long_store(tmp_path, f"copper {LEFT} copper by the slug {RIGHT} slug")) as store:
        found = snippet(store, "slug copper")
        assert "<mark>copper</mark> by the <mark>slug</mark>" in found


def test_a_long_text_without_a_hit_shows_the_title_or_its_beginning(tmp_path: Path) -> None:
    """As a short one does."""
    with closing(long_store(tmp_path, LEFT, title="A <needle>, " + "and more " * 600)) as store:
        found = snippet(store, "needle")
        assert found.startswith("A &lt;<mark>needle</mark>&gt;, and more")
        assert found.endswith("…")
    with closing(long_store(tmp_path / "tags", f"{LEFT}\ntags: none")) as store:
        change(store, "a", {"x.md": note("x", "X", LEFT, tags="[needle]")})
        found = snippet(store, "needle")
        assert found.startswith("left and left")
        assert found.endswith("…")
        assert len(found.split()) <= EXCERPT_WORDS + 1


@pytest.mark.parametrize(
    "body", ["-" * 50_000 + " needle", "needle" + "\n" * 50_000 + "x", "漢" * 50_000 + "。needle"]
)
def test_a_long_text_without_words_is_no_error(tmp_path: Path, body: str) -> None:
    """Nor is its snippet as long as the text."""
    with closing(long_store(tmp_path, body)) as store:
        found = snippet(store, "needle")
        assert "<mark>needle</mark>" in found
        assert len(found) < 10_000


HOSTILE = (
    "<mark>forged</mark> <script>alert('needle')</script> </mark><mark> &lt;b&gt; needle \ue000needle\ue001 "
    "\ue000\ue001forged\ue002\ue003 "
    '\ue002 \ue000\ue003 <img src=x onerror="needle()">'
)


@pytest.mark.parametrize("rest", ["", RIGHT])
def test_a_text_cannot_break_out_of_its_snippet(tmp_path: Path, rest: str) -> None:
    """Neither with markup of its own, nor with the marks that are replaced by `<mark>`."""
    with closing(long_store(tmp_path, HOSTILE + rest, "<b>title</b> & more")) as store:
        found = snippet(store, "needle")
        assert is_safe(found), found
        assert set(re.findall(r"<mark>(.*?)</mark>", found)) == {"needle"}
        assert snippet(store, "more") == "&lt;b&gt;title&lt;/b&gt; &amp; <mark>more</mark>"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("<>&\"'/mark \ue000\ue001\ue002\ue003;0123456789abcdef"), max_size=60))
def test_no_text_breaks_out(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """What is marked is what was searched, and the rest is escaped."""
    with closing(Store(tmp_path_factory.mktemp("s"), ["a"], "boot")) as store:
        store.name_kbs()
        store.complete_first_pass(["a"])
        change(store, "a", {"x.md": note("x", "X", f"{text} needle {text}")})
        found = snippet(store, "needle")
        assert is_safe(found), found
        assert set(re.findall(r"<mark>(.*?)</mark>", found)) == {"needle"}
