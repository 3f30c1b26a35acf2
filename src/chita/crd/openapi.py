"""OpenAPI v3 from the model's schemas, in the structural form that CustomResourceDefinitions need.

The one printer of them: kube-apiserver checks objects by it, ``kubectl explain`` shows it, with
``chita server`` too. It accepts all that `chita.model.validate` accepts (`tests/structural.py`
holds one against the other); what it can't say, rules over several fields aside, is what
selectors and other small languages mean.

Kubernetes' decoding decides the details. Null is an absent field, which the API server drops
before it looks. An optional empty text is one too, so a pattern lets it pass, except that no
choice is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from chita.crd.patterns import SHAPES
from chita.model.schema import (
    Anything,
    Flag,
    ListOf,
    MapOf,
    Number,
    Record,
    Schema,
    Spelling,
    Text,
    Whole,
    WholeOrText,
)

OpenApi = dict[str, Any]
OPEN = "x-kubernetes-preserve-unknown-fields"
"""Lets fields pass that the schema does not name; without it they are dropped, or refused."""
INT_OR_STRING = "x-kubernetes-int-or-string"


def openapi(node: Schema) -> OpenApi:  # noqa: PLR0911 - one return per kind of node
    """Return the OpenAPI form of a schema whose value is there and not empty."""
    match node:
        case Text():
            return _text(node)
        case Whole():
            return _filled(
                "integer",
                format="int64",
                minimum=node.minimum,
                maximum=node.maximum,
                enum=list(node.choices),
            )
        case Number():
            return {"type": "number"}
        case Flag():
            return {"type": "boolean"}
        case WholeOrText(form):
            shape = SHAPES[form]
            limits = {"minimum": shape.minimum, "maximum": shape.maximum}
            found = {**limits, "pattern": whole(shape.pattern), "maxLength": shape.max_length}
            return {INT_OR_STRING: True, **_said(found)}
        case ListOf():
            return _list(node)
        case MapOf(value=value):
            return {"type": "object", "additionalProperties": openapi(value)}
        case Record():
            return _record(node)
        case Anything():
            return {OPEN: True}


def whole(expression: str) -> str:
    """Return the pattern that matches a text if *expression* matches all of it."""
    return f"^(?:{expression})$" if expression else ""


def _text(node: Text) -> OpenApi:
    shape = SHAPES[node.format]
    lengths = [most for most in (node.max_length, shape.max_length) if most is not None]
    pattern, choices = shape.pattern, list(node.choices)
    if node.pattern is not None:
        pattern = node.pattern.expression
    if choices and node.spelling is Spelling.ANY_CASE:
        pattern, choices = f"(?i:{'|'.join(map(re.escape, choices))})", []
    return _filled(
        "string", enum=choices, pattern=whole(pattern), maxLength=min(lengths, default=None)
    )


def _list(node: ListOf) -> OpenApi:
    items = openapi(node.item)
    if node.nullable:
        items["nullable"] = True
    found = _filled("array", items=items, minItems=node.min_items or None, maxItems=node.max_items)
    # A set has no item twice; other lists are replaced whole by a server-side apply.
    return {**found, "x-kubernetes-list-type": "set" if node.unique else "atomic"}


def _record(node: Record) -> OpenApi:
    found = _filled("object", properties=dict(_fields(node)), required=list(node.required))
    if node.rules:
        found["x-kubernetes-validations"] = [
            {"rule": rule.expression, "message": rule.message} for rule in node.rules
        ]
    return {**found, OPEN: True} if node.open else found


def _fields(node: Record) -> Iterator[tuple[str, OpenApi]]:
    for name, part in node.fields.items():
        found = openapi(part)
        if name not in node.required:
            found = _or_empty(part, found)
            if isinstance(part, Record) and part.defaults and not part.required:
                # What is filled in below is so only where this is there.
                found["default"] = {}
        if name in node.defaults:
            found["default"] = node.defaults[name]
        yield name, found


def _or_empty(node: Schema, found: OpenApi) -> OpenApi:
    """Let the empty text through where it is an absent one."""
    pattern = found.get("pattern")
    is_choice = isinstance(node, Text) and bool(node.choices)
    if pattern is None or is_choice or re.search(pattern, ""):
        return found
    return {**found, "pattern": f"^$|{pattern}"}


def _filled(kind: str, **parts: Any) -> OpenApi:
    return {"type": kind, **_said(parts)}


def _said(parts: Mapping[str, Any]) -> OpenApi:
    """Return *parts* without those that say nothing."""
    return {key: value for key, value in parts.items() if value not in (None, [], {}, "")}
