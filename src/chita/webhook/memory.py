"""The Secret and the configuration in memory: what `Upkeep` needs of an API server."""

from __future__ import annotations

import copy
from typing import Any

from chita.errors import ConflictError, NotFoundError
from chita.model.kinds import Kind
from chita.server.merge_patch import merge

Object = dict[str, Any]


class MemoryObjects:
    """Objects by kind, namespace and name, each with a version that every write raises."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], Object] = {}
        self.writes = 0
        """How many there were."""

    def put(self, obj: Object) -> None:
        """Hold *obj*, new or in place of another."""
        metadata = obj["metadata"]
        self._store((obj["kind"], metadata.get("namespace", ""), metadata["name"]), obj)

    async def get(self, resource: Kind, name: str, namespace: str = "") -> Object:
        """Return an object.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return copy.deepcopy(self._held[resource.kind, namespace, name])
        except KeyError:
            raise NotFoundError(f'{resource.resource} "{name}" not found') from None

    async def patch(self, resource: Kind, name: str, body: Any, *, namespace: str = "") -> Object:
        """Merge *body* into an object (RFC 7396).

        Raises:
            NotFoundError: there is none. ConflictError: it is not at the version in *body*.
        """
        held = await self.get(resource, name, namespace)
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != held["metadata"]["resourceVersion"]:
            raise ConflictError(f'{resource.resource} "{name}" has been modified')
        self._store((resource.kind, namespace, name), merge(held, body))
        return await self.get(resource, name, namespace)

    def _store(self, key: tuple[str, str, str], obj: Object) -> None:
        self.writes += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.writes)}
        self._held[key] = {**copy.deepcopy(obj), "metadata": metadata}
