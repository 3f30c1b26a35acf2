"""Field ownership (``metadata.managedFields``): who last set which field.

An object's fields are tracked from its first server-side apply on; what it had by then belongs to
``before-first-apply``, as in the Kubernetes releases before tracking was always on. So an object
that nobody applies carries nothing extra.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.server import field_set
from chita.server.metadata import timestamp
from chita.server.request import Part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chita.model.kinds import Kind
    from chita.server.field_set import FieldPath
    from chita.store.store import Object

BEFORE_FIRST_APPLY = "before-first-apply"


class Operation(StrEnum):
    """How a manager came to own fields."""

    APPLY = "Apply"
    UPDATE = "Update"


class Manager(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``managedFields``."""

    name: str
    operation: Operation
    part: Part
    api_version: str
    time: str
    fields: frozenset[FieldPath]

    def is_same(self, name: str, operation: Operation, part: Part) -> bool:
        """Whether this is the entry of a manager's operation on a part."""
        return (self.name, self.operation, self.part) == (name, operation, part)

    def without(self, fields: frozenset[FieldPath]) -> Manager:
        """Return the entry without some fields."""
        return msgspec.structs.replace(self, fields=self.fields - fields)


def managers_of(value: Object) -> list[Manager]:
    """Return the entries of an object; empty when nobody tracks it."""
    return [
        Manager(
            name=entry.get("manager", ""),
            operation=Operation(entry.get("operation", Operation.UPDATE)),
            part=Part(entry.get("subresource", "")),
            api_version=entry.get("apiVersion", ""),
            time=entry.get("time", ""),
            fields=field_set.decode(entry.get("fieldsV1") or {}),
        )
        for entry in value["metadata"].get("managedFields") or ()
    ]


def with_managers(value: Object, managers: Iterable[Manager]) -> Object:
    """Return *value* with these entries; those that own nothing are left out."""
    entries = [_entry(manager) for manager in managers if manager.fields]
    metadata = {k: v for k, v in value["metadata"].items() if k != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**value, "metadata": metadata}


def track(kind: Kind, old: Object, new: Object, *, manager: str, part: Part) -> Object:
    """Return *new* with the ownership of *old*, moved on by what an update changed.

    What changed belongs to who changed it, what is gone to nobody.
    """
    known = managers_of(old)
    if not known:
        return with_managers(new, ())
    before, after = field_set.fields_of(kind, old), field_set.fields_of(kind, new)
    changed = frozenset(p for p, v in after.items() if p not in before or before[p] != v)
    gone = frozenset(before.keys() - after.keys())
    if not changed and not gone:
        return with_managers(new, known)
    mine = entry_of(known, manager, Operation.UPDATE, part)
    others = [m.without(gone | changed) for m in known if m is not mine]
    fields = ((mine.fields if mine else frozenset()) | changed) - gone
    return with_managers(new, [*others, made(kind, manager, Operation.UPDATE, part, fields)])


def entry_of(
    managers: Iterable[Manager], name: str, operation: Operation, part: Part
) -> Manager | None:
    """Return the entry of a manager's operation on a part, or None."""
    return next((m for m in managers if m.is_same(name, operation, part)), None)


def made(
    kind: Kind, name: str, operation: Operation, part: Part, fields: frozenset[FieldPath]
) -> Manager:
    """Return an entry as of now."""
    return Manager(
        name=name,
        operation=operation,
        part=part,
        api_version=kind.api_version,
        time=timestamp(datetime.now(UTC)),
        fields=fields,
    )


def _entry(manager: Manager) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation.value,
        "apiVersion": manager.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": field_set.encode(manager.fields),
    }
    return {**entry, "subresource": manager.part.value} if manager.part else entry
