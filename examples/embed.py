"""A FastAPI app of one's own with the live layer in it.

Run it from the project's folder: uvicorn --app-dir examples embed:app
Then open http://127.0.0.1:8000/ , edit a file below examples/kb, and see /ws and /api/entries.
"""

from pathlib import Path

from fastapi import FastAPI

from pyrite_watch import attach

app = FastAPI(title="My notes")
attach(app, [Path(__file__).parent / "kb"])


@app.get("/")
def home() -> dict[str, str]:
    """Say where the live layer is."""
    return {"socket": "/ws", "entries": "/api/entries"}
