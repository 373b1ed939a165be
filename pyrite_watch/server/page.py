"""The page and its files, from the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response

router = APIRouter(include_in_schema=False)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def _web_files() -> dict[str, tuple[bytes, str]]:
    """The page's files: few and small, so they are read once. Nothing else can be asked for."""
    found = {}
    for item in files("pyrite_watch").joinpath("web").iterdir():
        suffix = "." + item.name.rpartition(".")[2]
        if suffix in _TYPES:
            found[item.name] = (item.read_bytes(), _TYPES[suffix])
    return found


def _answer(name: str) -> Response:
    body, media_type = _web_files()[name]
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(body, media_type=media_type, headers=headers)


@router.get("/")
def get_page() -> Response:
    """The page."""
    return _answer("index.html")


@router.get("/web/{name}")
def get_web_file(name: str) -> Response:
    """A file of the page."""
    if name not in _web_files():
        raise HTTPException(404)
    return _answer(name)
