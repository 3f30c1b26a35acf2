"""The selector language of the v3 API: what a selector means, its canonical text and identity.

Everything of the language is reached through this module; `selector_ast` has the nodes and
builders, `selector_parse` the grammar.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import msgspec

from chita.model.selector_ast import (
    All,
    And,
    Contains,
    Differs,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    Not,
    NotIn,
    Or,
    Selector,
    StartsWith,
    all_,
    and_,
    equals,
    has,
    in_,
    not_,
    or_,
)
from chita.model.selector_parse import parse_selector, point_at

__all__ = [
    "All",
    "And",
    "Contains",
    "Differs",
    "EndsWith",
    "Equals",
    "Global",
    "Has",
    "In",
    "Not",
    "NotIn",
    "Or",
    "Predicate",
    "Restriction",
    "Selector",
    "StartsWith",
    "all_",
    "and_",
    "canonical",
    "compile_selector",
    "equals",
    "has",
    "in_",
    "matches",
    "mentioned_keys",
    "not_",
    "or_",
    "parse_selector",
    "point_at",
    "restrictions",
    "uid",
    "with_prefix",
]

Predicate = Callable[[Mapping[str, str]], bool]
"""Whether a label map matches."""


def canonical(selector: Selector) -> str:  # noqa: C901, PLR0911, PLR0912 - a case a node
    """Return the one text of *selector*: sets sorted, ``&&`` and ``||`` in parentheses.

    Strings are in double quotes unless they have one. That parses back to *selector*, except that
    ``!(!a)`` is written ``!!a``, which is read as ``a``: so upstream has it (``NotNode`` and the
    collapsing of leading ``!`` in ``libcalico-go/lib/selector/parser``).
    """
    match selector:
        case All():
            return "all()"
        case Global():
            return "global()"
        case Has(key):
            return f"has({key})"
        case Equals(key, value):
            return f"{key} == {_quote(value)}"
        case Differs(key, value):
            return f"{key} != {_quote(value)}"
        case Contains(key, value):
            return f"{key} contains {_quote(value)}"
        case StartsWith(key, value):
            return f"{key} starts with {_quote(value)}"
        case EndsWith(key, value):
            return f"{key} ends with {_quote(value)}"
        case In(key, values):
            return f"{key} in {_set(values)}"
        case NotIn(key, values):
            return f"{key} not in {_set(values)}"
        case Not(operand):
            return "!" + canonical(operand)
        case And(operands):
            return "(" + " && ".join([canonical(operand) for operand in operands]) + ")"
        case Or(operands):
            return "(" + " || ".join([canonical(operand) for operand in operands]) + ")"


@lru_cache(maxsize=8192)
def uid(selector: Selector) -> str:
    """Return the identity of *selector*, the same for each spelling of it.

    ``s:`` and the unpadded URL-safe base64 of SHA-224 over ``s:`` and the canonical text, as in
    Calico (``libcalico-go/lib/hash``), so that sets may be compared with Felix's.
    """
    digest = hashlib.sha224(f"s:{canonical(selector)}".encode()).digest()
    return "s:" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:  # noqa: C901, PLR0911, PLR0912 - a case a node
    """Whether *labels* match. An absent label fails every operator but ``!=`` and ``not in``."""
    match selector:
        case All() | Global():
            return True
        case Has(key):
            return key in labels
        case Equals(key, value):
            return labels.get(key) == value
        case Differs(key, value):
            return labels.get(key) != value
        case Contains(key, value):
            return value in labels[key] if key in labels else False
        case StartsWith(key, value):
            return labels[key].startswith(value) if key in labels else False
        case EndsWith(key, value):
            return labels[key].endswith(value) if key in labels else False
        case In(key, values):
            return labels.get(key) in values
        case NotIn(key, values):
            return labels.get(key) not in values
        case Not(operand):
            return not matches(operand, labels)
        case And(operands):
            for operand in operands:  # noqa: SIM110 - all() would add a frame at each level
                if not matches(operand, labels):
                    return False
            return True
        case Or(operands):
            for operand in operands:  # noqa: SIM110 - any() would add a frame at each level
                if matches(operand, labels):
                    return True
            return False


def mentioned_keys(selector: Selector) -> frozenset[str]:
    """Return the label keys that decide whether *selector* matches."""
    match selector:
        case All() | Global():
            return frozenset()
        case Not(operand):
            return mentioned_keys(operand)
        case And(operands) | Or(operands):
            return frozenset().union(*[mentioned_keys(operand) for operand in operands])
        case _:
            return frozenset({selector.key})


def with_prefix(selector: Selector, prefix: str) -> Selector:
    """Return *selector* with *prefix* before each label key.

    A selector of namespaces by their labels becomes one of endpoints with ``pcns.``, one of
    service accounts with ``pcsa.``: endpoints inherit those labels under these prefixes. Felix
    makes a text of it and reads that back, so negations of negations vanish.
    """
    match selector:
        case All() | Global():
            return selector
        case Not(operand):
            return not_(with_prefix(operand, prefix))
        case And(operands):
            return And(tuple([with_prefix(operand, prefix) for operand in operands]))
        case Or(operands):
            return Or(tuple([with_prefix(operand, prefix) for operand in operands]))
        case _:
            return msgspec.structs.replace(selector, key=prefix + selector.key)


class Restriction(msgspec.Struct, frozen=True):
    """What every label map that a selector matches is sure to have under one key.

    *values*, unless None, has the key's only possible values; when empty, nothing matches.
    """

    present: bool = False
    absent: bool = False
    values: frozenset[str] | None = None


def restrictions(selector: Selector) -> dict[str, Restriction]:  # noqa: PLR0911 - a case a node
    """Return by key what a match is sure to have; a key without restriction is left out.

    Sound, not complete: it is used to look up candidates, which `matches` then decides.
    """
    match selector:
        case Has(key) | Contains(key) | StartsWith(key) | EndsWith(key):
            return {key: Restriction(present=True)}
        case Equals(key, value):
            return {key: Restriction(present=True, values=frozenset({value}))}
        case In(key, values):
            return {key: Restriction(present=True, values=values)}
        case Not(Has(key)):
            return {key: Restriction(absent=True)}
        case And(operands):
            return _all_of([restrictions(operand) for operand in operands])
        case Or(operands):
            return _any_of([restrictions(operand) for operand in operands])
        case _:
            # In particular !(a == "b") does not need label a to be absent.
            return {}


def _all_of(parts: Iterable[Mapping[str, Restriction]]) -> dict[str, Restriction]:
    merged: dict[str, Restriction] = {}
    for part in parts:
        for key, new in part.items():
            old = merged.get(key, Restriction())
            values = new.values if old.values is None else old.values
            if old.values is not None and new.values is not None:
                values = old.values & new.values
            merged[key] = Restriction(old.present or new.present, old.absent or new.absent, values)
    return merged


def _any_of(parts: list[dict[str, Restriction]]) -> dict[str, Restriction]:
    merged = parts[0]
    for part in parts[1:]:
        both: dict[str, Restriction] = {}
        for key in merged.keys() & part.keys():
            old, new = merged[key], part[key]
            present, absent = old.present and new.present, old.absent and new.absent
            values = None
            if present and old.values is not None and new.values is not None:
                values = old.values | new.values
            if present or absent:
                both[key] = Restriction(present, absent, values)
        merged = both
    return merged


def compile_selector(selector: Selector) -> Predicate:  # noqa: PLR0911 - a case a node
    """Return `matches` for one selector as a closure, for many label maps."""
    match selector:
        case Has(key):
            return lambda labels: key in labels
        case Equals(key, value):
            return lambda labels: labels.get(key) == value
        case Differs(key, value):
            return lambda labels: labels.get(key) != value
        case In(key, values):
            return lambda labels: labels.get(key) in values
        case NotIn(key, values):
            return lambda labels: labels.get(key) not in values
        case Not(operand):
            inner = compile_selector(operand)
            return lambda labels: not inner(labels)
        case And(operands):
            return _every(tuple([compile_selector(operand) for operand in operands]))
        case Or(operands):
            return _some(tuple([compile_selector(operand) for operand in operands]))
        case _:
            return lambda labels: matches(selector, labels)


def _every(predicates: tuple[Predicate, ...]) -> Predicate:
    if len(predicates) == 2:
        first, second = predicates
        return lambda labels: first(labels) and second(labels)

    def every(labels: Mapping[str, str]) -> bool:
        for predicate in predicates:  # noqa: SIM110 - all() would add a frame at each level
            if not predicate(labels):
                return False
        return True

    return every


def _some(predicates: tuple[Predicate, ...]) -> Predicate:
    def some(labels: Mapping[str, str]) -> bool:
        for predicate in predicates:  # noqa: SIM110 - any() would add a frame at each level
            if predicate(labels):
                return True
        return False

    return some


def _quote(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def _set(values: frozenset[str]) -> str:
    return "{" + ", ".join([_quote(value) for value in sorted(values)]) + "}"
