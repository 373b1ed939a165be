"""How the API's description tells of answers: their shapes, headers, examples and errors.

Only the description: no answer is checked or built by a declared model, so that describing it costs
nothing when it is given. A test holds real answers against what is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from pyrite_watch.errors import RequestError

Json: TypeAlias = dict[str, Any]
Responses: TypeAlias = dict[int | str, dict[str, Any]]

Described: TypeAlias = Annotated[dict[str, Any], WithJsonSchema({})]
"""What a route returns whose shape `answer(…)` declares: FastAPI encodes it as the dict that it is."""

JSON = "application/json"


def left_out(schema: Json) -> None:
    """Declare a field as one that may be missing: it has no default that a reader could rely on."""
    schema.pop("default", None)


def shown(example: Json) -> ConfigDict:
    """Configure a model to show this example of itself.

    Without nulls: FastAPI (0.165) leaves them out of what it shows, and then a field would be missing.
    """
    return ConfigDict(json_schema_extra={"examples": [example]})


class ErrorDetail(BaseModel):
    """A stable code, a sentence, and what to do next where there is something."""

    code: str = Field(description="Stable, for programs")
    message: str = Field(description="A sentence, for people")
    hint: str = Field("", description="What to do next, where there is something", json_schema_extra=left_out)
    revision: str = Field(
        "",
        description="With CONFLICT the entry's present revision, with NOT_INDEXED_YET the written one; "
        "not where there is no file now",
        json_schema_extra=left_out,
    )


class ErrorAnswer(BaseModel):
    """Every error but 422, which is FastAPI's own."""

    detail: ErrorDetail


def _header(description: str, example: str, required: bool = True) -> Json:
    declared = {"description": description, "schema": {"type": "string"}, "example": example}
    return {**declared, "required": True} if required else declared


_POSITION = "EPOCH:OFFSET; on a read, of the same transaction as the data: follow the events from there"
POSITION: Json = {"Pyrite-Position": _header(_POSITION, "k3f9x2:1204")}
ETAG: Json = {"ETag": _header("The revision, for `If-Match`", '"91ab4c8d02e7f6a35b1c9d8e7f60a1b2"')}
NO_STORE: Json = {"Cache-Control": _header("Backlinks change without the revision", "no-store")}

RENDERED: Json = {
    "ETag": _header("Of this answer: links change without the entry", '"4be1c09a77d2f5e8a1b3c6d9"'),
    "Pyrite-Revision": _header("Of the entry; a preview has none", ETAG["ETag"]["example"].strip('"'), False),
    **POSITION,
}
PICTURE: Json = {"ETag": _header("Of the file", '"18a4-2f1-9c"')}

_ERROR_POSITION: Json = {"Pyrite-Position": _header("EPOCH:OFFSET, the present one", "k3f9x2:1204", False)}
_ERROR_ETAG: Json = {"ETag": _header("`revision`, where there is one", ETAG["ETag"]["example"], False)}
_CHALLENGE: Json = {"WWW-Authenticate": _header("How to give the token", "Bearer")}


def example_of(model: type[BaseModel]) -> Json:
    """The example that a model declares of itself."""
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    examples = extra["examples"]
    assert isinstance(examples, list)
    example = examples[0]
    assert isinstance(example, dict)
    return example


def answer(description: str, *shapes: type[BaseModel], headers: Json = POSITION) -> Responses:
    """Declare a 200 of one of these shapes, with their examples."""
    union: Any = shapes[0]
    for shape in shapes[1:]:
        union = union | shape
    told: Json = {"example": example_of(shapes[0])}
    if len(shapes) > 1:
        told = {"examples": {shape.__name__: {"value": example_of(shape)} for shape in shapes}}
    return {200: {"model": union, "description": description, "headers": headers, "content": {JSON: told}}}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the description tells it: its code, when it comes, and what it looks like."""

    status: int
    code: str
    when: str
    message: str
    hint: str = ""
    facts: Json = field(default_factory=dict)
    is_guards: bool = False
    """Of the door before the routes."""
    has_position: bool = True
    """Strangers are told none."""

    @classmethod
    def of(
        cls, error: RequestError, when: str, is_guards: bool = False, has_position: bool | None = None
    ) -> Refusal:
        """Tell of an error by one that is raised."""
        told = not is_guards if has_position is None else has_position
        return cls(error.status, error.code, when, str(error), error.hint, dict(error.facts), is_guards, told)

    @property
    def example(self) -> Json:
        """The answer."""
        hint = {"hint": self.hint} if self.hint else {}
        return {"detail": {"code": self.code, "message": self.message, **hint, **self.facts}}


def refusals(*kinds: Refusal) -> Responses:
    """Declare these errors, by status, each with its code and an example."""
    by_status: dict[int, list[Refusal]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _declared(status, by_status[status]) for status in sorted(by_status)}


def _declared(status: int, kinds: list[Refusal]) -> Json:
    headers: Json = {}
    if any(kind.has_position for kind in kinds):
        headers |= _ERROR_POSITION
    if any("revision" in kind.facts for kind in kinds):
        headers |= _ERROR_ETAG
    if status == 401:
        headers |= _CHALLENGE
    told: Json = {"example": kinds[0].example}
    if len(kinds) > 1:
        told = {"examples": {kind.code: {"summary": kind.when, "value": kind.example} for kind in kinds}}
    lines = [f"- `{kind.code}`: {kind.when}" for kind in kinds]
    if any(kind.is_guards for kind in kinds):
        lines.append("\nAn app to which Pyrite Watch is attached has its own guard instead.")
    declared = {"model": ErrorAnswer, "description": "\n".join(lines), "content": {JSON: told}}
    return {**declared, "headers": headers} if headers else declared
