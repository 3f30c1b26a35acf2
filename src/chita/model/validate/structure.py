"""Whether a raw API object has the structure its schema asks for."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chita.model.names import is_unicode
from chita.model.problem import Problem
from chita.model.schema import (
    Anything,
    Flag,
    Format,
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
from chita.model.validate.formats import format_problem


def structure_problems(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    """Yield where *value*, whose field is *path*, departs from *schema*, in the schema's order."""
    match schema:
        case Record():
            yield from _record_problems(schema, value, path)
        case ListOf():
            yield from _list_problems(schema, value, path)
        case MapOf():
            yield from _map_problems(schema, value, path)
        case Anything():
            pass
        case _:
            problem = _scalar_problem(schema, value)
            if problem is not None:
                yield Problem(path, problem)


def join(path: str, field: str) -> str:
    """Return the path of *field* within *path*."""
    return f"{path}.{field}" if path else field


def _record_problems(schema: Record, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"{_what(value)} is not an object; write fields below it")
        return
    for field in value:
        if field not in schema.fields and not schema.open:
            yield Problem(join(path, str(field)), _unknown_field(schema, str(field)))
    for field, inner in schema.fields.items():
        inside = value.get(field)
        if inside is None:
            # As Kubernetes decodes it, null is an absent field.
            if field in schema.required:
                yield Problem(join(path, field), "is missing, and required")
        elif (
            inside == "" and field not in schema.required and isinstance(inner, Text | WholeOrText)
        ):
            # An empty text is an absent field too (Go's omitempty), but no member of choices.
            if isinstance(inner, Text) and inner.choices:
                yield Problem(join(path, field), f"is empty; {_one_of(inner.choices)}")
        else:
            yield from structure_problems(inner, inside, join(path, field))


def _unknown_field(schema: Record, field: str) -> str:
    if field in schema.hints:
        return f"there is no field '{field}' here: {schema.hints[field]}"
    by_lower = {name.lower(): name for name in schema.fields}
    near = difflib.get_close_matches(field.lower(), by_lower, n=1, cutoff=0.7)
    if near:
        return f"there is no field '{field}' here; did you mean '{by_lower[near[0]]}'?"
    return f"there is no field '{field}' here; there are {', '.join(schema.fields)}"


def _list_problems(schema: ListOf, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, list | tuple):
        yield Problem(path, f"{_what(value)} is not a list; write [...] or lines with '- '")
        return
    if len(value) < schema.min_items:
        yield Problem(path, f"has {len(value)} items; at least {schema.min_items} are needed")
    if schema.max_items is not None and len(value) > schema.max_items:
        yield Problem(path, f"has {len(value)} items, more than {schema.max_items}")
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if item is None and schema.nullable:
            continue
        if item is None:
            yield Problem(where, "is empty; remove the item or write its value")
            continue
        yield from structure_problems(schema.item, item, where)
        # repr tells 1 from "1" and True, which compare or hash alike.
        first = seen.setdefault(repr(item), index)
        if schema.unique and first != index:
            yield Problem(where, f"{_what(item)} is already at [{first}]; write it once")


def _map_problems(schema: MapOf, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"{_what(value)} is not an object; write 'key: value' lines below it")
        return
    for key, inner in value.items():
        where = join(path, str(key))
        if not isinstance(key, str):
            yield Problem(where, f"the key {key!r} is not a text; write it in quotes")
            continue
        problem = format_problem(schema.key, key)
        if problem is not None:
            yield Problem(where, problem)
        # A null in a map of texts is its zero value in Kubernetes: the empty text.
        if inner is not None:
            yield from structure_problems(schema.value, inner, where)


def _scalar_problem(schema: Schema, value: Any) -> str | None:  # noqa: PLR0911 - a case a node
    match schema:
        case Text():
            return _text_problem(schema, value)
        case Whole():
            return _whole_problem(schema, value)
        case WholeOrText(form):
            if isinstance(value, str) or _is_whole(value):
                return format_problem(form, value)
            return f"{_what(value)} is neither a whole number nor a text"
        case Number():
            if isinstance(value, float) or _is_whole(value):
                return None if math.isfinite(value) else f"{value} is not a finite number"
            return f"{_what(value)} is not a number"
        case Flag():
            return None if isinstance(value, bool) else f"{_what(value)} is not true or false"
        case _:
            raise TypeError(schema)


def _text_problem(schema: Text, value: Any) -> str | None:
    if not isinstance(value, str):
        mend = f"; write it in quotes: '{str(value).lower()}'" if _is_plain(value) else ""
        return f"{_what(value)} is not a text{mend}"
    if not (value.isascii() or is_unicode(value)):
        return "holds half of a surrogate pair, which UTF-8 cannot hold"
    if schema.max_length is not None and len(value) > schema.max_length:
        return f"has {len(value)} characters, more than {schema.max_length}"
    if schema.choices and not _is_choice(schema, value):
        near = difflib.get_close_matches(
            value.lower(), [choice.lower() for choice in schema.choices], n=1
        )
        mend = "" if not near else f"; did you mean {_original(near[0], schema.choices)}?"
        return f"'{value}' is not allowed; {_one_of(schema.choices)}{mend}"
    if schema.pattern is not None and not re.fullmatch(schema.pattern.expression, value):
        pattern = schema.pattern
        return (
            f"{_what(value)} does not match {pattern.expression}; write such as {pattern.example}"
        )
    return None if schema.format is Format.ANY else format_problem(schema.format, value)


def _is_choice(schema: Text, value: str) -> bool:
    match schema.spelling:
        case Spelling.EXACT:
            return value in schema.choices
        case Spelling.ANY_CASE:
            return value.lower() in [choice.lower() for choice in schema.choices]


def _whole_problem(schema: Whole, value: Any) -> str | None:
    if not _is_whole(value):
        is_number = isinstance(value, str) and value.isascii() and value.isdigit()
        mend = f"; write {value} without quotes" if is_number else ""
        return f"{_what(value)} is not a whole number{mend}"
    if schema.choices and value not in schema.choices:
        return f"{value} is not allowed; {_one_of(schema.choices)}"
    low, high = schema.minimum, schema.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"{low} to {high}"
        return f"{value} is out of range; write {limits}"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _original(lower: str, choices: tuple[str, ...]) -> str:
    return next(choice for choice in choices if choice.lower() == lower)


def _one_of(choices: tuple[object, ...]) -> str:
    *rest, last = [str(choice) for choice in choices]
    return f"write {', '.join(rest)} or {last}" if rest else f"write {last}"


def _what(value: Any) -> str:
    """Return a short name of *value* to begin a message with."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return str(value)
