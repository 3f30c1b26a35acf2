"""What stores do alike: all read from a catalog; those that own their file check writes there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from chita.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chita.store.catalog import Catalog
    from chita.store.store import Event, Key, Object, Snapshot, Stored, Watch


class CatalogReads:
    """The reading half of a `Store`: everything is answered from memory."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def revision(self) -> int:
        """The revision of the last write that is kept."""
        return self._catalog.revision

    @property
    def compacted(self) -> int:
        """The newest compacted revision."""
        return self._catalog.compacted

    def get(self, key: Key) -> Stored | None:
        """Return the object, or None."""
        return self._catalog.get(key)

    def list(
        self, resource: str, namespace: str = "", *, after: Key | None = None, at: int | None = None
    ) -> Snapshot:
        """Return the objects in key order."""
        return self._catalog.list(resource, namespace, after=after, at=at)

    def watch(self, resource: str, namespace: str = "", *, since: int) -> Watch:
        """Follow the events after *since*."""
        return self._catalog.watch(resource, namespace, since=since)

    def end_watches(self) -> None:
        """End all watches."""
        self._catalog.close()


class CataloguedStore(CatalogReads, ABC):
    """A `Store` that nobody else writes to, but for where its writes go."""

    async def fresh(self) -> None:
        """Return at once: every acknowledged write is in the catalog."""

    async def create(self, key: Key, value: Object) -> Stored:
        """Store a new object; return when it is kept."""
        return await self._checked(lambda: self._catalog.create(key, value))

    async def update(self, key: Key, value: Object, *, expected: int) -> Stored:
        """Replace an object by compare-and-swap; return when it is kept."""
        return await self._checked(lambda: self._catalog.update(key, value, expected=expected))

    async def delete(self, key: Key, *, expected: int) -> Stored:
        """Remove an object by compare-and-swap; return when that is kept."""
        return await self._checked(lambda: self._catalog.delete(key, expected=expected))

    async def _checked(self, check: Callable[[], Event]) -> Stored:
        try:
            event = check()
        except ConflictError:
            await self._settle()
            raise
        await self._keep(event)
        return event.current

    @abstractmethod
    async def _keep(self, event: Event) -> None:
        """Keep a write that was checked, and publish it."""

    @abstractmethod
    async def _settle(self) -> None:
        """Wait for the writes on their way, so that who lost to one of them can read it."""
