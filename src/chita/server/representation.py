"""In which form a client wants objects: as they are, as a table, or only their metadata.

Clients ask by parameters of ``Accept`` (Kubernetes API concepts, "Alternate representations of
resources"); kubectl get asks for tables.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.server import columns, status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.model.kinds import Kind
    from chita.store.store import Object, Stored

META = "meta.k8s.io/v1"


class Form(StrEnum):
    """The forms; the values are the ``as`` parameter, with ``List`` for several."""

    OBJECT = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"


class Include(StrEnum):
    """What a table's row carries of its object (``includeObject``)."""

    METADATA = "Metadata"
    OBJECT = "Object"
    NONE = "None"


class View(msgspec.Struct, frozen=True):
    """How one request's objects are shown."""

    kind: Kind
    form: Form
    include: Include = Include.METADATA


def form_of(accept: str) -> Form:
    """Return the first form in *accept* that we can give.

    Raises:
        RefusedError: 406 when the client takes no JSON.
    """
    for choice in accept.split(",") if accept else ["*/*"]:
        media, *parameters = [part.strip() for part in choice.split(";")]
        if media not in {"application/json", "application/*", "*/*"}:
            continue
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        match values.get("as", "").removesuffix("List"):
            case "":
                return Form.OBJECT
            case Form.TABLE if values.get("v", "v1") == "v1":
                return Form.TABLE
            case Form.METADATA if values.get("v", "v1") == "v1":
                return Form.METADATA
    raise status.RefusedError(
        "only the following media types are accepted: application/json",
        status=406,
        reason="NotAcceptable",
    )


def one(view: View, stored: Stored) -> bytes:
    """Return one object's body."""
    match view.form:
        case Form.OBJECT:
            return stored.data
        case Form.METADATA:
            return msgspec.json.encode(_metadata_only(stored.object))
        case Form.TABLE:
            revision = stored.object["metadata"].get("resourceVersion", "")
            return msgspec.json.encode(_table(view, [stored], {"resourceVersion": revision}))


def many(view: View, items: Sequence[Stored], metadata: dict[str, Any]) -> bytes:
    """Return a list's body."""
    match view.form:
        case Form.OBJECT:
            head = {"kind": f"{view.kind.kind}List", "apiVersion": view.kind.api_version}
            text = msgspec.json.encode({**head, "metadata": metadata})
            return b"".join(
                (text[:-1], b',"items":[', b",".join(item.data for item in items), b"]}")
            )
        case Form.METADATA:
            return msgspec.json.encode(
                {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": META,
                    "metadata": metadata,
                    "items": [_metadata_only(item.object) for item in items],
                }
            )
        case Form.TABLE:
            return msgspec.json.encode(_table(view, items, metadata))


def bookmark(view: View, revision: int, annotations: dict[str, str]) -> bytes:
    """Return the object of a bookmark event: nothing but a version."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    match view.form:
        case Form.OBJECT:
            head = {"kind": view.kind.kind, "apiVersion": view.kind.api_version}
            return msgspec.json.encode({**head, "metadata": metadata})
        case Form.METADATA:
            head = {"kind": Form.METADATA.value, "apiVersion": META}
            return msgspec.json.encode({**head, "metadata": metadata})
        case Form.TABLE:
            return msgspec.json.encode(_table(view, [], {"resourceVersion": str(revision)}))


def _metadata_only(value: Object) -> dict[str, Any]:
    return {"kind": Form.METADATA.value, "apiVersion": META, "metadata": value["metadata"]}


def _table(view: View, items: Sequence[Stored], metadata: dict[str, Any]) -> dict[str, Any]:
    shown = columns.columns_of(view.kind)
    now = datetime.now(UTC)
    rows = []
    for item in items:
        row: dict[str, Any] = {"cells": [column.text(item.object, now) for column in shown]}
        match view.include:
            case Include.METADATA:
                row["object"] = _metadata_only(item.object)
            case Include.OBJECT:
                row["object"] = item.object
            case Include.NONE:
                pass
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": META,
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": column.name,
                "type": "string",
                "format": "name" if column.name == "Name" else "",
                "description": column.name,
                "priority": column.priority,
            }
            for column in shown
        ],
        "rows": rows,
    }
