"""Holds answers of the running app against what `/openapi.json` declares, without mercy.

Not a JSON Schema validator: it knows the words that the description uses and fails at any other, and it
is stricter in one thing. A field that is not declared is a fault, though a client would ignore it: else
the description falls behind and nobody sees it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2

Json = dict[str, Any]

# What only tells; `format` and `discriminator` repeat what other words of ours say already.
_REMARKS = {"title", "description", "examples", "default", "discriminator", "format"}
_RULES = {
    "$ref", "anyOf", "oneOf", "type", "const", "enum", "properties", "required", "additionalProperties",
    "items", "prefixItems", "minimum", "maximum", "minLength", "maxLength", "propertyNames",
    "maxItems", "maxProperties",
}  # fmt: skip
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_TOLD_HEADERS = ("Pyrite-Position", "ETag", "WWW-Authenticate")


class Description:
    """An `/openapi.json`."""

    def __init__(self, document: Json) -> None:
        self.document = document

    @property
    def operations(self) -> dict[tuple[str, str], Json]:
        """Every call, by method and path."""
        return {
            (method.upper(), path): operation
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        }

    def faults(self, schema: Json, value: Any, where: str = "$") -> list[str]:
        """Say what of a value is not as declared; empty where all is."""
        unknown = set(schema) - _REMARKS - _RULES
        assert not unknown, f"{where}: the test does not know {unknown}"
        found = []
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/components/schemas/")
            found += self.faults(self.document["components"]["schemas"][name], value, where)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                tried = [self.faults(each, value, where) for each in schema[word]]
                fitting = sum(not faults for faults in tried)
                if fitting == 0 or (word == "oneOf" and fitting > 1):
                    found.append(f"{where}: {fitting} of {word} fit: {tried}")
        if "type" in schema and not _is_of(schema["type"], value):
            return [*found, f"{where}: {value!r} is no {schema['type']}"]
        if "const" in schema and value != schema["const"]:
            found.append(f"{where}: {value!r} is not {schema['const']!r}")
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{where}: {value!r} is none of {schema['enum']}")
        if isinstance(value, dict):
            found += self._faults_of_object(schema, value, where)
        if isinstance(value, list):
            found += self._faults_of_array(schema, value, where)
        if isinstance(value, int | float) and not isinstance(value, bool):
            in_range = schema.get("minimum", value) <= value <= schema.get("maximum", value)
            found += [] if in_range else [f"{where}: {value} is out of range"]
        if isinstance(value, str):
            in_range = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
            found += [] if in_range else [f"{where}: {value[:40]!r} is too short or too long"]
        return found

    def _faults_of_object(self, schema: Json, value: Json, where: str) -> list[str]:
        found = [f"{where}: no {name}" for name in schema.get("required", ()) if name not in value]
        found += [f"{where}: too many"] if len(value) > schema.get("maxProperties", len(value)) else []
        declared = schema.get("properties", {})
        further = schema.get("additionalProperties", not declared)
        for name, each in value.items():
            if name in declared:
                found += self.faults(declared[name], each, f"{where}.{name}")
            elif further is False:
                found.append(f"{where}: {name} is not declared")
            elif isinstance(further, dict):
                found += self.faults(further, each, f"{where}.{name}")
        return found

    def _faults_of_array(self, schema: Json, value: list[Any], where: str) -> list[str]:
        first = schema.get("prefixItems", [])
        found = [f"{where}: too few items"] if len(value) < len(first) else []
        found += [f"{where}: too many"] if len(value) > schema.get("maxItems", len(value)) else []
        for number, each in enumerate(value):
            declared = first[number] if number < len(first) else schema.get("items", {})
            found += self.faults(declared, each, f"{where}[{number}]")
        return found

    def check(self, method: str, path: str, answer: httpx2.Response) -> Any:
        """Fail unless this answer is declared for the call: status, headers, body, code; give the body."""
        where = f"{method} {path} {answer.status_code}"
        declared = self.operations[method, path]["responses"].get(str(answer.status_code))
        assert declared is not None, f"{where} is not declared: {answer.text[:300]}"
        headers = declared.get("headers", {})
        # 422 is FastAPI's own, and so are the headers that it does not declare.
        for name in _TOLD_HEADERS if answer.status_code != 422 else ():
            assert name not in answer.headers or name in headers, f"{where}: {name} is not declared"
        for name, header in headers.items():
            assert name in answer.headers or not header.get("required"), f"{where}: no {name}"
        ((media_type, content),) = declared["content"].items()
        assert answer.headers["Content-Type"].partition(";")[0] == media_type, where
        body = parsed(media_type, answer.text)
        assert self.faults(content["schema"], body, where) == []
        if answer.status_code >= 400 and answer.status_code != 422:
            assert body["detail"]["code"] in codes_of(declared), f"{where}: {body} is not declared"
            assert body["detail"].get("hint") != "", f"{where}: an empty hint"
        return body


def parsed(media_type: str, text: str) -> Any:
    """What a body holds; of NDJSON, its lines."""
    if media_type == "application/x-ndjson":
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def examples_of(content: Json) -> list[Any]:
    """The examples of a body, as it would be parsed."""
    told = [content["example"]] if "example" in content else []
    return told + [example["value"] for example in content.get("examples", {}).values()]


def codes_of(response: Json) -> list[str]:
    """The codes that an error's description lists."""
    return re.findall(r"^- `([A-Z_]+)`: \S", response["description"], re.MULTILINE)


def _is_of(types: str | list[str], value: Any) -> bool:
    names = [types] if isinstance(types, str) else types
    # In Python a bool is an int; in JSON it is not.
    return any(
        isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
        for name in names
    )
