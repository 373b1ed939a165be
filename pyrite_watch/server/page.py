"""The page and its files, from the package. Every address of the page is answered with the same file.

URLs in the page are relative to its `<base>`, which says where this server's root is as the browser
sees it: right behind a proxy, whether or not that takes the sub-path off.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, HTTPException, Request, Response

from pyrite_watch.server.conditional import answer_conditionally
from pyrite_watch.server.context import Live
from pyrite_watch.server.origins import parse_authority, parse_public_url

router = APIRouter(include_in_schema=False)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types pyrite pyrite-live",
    )
)

_NOT_PAGES = frozenset({"api", "files", "render", "web", "ws"})

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _WebFile:
    body: bytes
    media_type: str
    etag: str


@cache
def _web_files() -> dict[str, _WebFile]:
    """The page's files: few and small, so they are read once. Nothing else can be asked for."""
    found: dict[str, _WebFile] = {}
    _collect(files("pyrite_watch").joinpath("web"), "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, _WebFile]) -> None:
    for item in folder.iterdir():
        suffix = "." + item.name.rpartition(".")[2]
        if item.is_dir():
            _collect(item, f"{prefix}{item.name}/", found)
        elif suffix in _TYPES:
            body = trim(item.read_text("utf-8"), suffix).encode()
            found[prefix + item.name] = _WebFile(body, _TYPES[suffix], _etag(body))


_WHOLE_LINES = r"(?m)^[ \t]*/\*(?:(?!\*/)[\s\S])*\*/[ \t]*\n"
_TRIMMED = {
    ".css": [(_WHOLE_LINES, ""), (r"(?<=[:;,{}]) +| +(?=\{)", ""), (r";(?=\s*\})", "")],
    ".js": [
        (_WHOLE_LINES, ""),
        (r"/\*\* .*?\*/ ?", ""),  # a type, within a line
        (r"(?m)^[ \t]*//.*\n", ""),
        (r"(?m)(?<=[;,{}()\[\]]) +// .*$", ""),
        (r" (=>|={1,3}|!==|[<>]=?|&&|\|\||\?\?|(?:\|\||\?\?|&&|-)=) ", r"\1"),
        (r"\b(if|for|while|switch|catch) \(", r"\1("),
        (r"\) \{", "){"),
    ],
}


def trim(text: str, suffix: str) -> str:
    """Leave out what a browser does not need: comments, types, indentation, spaces around operators.

    Only as far as our own way of writing goes, and no further: it knows nothing of strings. A test asks the
    TypeScript compiler whether each script still says the same.
    """
    if suffix not in _TRIMMED:
        return text
    for pattern, kept in (*_TRIMMED[suffix], (r"(?m)^[ \t]+", ""), (r"\n{2,}", "\n")):
        text = re.sub(pattern, kept, text)
    return text


def _etag(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _answer(request: Request, file: _WebFile) -> Response:
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return answer_conditionally(request, file.body, file.media_type, file.etag, headers)


def base_of(request: Request, depth: int) -> str:
    """Where this server's root is, seen from an address of the page that lies so many folders deep."""
    live: Live = request.app.state.pyrite_watch
    given = live.pipeline.settings.public_url
    if given:
        public = parse_public_url(given)
        host = parse_authority(request.headers.get("host", ""))
        if host is not None and host.name == public.origin.name:
            # Absolute: "/notes" without its last slash is not in the folder that it names.
            return f"{public.path}/"
    return "../" * depth or "./"


def _page(request: Request, depth: int) -> Response:
    page = _web_files()["index.html"]
    body = _with_base(page.body, base_of(request, depth))
    return _answer(request, _WebFile(body, page.media_type, _etag(body)))


def _with_base(body: bytes, base: str) -> bytes:
    return body.replace(b"<head>", f'<head>\n  <base href="{escape(base)}">'.encode(), 1)


def answer_unknown(request: Request) -> Response | None:
    """Answer an address that nothing has: the page says so, with 404. None where a program asks.

    What is below the folders of files and of the API is never somebody's mistyped address of the page.
    """
    path = request.url.path
    is_browser = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not is_browser or path.partition("/")[2].partition("/")[0] in _NOT_PAGES:
        return None
    page = _web_files()["index.html"]
    body = _with_base(page.body, base_of(request, path.count("/") - 1))
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(body, 404, headers, page.media_type)


@router.get("/")
@router.get("/search")
@router.get("/problems")
def get_page(request: Request) -> Response:
    """The page."""
    return _page(request, 0)


@router.get("/k/{kb}")
def get_kb_page(request: Request, kb: str) -> Response:
    """The page: it says by itself where there is no such knowledge base."""
    return _page(request, 1)


@router.get("/k/{kb}/{entry_id}")
def get_entry_page(request: Request, kb: str, entry_id: str) -> Response:
    """The page: it says by itself where there is no such entry."""
    return _page(request, 2)


@router.get("/web")
@router.get("/web/{name:path}")
def get_web_file(request: Request, name: str = "") -> Response:
    """A file of the page."""
    file = _web_files().get(name)
    if file is None:
        raise HTTPException(404)
    return _answer(request, file)
