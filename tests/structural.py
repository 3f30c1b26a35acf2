"""Checks an object against a CustomResourceDefinition's schema as kube-apiserver does.

Of ``k8s.io/apiextensions-apiserver``, what our definitions use of it: nulls are dropped where
they may not be, defaults filled in, unknown fields refused (``fieldValidation=Strict``), then
types, values and sets are checked. The CEL rules are not.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

PRESERVE = "x-kubernetes-preserve-unknown-fields"
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (Mapping,),
}
_HEAD = ("apiVersion", "kind", "metadata")


def refusals(definition: Mapping[str, Any], obj: Mapping[str, Any]) -> list[str]:
    """Return why the API server would refuse *obj*, whose kind *definition* defines."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    name = (obj.get("metadata") or {}).get("name", "")
    body = {key: value for key, value in obj.items() if key not in _HEAD}
    metadata = schema["properties"]["metadata"]
    return [
        *_problems(metadata.get("properties", {}).get("name", {}), name, "metadata.name"),
        *_problems(schema, _filled(schema, body), ""),
    ]


def _filled(schema: Mapping[str, Any], value: Any) -> Any:
    """Return *value* without nulls that may not be, and with the defaults."""
    if isinstance(value, list | tuple):
        return [_filled(schema.get("items", {}), item) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for key, inner in value.items():
        part = _part(schema, key)
        if inner is not None or part.get("nullable") or not part:
            found[key] = _filled(part, inner)
    for key, part in schema.get("properties", {}).items():
        if key not in found and "default" in part:
            found[key] = _filled(part, copy.deepcopy(part["default"]))
    return found


def _part(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {}).get(key) or schema.get(
        "additionalProperties", {}
    )
    return found


def _problems(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if value is None and schema.get("nullable"):
        return
    if not _is_of_type(schema, value):
        yield f"{path}: {value!r} is not of type {schema.get('type', 'integer or string')}"
        return
    yield from _value_problems(schema, value, path)
    match value:
        case Mapping():
            yield from _object_problems(schema, value, path)
        case list() | tuple():
            yield from _list_problems(schema, list(value), path)


def _is_of_type(schema: Mapping[str, Any], value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted = schema.get("type")
    if wanted is None:
        return True
    if isinstance(value, bool):
        return bool(wanted == "boolean")
    return isinstance(value, _TYPES[wanted])


def _value_problems(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", "").replace("$", r"\Z"), value):
            yield f"{path}: {value!r} does not match {schema['pattern']}"
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{path}: longer than {schema['maxLength']}"
    elif isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        yield f"{path}: {value} is out of range"


def _object_problems(
    schema: Mapping[str, Any], value: Mapping[str, Any], path: str
) -> Iterator[str]:
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{path}.{key}: required"
    for key, inner in value.items():
        if part := _part(schema, str(key)):
            yield from _problems(part, inner, f"{path}.{key}")
        elif not schema.get(PRESERVE):
            yield f"{path}.{key}: unknown"


def _list_problems(schema: Mapping[str, Any], value: list[Any], path: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{path}: fewer than {schema['minItems']} items"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{path}: more than {schema['maxItems']} items"
    for index, item in enumerate(value):
        yield from _problems(schema.get("items", {}), item, f"{path}[{index}]")
        # repr tells 1 from True, which compare alike.
        before = [repr(each) for each in value[:index]]
        if schema.get("x-kubernetes-list-type") == "set" and repr(item) in before:
            yield f"{path}[{index}]: {item!r} is there twice"
