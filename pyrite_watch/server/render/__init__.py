"""Markdown to HTML that is safe to show: parsed, links resolved, sanitised, an id for each block.

Pure: text and a table of what links lead to come in, HTML goes out. Who knows the index is outside.
"""

from __future__ import annotations

from pyrite_watch.server.render.document import Document, parse_document
from pyrite_watch.server.render.targets import LinkTarget, Resolved

__all__ = ["Document", "LinkTarget", "Resolved", "parse_document"]
