"""Holds what a CustomResourceDefinition lets through against what the validator says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from chita.crd.definition import GROUPS, definition
from chita.crd.patterns import SHAPES
from chita.model.names import is_unicode
from chita.model.problem import Problem
from chita.model.schema import (
    Anything,
    Format,
    ListOf,
    MapOf,
    Record,
    Schema,
    Text,
    WholeOrText,
)
from chita.model.schemas.kinds import KINDS
from chita.model.validate.structure import structure_problems
from structural import refusals


def disagreement(obj: Any, problems: Sequence[Problem]) -> str:
    """Return where validator and definition differ about *obj*; empty: they agree.

    What is valid the API server takes. What is not, it refuses where the structure alone says so.
    """
    if not isinstance(obj, Mapping):
        return ""
    if not isinstance(obj.get("metadata"), Mapping) or not _is_json(obj):
        return ""  # not an object to the API server, or no JSON
    key = (str(obj.get("apiVersion")), str(obj.get("kind")))
    if key not in KINDS or KINDS[key].of.group not in GROUPS:
        return ""
    told = refusals(_definition(key), obj)
    if not problems and told:
        return f"valid, but the API server refuses it: {told}: {obj}"
    body = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}
    reach = list(structure_problems(_in_reach(key), body, ""))
    if reach and not told:
        return f"the API server takes it, but {reach}: {obj}"
    return ""


def _is_json(obj: Mapping[str, Any]) -> bool:
    try:
        return is_unicode(json.dumps(obj, ensure_ascii=False))
    except (TypeError, ValueError):
        return False


@cache
def _definition(key: tuple[str, str]) -> Mapping[str, Any]:
    return definition(KINDS[key])


@cache
def _in_reach(key: tuple[str, str]) -> Record:
    schema = KINDS[key]
    fields = {name: _plain(part) for name, part in schema.fields.items()}
    metadata = Record(open=True)
    return Record(
        fields={**fields, "metadata": metadata}, required=schema.required, open=schema.open
    )


def _plain(node: Schema) -> Schema:
    """Return *node* without what only a parser can tell of a text."""
    match node:
        case Text(format=form):
            return msgspec.structs.replace(node, format=_exact(form))
        case WholeOrText():
            return Anything()
        case ListOf(item=item):
            return msgspec.structs.replace(node, item=_plain(item))
        case MapOf(value=value):
            return MapOf(value=_plain(value))
        case Record(fields=fields):
            inside = {name: _plain(part) for name, part in fields.items()}
            return msgspec.structs.replace(node, fields=inside)
        case _:
            return node


EXACT = frozenset(
    {
        Format.ADDRESS4, Format.MAC, Format.DNS_LABEL, Format.DNS_SUBDOMAIN, Format.LABEL_VALUE,
        Format.INTERFACE, Format.HTTP_PATH, Format.DURATION,
    }
)  # fmt: skip
"""Formats of which the pattern says all."""


def _exact(form: Format) -> Format:
    return form if form in EXACT and SHAPES[form].pattern else Format.ANY
