"""Metrics as Prometheus reads them: the text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/: a HELP and a TYPE line a family, then
a line a sample. Written here, since the official client keeps its own registry of mutable counters,
and what we have are values that are known already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """What Prometheus may do with a family."""

    GAUGE = "gauge"
    COUNTER = "counter"
    """It only grows; its name ends in ``_total``."""


class Sample(msgspec.Struct, frozen=True):
    """One value."""

    value: float
    labels: Mapping[str, str] = {}


class Family(msgspec.Struct, frozen=True):
    """A metric: its name carries the unit (``_seconds``, ``_bytes``), labels tell samples apart."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


def exposition(families: Iterable[Family]) -> str:
    """Return *families* in the text format; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines += [
            f"# HELP {family.name} {_escaped(family.help)}",
            f"# TYPE {family.name} {family.kind}",
            *(f"{family.name}{_labels(it.labels)} {_number(it.value)}" for it in family.samples),
        ]
    return "".join(f"{line}\n" for line in lines)


def _number(value: float) -> str:
    """Return *value*: counters exactly, anything measured to six digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{inside}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
