"""Pictures of a knowledge base, for the page: nothing else leaves its folder."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from pyrite_watch.disk.contain import check_path, open_parent
from pyrite_watch.disk.ignore import read_ignore_rules
from pyrite_watch.disk.write_errors import PathOutsideKbError, RootGoneError
from pyrite_watch.errors import KbUnavailableError, PictureNotFoundError
from pyrite_watch.server.answers import PICTURE, refusals
from pyrite_watch.server.conditional import answer_conditionally
from pyrite_watch.server.context import live_of
from pyrite_watch.server.refusals import KB_NOT_FOUND, OF_FILES, PICTURE_NOT_FOUND, ROOT_UNAVAILABLE
from pyrite_watch.server.render.targets import IMAGE_TYPES

router = APIRouter(tags=["Page"])

MAX_PICTURE_BYTES = 32 << 20

POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""An SVG that is opened by itself is a document: it may not run anything, nor load anything."""

_OPEN = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

_CONTENT: dict[str, Any] = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in dict.fromkeys(IMAGE_TYPES.values())
}


@router.get(
    "/files/{kb}/{path:path}",
    summary="Get a picture",
    response_class=Response,
    response_model=None,
    responses={
        200: {"description": "The picture", "content": _CONTENT, "headers": PICTURE},
        **refusals(*OF_FILES, KB_NOT_FOUND, PICTURE_NOT_FOUND, ROOT_UNAVAILABLE),
    },
)
def get_picture(request: Request, kb: str, path: str) -> Response:
    """A picture below a knowledge base's root, by its path. Links are not followed."""
    live = live_of(request)
    live.service.check_kb(kb)
    media_type = IMAGE_TYPES.get(posixpath.splitext(path)[1].lower())
    if media_type is None:
        raise PictureNotFoundError(path, kb)
    root = live.service.kbs[kb].root
    try:
        check_path(path)
        nested = _nested(root, (other.root for other in live.service.kbs.values()))
        rules = read_ignore_rules(root, nested=nested, gitignore=live.pipeline.settings.gitignore)
        if rules.picture_rule(path) is not None:
            raise PictureNotFoundError(path, kb)
        data, status = _read(root, path)
    except RootGoneError as error:
        raise KbUnavailableError(kb) from error
    except (PathOutsideKbError, OSError, ValueError) as error:
        raise PictureNotFoundError(path, kb) from error
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
    }
    etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'
    if "if-none-match" not in request.headers:
        since = request.headers.get("if-modified-since")
        if since == headers["Last-Modified"]:
            return Response(status_code=304, headers={**headers, "ETag": etag})
    return answer_conditionally(request, data, media_type, etag, headers)


def _nested(root: Path, roots: Iterable[Path]) -> list[str]:
    """Folders below the root that are knowledge bases of their own."""
    own = Path(os.path.realpath(root))
    others = (Path(os.path.realpath(other)) for other in roots)
    return [other.relative_to(own).as_posix() for other in others if own in other.parents]


def _read(root: Path, path: str) -> tuple[bytes, os.stat_result]:
    with open_parent(root, path) as (folder, name):
        if not stat.S_ISREG(folder.status(name).st_mode):
            raise FileNotFoundError(path)
        descriptor = os.open(folder.at(name), _OPEN, dir_fd=folder.fd)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_PICTURE_BYTES:
                raise FileNotFoundError(path)
            chunks, size = [], 0
            while size <= MAX_PICTURE_BYTES and (chunk := os.read(descriptor, 1 << 20)):
                chunks.append(chunk)
                size += len(chunk)
        finally:
            os.close(descriptor)
    if size > MAX_PICTURE_BYTES:
        raise FileNotFoundError(path)
    return b"".join(chunks), status
