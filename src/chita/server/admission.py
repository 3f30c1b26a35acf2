"""The checks every written object passes, whatever its kind means.

These are the structural rules of the API conventions; what a kind's fields mean is checked by the
`Validate` that `main` composes from the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chita.model.problem import Problem
from chita.server import builtin
from chita.store.store import Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chita.model.kinds import Kind

Validate = Callable[[Object], Sequence[Problem]]
"""Says what is wrong with the fields of an object, read as its kind; nothing is an empty answer."""

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # RFC 1123 section 2.1, lower case
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")
QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
MAX_ANNOTATION_BYTES = 256 * 1024  # all keys and values together
LABEL_NAMED = frozenset({"namespaces", "services", "tiers.projectcalico.org"})


def no_rules(_: Object) -> Sequence[Problem]:
    """Accept every object: a server whose kinds mean nothing to it."""
    return ()


def problems(kind: Kind, value: Object) -> list[Problem]:
    """Return what is wrong with an object's metadata, and with a built-in one's fixed fields."""
    metadata = value["metadata"]
    return [
        *_name(kind, metadata.get("name")),
        *_pairs(metadata.get("labels"), "metadata.labels", _label_value),
        *_pairs(metadata.get("annotations"), "metadata.annotations", _annotation_value),
        *_annotation_size(metadata.get("annotations")),
        *_finalizers(metadata.get("finalizers")),
        *builtin.problems(kind, value),
    ]


def _name(kind: Kind, name: Any) -> Iterator[Problem]:
    is_label = kind.resource in LABEL_NAMED
    pattern, limit = (LABEL, 63) if is_label else (SUBDOMAIN, 253)
    if not isinstance(name, str) or not name:
        yield Problem("metadata.name", "a name or a generateName is required")
    elif len(name) > limit or not pattern.fullmatch(name):
        rule = "letters a-z, digits and '-'" if is_label else "letters a-z, digits, '-' and '.'"
        yield Problem(
            "metadata.name",
            f"{name!r}: at most {limit} characters, {rule}, and a letter or digit at both ends "
            "of each part",
        )


def _pairs(pairs: Any, field: str, check_value: Callable[[Any], str]) -> Iterator[Problem]:
    if pairs is None:
        return
    if not isinstance(pairs, dict):
        yield Problem(field, "must be an object of text keys and text values")
        return
    for key, value in pairs.items():
        if not is_qualified(key):
            yield Problem(
                field,
                f"{key!r}: a key is a name of at most 63 letters, digits, '-', '_' and '.', "
                "with an optional DNS prefix and '/' before it",
            )
        elif message := check_value(value):
            yield Problem(f"{field}.{key}", message)


def is_qualified(key: str) -> bool:
    """Whether *key* is a Kubernetes qualified name: ``[prefix/]name``."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= 63 and QUALIFIED.fullmatch(name) is not None


def _label_value(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 63 and (not value or QUALIFIED.fullmatch(value)):
        return ""
    return (
        f"{value!r}: a label's value is text of at most 63 letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends"
    )


def _annotation_value(value: Any) -> str:
    return "" if isinstance(value, str) else f"{value!r}: an annotation's value is text; quote it"


def _annotation_size(annotations: Any) -> Iterator[Problem]:
    if not isinstance(annotations, dict):
        return
    size = sum(len(k.encode()) + len(str(v).encode()) for k, v in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        yield Problem(
            "metadata.annotations", f"{size} bytes; at most {MAX_ANNOTATION_BYTES} together"
        )


def _finalizers(finalizers: Any) -> Iterator[Problem]:
    if finalizers is None:
        return
    if not isinstance(finalizers, list):
        yield Problem("metadata.finalizers", "must be a list")
        return
    for index, finalizer in enumerate(finalizers):
        if not isinstance(finalizer, str) or not is_qualified(finalizer):
            yield Problem(f"metadata.finalizers[{index}]", f"{finalizer!r} is no qualified name")
