"""Hostile text: whatever a file holds, only what is on the list comes out."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrite_watch.server.render import LinkTarget, Resolved, parse_document

# Written out here again, not imported: the list itself is under test.
TAGS = set(  # noqa: C405
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "input",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)
ATTRIBUTES = {
    "*": {"title", "lang", "dir", "id", "class"},
    "a": {"href", "rel", "data-kb", "data-id"},
    "img": {"src", "alt", "width", "height", "loading"},
    "input": {"type", "checked", "disabled", "aria-label"},
    "ol": {"start", "reversed"},
    "li": {"value"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
    "details": {"open"},
    "time": {"datetime"},
}
IDS = re.compile(r"b-(?:[0-9a-f]{16}(?:-\d+)?|footnotes|note|text)|h-[\w-]*|fn-\d+|fnref-\d+(?:-\d+)?")
CLASSES = re.compile(
    r"wikilink|wikilink missing|contains-task-list|task-list-item|footnotes|language-\S*", re.DOTALL
)
HREF = re.compile(r"https?://|mailto:|k/[^/]+/[^/]+$|files/[^/]+/|#(?:h-|fn-|fnref-)", re.IGNORECASE)


class Checker(HTMLParser):
    """Collects what is not allowed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.top: list[str | None] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if self.depth == 0:
            self.top.append(found.get("id"))
        if tag not in {"br", "hr", "img", "wbr", "input", "col"}:
            self.depth += 1
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        for name, given_value in attrs:
            value = given_value or ""
            if name not in ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set()):
                self.faults.append(f"<{tag} {name}>")
            if name == "id":
                self.ids.append(value)
                if not IDS.fullmatch(value):
                    self.faults.append(f"id={value!r}")
            if name == "class" and not CLASSES.fullmatch(value):
                self.faults.append(f"class={value!r}")
            if name == "href" and not HREF.match(value):
                self.faults.append(f"href={value!r}")
            if name == "src" and not re.match(r"files/[^/]+/", value):
                self.faults.append(f"src={value!r}")
        if tag == "input" and (found.get("type"), "disabled" in found) != ("checkbox", True):
            self.faults.append("an input that takes something")
        if tag == "a" and found.get("rel") != "noopener noreferrer":
            self.faults.append("a without rel")
        if ("data-kb" in found or "data-id" in found) and not (found.get("class") or "").startswith(
            "wikilink"
        ):
            self.faults.append("data that is not ours")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_comment(self, data: str) -> None:
        self.faults.append("a comment")

    def handle_decl(self, decl: str) -> None:
        self.faults.append("a declaration")

    def handle_pi(self, data: str) -> None:
        self.faults.append("an instruction")


def checked(body: str, resolved: dict[LinkTarget, Resolved] | None = None, path: str = "x.md") -> Checker:
    """Render, and hold what comes out against the list."""
    checker = Checker()
    html = parse_document("notes", path, body).html(resolved or {})
    checker.feed(html)
    checker.close()
    assert checker.faults == [], html
    assert len(checker.ids) == len(set(checker.ids)), html
    assert checker.depth == 0, html
    assert None not in checker.top, html
    return checker


VECTORS = [
    # found by the property below: a class of the file's own making, and an element behind its block
    "```x\twikilink\n```",
    "```x\x1fy\n```",
    "[[<a href=-->",
    "<b>bold, and never closed",
    # scripts, and what runs by itself
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//e.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script\n>alert(1)</script\n>",
    "<script/x>alert(1)</script>",
    "text <script>alert(1)</script> text",
    "<<script>alert(1);//<</script>",
    "<iframe src=javascript:alert(1)></iframe>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<object data=javascript:alert(1)></object>",
    "<embed src=//e.example/x.swf>",
    "<applet code=X></applet>",
    "<frameset onload=alert(1)><frame src=x></frameset>",
    "<portal src=//e.example></portal>",
    # handlers
    "<img src=x.png onerror=alert(1)>",
    "<img src=x.png/onerror=alert(1)>",
    '<img """><script>alert(1)</script>">',
    "<b onmouseover=alert(1)>b</b>",
    "<b OnClick='alert(1)'>b</b>",
    "<details open ontoggle=alert(1)>x</details>",
    "<p onfocus=alert(1) tabindex=0 autofocus>x</p>",
    "<body onload=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<a href=x.md onclick=alert(1)>x</a>",
    "<input autofocus onfocus=alert(1)>",
    # addresses
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](javascript&#58;alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x]( javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd)",
    "[x](blob:x)",
    "[x](//e.example/x)",
    "[x](\\\\e.example\\x)",
    "[x](/?token=1)",
    "[x](api/entries)",
    "<javascript:alert(1)>",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<a href='java&#x0A;script:alert(1)'>x</a>",
    "<a href='&#0000106avascript:alert(1)'>x</a>",
    "<a href='\tjavascript:alert(1)'>x</a>",
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "![x](https://e.example/track.png)",
    "<img src=https://e.example/track.png>",
    "<img srcset='https://e.example/x.png 2x' src=x.png>",
    "<picture><source srcset=https://e.example/x></picture>",
    "<video poster=javascript:alert(1)></video>",
    "<a href=x.md ping=https://e.example/>x</a>",
    "![x](../../outside.png)",
    # forms and the document itself
    "<form action=https://e.example/><button formaction=javascript:alert(1)>x</button></form>",
    "<input type=password name=p>",
    "<textarea>x</textarea><select><option>x</select>",
    "<button type=submit>x</button>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//e.example/>",
    "<link rel=stylesheet href=//e.example/x.css>",
    "<a href=https://e.example/ target=_blank>x</a>",
    "<a href=https://e.example/ rel=opener>x</a>",
    "<title>x</title><head><html manifest=x>",
    # other languages, and what parsers read twice
    "<svg onload=alert(1)></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1) /></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><maction actiontype=statusline xlink:href=javascript:alert(1)>x</maction></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<style><!--</style><script>alert(1)//--></script>",
    "<template><script>alert(1)</script></template>",
    "<template shadowrootmode=open><script>alert(1)</script></template>",
    "<!--><script>alert(1)</script>-->",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml <img src=x onerror=alert(1)>?>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<textarea></textarea><img src=x onerror=alert(1)></textarea>",
    "<table><td><form><td><img src=x onerror=alert(1)>",
    "<p title='<!--' id=a><img src=x title='--><img src=x onerror=alert(1)>'>",
    "<select><noembed></select><script x='a@b'a>y='a@b'//a@b//x</script>",
    # names that a script looks for, and attributes that only we write
    "<a id=location name=location>x</a>",
    "<img name=body id=main>",
    "<b id=toasts class=toast>x</b>",
    "<b id=b-footnotes>x</b>",
    "<a class=wikilink data-kb=notes data-id=secret href=k/notes/secret>x</a>",
    "<article data-kb=notes data-id=a data-revision=1>x</article>",
    "<p role=status aria-live=assertive contenteditable>x</p>",
    "<div hidden popover slot=x is=y accesskey=p>x</div>",
    # style
    "<p style='background:url(javascript:alert(1))'>x</p>",
    "<style>@import '//e.example/x.css';</style>",
    "<p style='position:fixed;inset:0'>x</p>",
    "<font color=red><center>x</center></font>",
    "<table background=javascript:alert(1)><tr><td background=//e.example/x>x</table>",
    # our own syntax
    "[[<script>alert(1)</script>]]",
    "[[a|<img src=x onerror=alert(1)>]]",
    '[[a#"><script>alert(1)</script>]]',
    '[[" onmouseover="alert(1)]]',
    "[[javascript:alert(1)]]",
    "[[javascript:alert(1)|x]]",
    "[[../../x]]",
    '[[notes:"><b>]]',
    '![["><script>.png]]',
    '![[x.png|1" onerror="alert(1)]]',
    '[[#"><script>alert(1)</script>]]',
    '# <script>alert(1)</script> "><img src=x onerror=alert(1)>',
    "# location\n\n# location\n\n# toasts",
    "x[^<script>]\n\n[^<script>]: <script>alert(1)</script>",
    'x[^"><img>]\n\n[^"><img>]: note',
    "x^[<img src=x onerror=alert(1)>]",
    '```"><script>alert(1)</script>\nx\n```',
    '```x" onclick="alert(1)\nx\n```',
    "- [ ] <input type=text onfocus=alert(1)>",
    '|a|\n|:-:"><script>|\n|x|',
    "[x](x.md '\"><script>alert(1)</script>')",
    '[x](x.md "onmouseover=alert(1)")',
    "</div></article><script>alert(1)</script>",
    "</p></p></div><div>",
    "> </blockquote><script>alert(1)</script>",
]


@pytest.mark.parametrize("body", VECTORS, ids=range(len(VECTORS)))
def test_known_shapes_of_attacks_come_to_nothing(body: str) -> None:
    """Alone, in a list, a quote, a table and a link; from a hostile path, with a hostile title."""
    title = Resolved("notes", 'a"><script>', '"><script>alert(1)</script>')
    for shape in ("{}", "- {}", "> {}", "before\n\n{}\n\nafter", "<div>\n\n{}\n\n</div>", "[{}](x.md)"):
        checked(shape.format(body), {LinkTarget("notes", "a"): title, LinkTarget("notes", "/x.md"): title})
    checked(body, path='a"><script>/b.md')


def test_our_own_attributes_come_through_and_nobody_elses() -> None:
    """The same attributes, of the file's own HTML, go."""
    own = parse_document("notes", "x.md", "[[a]]").html()
    assert 'class="wikilink missing" data-kb="notes" data-id="a"' in own
    forged = parse_document("notes", "x.md", own.removeprefix("<p").partition(">")[2]).html()
    assert "data-id" not in forged
    assert "wikilink" not in forged


_PIECES = st.sampled_from(
    ["[[", "]]", "|", "#", "![[", "a", "<", ">", "</", "<b ", "<div>", "</div>", "<img src=", "<svg>", "<!--",
     "-->", "javascript:", '"', "'", "`", "```", "\n", "\n\n", "- ", "> ", "# ", "1. ", "[x](", ")", "[^1]",
     "[^1]: ", "| a | b |\n|---|---|\n", "*", "**", "_", "~~", "&#", "&lt;", "\\", "\t", "    ", " onclick=", " id=",  # noqa: E501
     "<details>", "<summary>", "<p", "<table>", "<td>", "<style>", "<a href=", "https://x.y", "\0", "é", "\u202e",  # noqa: E501
     "- [ ] ", "---", "==="]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES | st.text(max_size=8), max_size=40))
def test_no_text_yields_anything_else(pieces: list[str]) -> None:
    """Nor an error."""
    checked("".join(pieces))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["one", "# two", "- three\n- four", "> five", "[[six]]", "same"]), max_size=12),
    st.integers(0, 11),
)
def test_ids_of_blocks_stay_when_another_block_changes(blocks: list[str], at: int) -> None:
    """One block is replaced by a text that nothing else has."""
    separated = [part for block in blocks for part in (block, "<br>")]  # else two lists would be one
    number = 2 * (at % len(blocks)) if blocks else 0
    before = checked("\n\n".join(separated)).top
    changed = list(separated)
    if changed:
        changed[number] = "something new"
    after = checked("\n\n".join(changed)).top
    assert len(before) == len(after) == len(separated)
    same = [place for place in range(len(changed)) if place != number]
    if blocks and blocks.count(blocks[number // 2]) == 1:
        kept = [place for place in same if separated[place] != "<br>"]
        assert [before[place] for place in kept] == [after[place] for place in kept]
