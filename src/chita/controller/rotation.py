"""Raises the epoch of the WireGuard keys every so often: `chita fabric rotate-keys`, by itself.

The time of the last change is an annotation of the FabricConfiguration, so that a restarted
controller does not begin anew. A change that is not over yet is waited for.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec

from chita.api.client import ApiClient
from chita.api.kinds import CHITA
from chita.convert.fabric import API_VERSION, settings
from chita.convert.fabric import fabric_node as parsed_node
from chita.convert.fields import Field
from chita.errors import ChitaError, ConflictError, ConvertError, NotFoundError
from chita.model.node import FabricNode
from chita.telemetry.log import logger

CHANGED_AT = "chita.dev/keys-changed-at"
EVERY_S = 60.0

_CONFIGURATION = CHITA["FabricConfiguration"]
_LOG = logger("controller")


class Change(msgspec.Struct, frozen=True):
    """What to write into the FabricConfiguration."""

    at: datetime
    epoch: int | None
    """None: only remember the time."""


def due(
    configuration: dict[str, Any] | None, nodes: list[FabricNode], now: datetime
) -> Change | None:
    """Return what is to be written, None when nothing is.

    Args:
        configuration: the FabricConfiguration ``default``, None while there is none.
        nodes: all records.
        now: the time, with its zone.
    """
    chosen, _ = settings([configuration] if configuration else [])
    if not chosen.key_rotation_hours:
        return None
    annotations = ((configuration or {}).get("metadata") or {}).get("annotations") or {}
    last = _time(annotations.get(CHANGED_AT))
    if last is None:
        return Change(now, None) if nodes else None
    if now - last < timedelta(hours=chosen.key_rotation_hours):
        return None
    is_changing = any(
        node.wireguard_previous is not None or node.wireguard_epoch < chosen.key_epoch
        for node in nodes
    )
    return None if is_changing or not nodes else Change(now, chosen.key_epoch + 1)


async def keep_rotated(client: ApiClient) -> NoReturn:
    """Look once a minute, for ever."""
    while True:
        try:
            await _rotate(client)
        except (ConflictError, NotFoundError):
            pass  # somebody else wrote: the next look sees it
        except ChitaError as error:
            _LOG.warning("keys not rotated", why=str(error))
        await asyncio.sleep(EVERY_S)


async def _rotate(client: ApiClient) -> None:
    configurations = (await client.list(_CONFIGURATION)).items
    found = next((it for it in configurations if it["metadata"]["name"] == "default"), None)
    records = (await client.list(CHITA["FabricNode"])).items
    change = due(found, [node for it in records if (node := _node(it))], datetime.now(UTC))
    if change is None:
        return
    body: dict[str, Any] = {
        "metadata": {"annotations": {CHANGED_AT: change.at.isoformat(timespec="seconds")}}
    }
    if change.epoch is not None:
        body["spec"] = {"keyEpoch": change.epoch}
        _LOG.info("all nodes change their keys", epoch=change.epoch)
    if found is None:
        head = {"apiVersion": API_VERSION, "kind": "FabricConfiguration", "spec": {}}
        await client.create({**head, **body, "metadata": {"name": "default", **body["metadata"]}})
    else:
        body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        await client.patch(_CONFIGURATION, "default", body)


def _node(obj: dict[str, Any]) -> FabricNode | None:
    try:
        return parsed_node(Field(obj))
    except ConvertError:
        return None  # reported by whoever uses it


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
