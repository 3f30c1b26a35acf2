"""Warnings to whoever wrote an object: headers of an answer that is a success all the same.

Source: RFC 7234 section 5.5, ``warn-code SP warn-agent SP warn-text``; Kubernetes KEP-1693, which
asks for code 299 (miscellaneous, persistent) and no agent; clients print the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from chita.model.problem import Problem
from chita.store.store import Object

Warn = Callable[[Object], Sequence[Problem]]
"""Says what of a valid object its writer should know; nothing is an empty answer."""

HEADER = "Warning"
TOTAL_LENGTH = 4 * 1024
TEXT_LENGTH = 256
"""Of each text once all together are longer than that, as k8s.io/apiserver has it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def headers(found: Iterable[Problem]) -> list[tuple[str, str]]:
    """Return the headers that tell of *found*."""
    return [(HEADER, f"299 - {_quoted(text)}") for text in texts(found)]


def texts(found: Iterable[Problem]) -> list[str]:
    """Return what tells of *found*, each text once and on one line; too many are cut off."""
    said = list(dict.fromkeys(_CONTROL.sub(" ", str(problem)) for problem in found))
    if sum(map(len, said)) > TOTAL_LENGTH:
        said = [text[:TEXT_LENGTH] for text in said][: TOTAL_LENGTH // TEXT_LENGTH]
    return said


def _quoted(text: str) -> str:
    """Return a quoted-string (RFC 7230 section 3.2.6)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
