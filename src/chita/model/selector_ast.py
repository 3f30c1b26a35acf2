"""What a selector is once parsed, and how to build one without writing text.

Apart from the parser and from the meaning (`chita.model.selector`), so that both can import it.
The nodes keep the shape in which a selector was written, since its canonical text and so its
identity depend on that shape; only the builders simplify.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chita.errors import ParseError


class All(msgspec.Struct, frozen=True, tag=True):
    """``all()``, and the empty selector: matches everything."""


class Global(msgspec.Struct, frozen=True, tag=True):
    """``global()``: in a rule's namespaceSelector, what is in no namespace.

    It only has a meaning there, where the conversion of a policy replaces it by
    ``!has(projectcalico.org/namespace)``; anywhere else it matches everything, as in Felix.
    """


class Has(msgspec.Struct, frozen=True, tag=True):
    """``has(key)``: the label is present, with any value."""

    key: str


class Equals(msgspec.Struct, frozen=True, tag=True):
    """``key == "value"``: false where the label is absent."""

    key: str
    value: str


class Differs(msgspec.Struct, frozen=True, tag=True):
    """``key != "value"``: true where the label is absent."""

    key: str
    value: str


class Contains(msgspec.Struct, frozen=True, tag=True):
    """``key contains "value"``: the label's value has this part."""

    key: str
    value: str


class StartsWith(msgspec.Struct, frozen=True, tag=True):
    """``key starts with "value"``."""

    key: str
    value: str


class EndsWith(msgspec.Struct, frozen=True, tag=True):
    """``key ends with "value"``."""

    key: str
    value: str


class In(msgspec.Struct, frozen=True, tag=True):
    """``key in {"a", "b"}``: false where the label is absent; an empty set matches nothing."""

    key: str
    values: frozenset[str]


class NotIn(msgspec.Struct, frozen=True, tag=True):
    """``key not in {"a", "b"}``: true where the label is absent."""

    key: str
    values: frozenset[str]


class Not(msgspec.Struct, frozen=True, tag=True):
    """``!operand``. As written ``!!a`` is ``a``; only ``!(!a)`` is a Not of a Not."""

    operand: Selector


class And(msgspec.Struct, frozen=True, tag=True):
    """``(a && b && ...)``, two operands or more, in the order written."""

    operands: tuple[Selector, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """``(a || b || ...)``, two operands or more, in the order written."""

    operands: tuple[Selector, ...]


Selector = (
    All | Global | Has | Equals | Differs | Contains | StartsWith | EndsWith | In | NotIn
    | Not | And | Or
)  # fmt: skip
"""Hashable, so a selector may key a dict; read it with ``match``."""

_ALL = All()


def all_() -> Selector:
    """Return ``all()``."""
    return _ALL


def has(key: str) -> Selector:
    """Return ``has(key)``."""
    return Has(key)


def equals(key: str, value: str) -> Selector:
    """Return ``key == "value"``.

    Raises:
        ParseError: no selector can write *value*, since it has both kinds of quotes.
    """
    return Equals(key, _writable(value))


def in_(key: str, values: Iterable[str]) -> Selector:
    """Return ``key in {values}``.

    Raises:
        ParseError: no selector can write one of *values*, since it has both kinds of quotes.
    """
    return In(key, frozenset(_writable(value) for value in values))


def not_(selector: Selector) -> Selector:
    """Return the negation of *selector*; of a negation, what it negated."""
    return selector.operand if isinstance(selector, Not) else Not(selector)


def and_(*selectors: Selector) -> Selector:
    """Return what matches where all *selectors* do.

    ``all()`` and repetitions are left out and inner conjunctions opened; of nothing, ``all()``.
    """
    flat: dict[Selector, None] = {}
    for selector in selectors:
        match selector:
            case All():
                pass
            case And(operands):
                flat.update(dict.fromkeys(operands))
            case _:
                flat[selector] = None
    return _join(And, tuple(flat)) or _ALL


def or_(*selectors: Selector) -> Selector:
    """Return what matches where any of *selectors* does.

    Repetitions are left out and inner disjunctions opened; with an ``all()`` it is ``all()``; of
    nothing, ``!all()``, which matches nothing.
    """
    flat: dict[Selector, None] = {}
    for selector in selectors:
        match selector:
            case All():
                return _ALL
            case Or(operands):
                flat.update(dict.fromkeys(operands))
            case _:
                flat[selector] = None
    return _join(Or, tuple(flat)) or Not(_ALL)


def _join(node: type[And | Or], operands: tuple[Selector, ...]) -> Selector | None:
    if len(operands) < 2:
        return operands[0] if operands else None
    return node(operands)


def _writable(value: str) -> str:
    if '"' in value and "'" in value:
        raise ParseError(f"no selector can write the value {value!r}: it has both kinds of quotes")
    return value
