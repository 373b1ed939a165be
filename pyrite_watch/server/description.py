"""What `/openapi.json` says of the API as a whole."""

from __future__ import annotations

from typing import Any

SUMMARY = "The live layer of Markdown knowledge bases: what is there, what changed, and writing it."

DESCRIPTION = """\
The files are the truth. What is read here is the index of them; what is written here is a file, and told
to every reader as any other change is.

**Positions.** Every change has an `offset` in the event log of an `epoch`. Each answer below `/api` carries
`Pyrite-Position: EPOCH:OFFSET`, on a read from the same transaction as its data. Load, then follow the
events from there, and nothing falls between: `/api/state` gives everything at one position.

**Live events** come over a WebSocket, which OpenAPI cannot describe: `GET /ws` sends each event as one JSON
message, in the shapes of `GET /api/events/log`. `/ws?since=EPOCH:OFFSET` first replays what was missed,
then sends `{"type":"ready",…}` and goes on live, without a gap or a repeat; `{"type":"resync",…}` says
that the state is to be loaded again, and a `heartbeat` comes every 15 s. `since=now` only tells the
position; `&kb=NAME` (repeatable) narrows it down. It is closed with 1012 (the server stops: reconnect
soon), 1013 (too slow: reconnect with `since`), 1009 (too big), 4401 (token), 4404 (no such knowledge
base) or 4409 (malformed `since`). More in the README, under "The protocol".

**Writes** start from the bytes on the disk and change only what they are asked to. With
`If-Match: "REVISION"` they are refused where the file is another by then, whether or not the index has
seen that. `revision` is `blake2b(file_bytes, digest_size=16)` in hex: anyone can compute it.

**Errors** are `{"detail": {"code", "message", "hint"?}}`: the code is stable, the sentence is not, and a
hint is there where there is something to do. Only 422 (a parameter or body of the wrong form) is
FastAPI's own. Unknown paths are 404 `NOT_FOUND`, other methods 405 `METHOD_NOT_ALLOWED`. HEAD is answered
wherever GET is.

**Who may connect.** Without a token: this machine alone, and no page of another origin. With one, send it
as `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`; a read token may only read. `/health` needs none.

Clients ignore fields and event types that they do not know: there may be more of them in a later version.
"""

TAGS: list[dict[str, Any]] = [
    {"name": "Entries", "description": "Read, find, write: an entry is a Markdown file."},
    {"name": "Knowledge bases", "description": "Which folders there are, and what is wrong in them."},
    {"name": "Events", "description": "What changed, in order. Live: `/ws`, see above."},
    {"name": "Page", "description": "What the page shows: entries as HTML, and their pictures."},
    {"name": "Server", "description": "How it is, and comparing with the disk on request."},
]
