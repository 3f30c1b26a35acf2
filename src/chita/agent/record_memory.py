"""MemoryRecords: an API that has FabricNodes alone, for tests of who publishes what and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chita.api.client import Object
from chita.api.kinds import Resource
from chita.errors import ChitaError, ConflictError, NotFoundError


class MemoryRecords:
    """A `RecordClient`."""

    def __init__(self) -> None:
        self.specs: dict[str, Object] = {}
        """What is stored, by name."""
        self.writes = 0
        self.failing: ChitaError | None = None
        """What each request answers from now on."""

    async def create(self, obj: Mapping[str, Any]) -> Object:
        """Store a new object; ConflictError when its name is taken."""
        self._answer()
        name = obj["metadata"]["name"]
        if name in self.specs:
            raise ConflictError(f"{name} exists")
        return self._put(name, obj["spec"])

    async def patch(self, resource: Resource, name: str, body: Any) -> Object:
        """Merge *body* into an object; NotFoundError when there is none."""
        self._answer()
        if name not in self.specs:
            raise NotFoundError(f"{resource.plural} {name} does not exist")
        return self._put(name, {**self.specs[name], **body["spec"]})

    def _put(self, name: str, spec: Object) -> Object:
        self.specs[name] = spec
        self.writes += 1
        return {"metadata": {"name": name}, "spec": spec}

    def _answer(self) -> None:
        if self.failing is not None:
            raise self.failing
