"""The checks every written object passes, whatever its kind means.

These are the structural rules of the API conventions, which hold also for the kinds that the model
has no schema of; the rest is checked by the `Validate` that `main` composes from the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chita.model.names import (
    annotation_key_problem,
    annotations_problem,
    dns_subdomain_problem,
    label_key_problem,
    label_value_problem,
)
from chita.model.problem import Problem
from chita.store.store import Object

if TYPE_CHECKING:
    from collections.abc import Iterator

Rule = Callable[[str], str | None]
"""Says what is wrong with a text."""

Validate = Callable[[Object], Sequence[Problem]]
"""Says what is wrong with the fields of an object, read as its kind; nothing is an empty answer."""


def problems(value: Object) -> list[Problem]:
    """Return what is wrong with an object's metadata."""
    metadata = value["metadata"]
    return [
        *_name(metadata.get("name")),
        *_pairs(metadata.get("labels"), "metadata.labels", label_key_problem, label_value_problem),
        *_annotations(metadata.get("annotations")),
        *_finalizers(metadata.get("finalizers")),
    ]


def _name(name: Any) -> Iterator[Problem]:
    """Yield why *name* can't be a name at all; some kinds' rules are stricter."""
    if not isinstance(name, str) or not name:
        yield Problem("metadata.name", "a name or a generateName is required")
    elif problem := dns_subdomain_problem(name):
        yield Problem("metadata.name", problem)


def _annotations(annotations: Any) -> Iterator[Problem]:
    field = "metadata.annotations"
    found = list(_pairs(annotations, field, annotation_key_problem, _no_rule))
    yield from found
    if not found and annotations and (problem := annotations_problem(annotations)):
        yield Problem(field, problem)


def _pairs(pairs: Any, field: str, key_problem: Rule, value_problem: Rule) -> Iterator[Problem]:
    """Yield which of *pairs* are no texts, or no good ones."""
    if pairs is None:
        return
    if not isinstance(pairs, dict):
        yield Problem(field, "must be an object of text keys and text values")
        return
    for key, value in pairs.items():
        if problem := key_problem(key):
            yield Problem(field, problem)
        elif not isinstance(value, str):
            yield Problem(f"{field}.{key}", f"{value!r} is not text; quote it")
        elif problem := value_problem(value):
            yield Problem(f"{field}.{key}", problem)


def _finalizers(finalizers: Any) -> Iterator[Problem]:
    if finalizers is None:
        return
    if not isinstance(finalizers, list):
        yield Problem("metadata.finalizers", "must be a list")
        return
    for index, finalizer in enumerate(finalizers):
        if not isinstance(finalizer, str) or label_key_problem(finalizer):
            yield Problem(f"metadata.finalizers[{index}]", f"{finalizer!r} is no qualified name")


def _no_rule(_: str) -> None:
    """Any text will do."""
