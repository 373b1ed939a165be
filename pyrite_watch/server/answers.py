"""The shape of errors, as the API's description tells it."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """A stable code, a sentence, and what to do next where there is something."""

    code: str
    message: str
    hint: str = ""


class ErrorAnswer(BaseModel):
    """Every error but 422, which is FastAPI's own."""

    detail: ErrorDetail


Responses: TypeAlias = dict[int | str, dict[str, Any]]

NO_SUCH: Responses = {404: {"model": ErrorAnswer, "description": "No such thing, or no such KB"}}
LOST: Responses = {
    400: {"model": ErrorAnswer, "description": "Not a position"},
    410: {"model": ErrorAnswer, "description": "A position of another epoch: load the state again"},
}
