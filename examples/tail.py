"""Print what happens in the knowledge bases of a server that runs.

Run it from the project's folder: python examples/tail.py [http://127.0.0.1:8088 [EPOCH:OFFSET]]
It goes on by itself where the server is restarted. Ctrl-C stops it.
"""

import asyncio
import contextlib
import sys

from pyrite_watch import subscribe


async def main(url: str = "http://127.0.0.1:8088", since: str | None = None) -> None:
    """Print a line an event."""
    async for event in subscribe(url, since=since):
        if event["type"] == "resync":
            print("The server's log is a new one: load the state again.", flush=True)
        else:
            print(event["type"], event.get("kb_name", ""), event.get("entry_id", ""), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
