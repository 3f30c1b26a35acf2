"""The API server as the allocator's BlockStore."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from chita.api.kinds import CALICO, Resource
from chita.errors import ConflictError, NotFoundError
from chita.ipam.affinity import node_label
from chita.ipam.configuration import NAME, IPAMConfiguration, configuration
from chita.ipam.objects import NODE_LABEL, Object, T, decode, encode
from chita.ipam.store import Held


class ListedObjects(Protocol):
    """A collection as listed."""

    @property
    def items(self) -> list[Object]:
        """The objects."""


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def get(self, resource: Resource, name: str) -> Object:
        """Return one object; NotFoundError when there is none."""

    async def list(self, resource: Resource, *, label_selector: str = "") -> ListedObjects:
        """Return all objects of a collection."""

    async def create(self, obj: Mapping[str, Any]) -> Object:
        """Store a new object; ConflictError when its name is taken."""

    async def update(self, obj: Mapping[str, Any]) -> Object:
        """Replace an object; ConflictError or NotFoundError when it is not as read."""

    async def delete(self, resource: Resource, name: str, *, resource_version: str = "") -> None:
        """Delete an object at a version; ConflictError or NotFoundError."""


class ApiBlockStore:
    """A BlockStore on ``projectcalico.org/v3``: resource versions are what is compared."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def configuration(self) -> IPAMConfiguration:
        """Return the configuration in force now; defaults when there is no such object."""
        try:
            return configuration(await self._client.get(CALICO["IPAMConfiguration"], NAME))
        except NotFoundError:
            return IPAMConfiguration()

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        """Return the value *name* of *kind*, or None."""
        try:
            return _held(kind, await self._client.get(_resource(kind), name))
        except NotFoundError:
            return None

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        """Return all of *kind*; with *node*, only the affinities of that node."""
        selector = f"{NODE_LABEL}={node_label(node)}" if node is not None else ""
        listed = await self._client.list(_resource(kind), label_selector=selector)
        return [_held(kind, item) for item in listed.items]

    async def create(self, value: T) -> Held[T]:
        """Store *value* under its name."""
        return _held(type(value), await self._client.create(encode(value)))

    async def update(self, held: Held[T], value: T) -> Held[T]:
        """Replace *held* by *value*."""
        obj = encode(value)
        obj["metadata"]["resourceVersion"] = held.version
        try:
            stored = await self._client.update(obj)
        except NotFoundError as error:
            raise ConflictError(str(error)) from error
        return Held(value, _version(stored))

    async def delete(self, held: Held[T]) -> None:
        """Remove *held*; nothing happens when it is gone."""
        resource = _resource(type(held.value))
        with suppress(NotFoundError):
            await self._client.delete(resource, held.value.name, resource_version=held.version)


def _resource(kind: type[T]) -> Resource:
    return CALICO[kind.__name__]


def _held(kind: type[T], obj: Object) -> Held[T]:
    return Held(decode(kind, obj), _version(obj))


def _version(obj: Object) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version
