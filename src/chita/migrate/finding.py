"""What a migration changes, as values: one line of the report each."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.convert.documents import Entry


class Effect(StrEnum):
    """What a finding means for who migrates."""

    REFUSED = "refused"
    """The object is not valid here and is left out."""
    CHANGES = "changes"
    """Something works otherwise afterwards."""
    IGNORED = "ignored"
    """A field or an object has no effect here."""
    KEPT = "kept"
    """Something that one might fear for stays as it is."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between what runs now and what will."""

    effect: Effect
    kind: str
    namespace: str = ""
    name: str = ""
    field: str = ""
    """Path in the object; empty: the object as a whole."""
    message: str
    file: str = ""
    line: int = 0
    """Where the object, or the field, was written; 0 where it was read from a cluster."""

    @property
    def what(self) -> str:
        """The object as people write it."""
        return " ".join(part for part in (self.kind, self.full_name) if part)

    @property
    def full_name(self) -> str:
        """``namespace/name``, or the name alone."""
        return "/".join(part for part in (self.namespace, self.name) if part)


def finding(effect: Effect, entry: Entry, field: str, message: str) -> Finding:
    """Return a finding about *field* of *entry*, with its line."""
    problem = entry.problem(field, message)
    return Finding(
        effect=effect,
        kind=entry.kind,
        namespace=entry.namespace,
        name=entry.name,
        field=field,
        message=message,
        file=problem.source.file,
        line=problem.source.line,
    )
