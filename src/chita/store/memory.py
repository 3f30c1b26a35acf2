"""A store that lives as long as its process: for tests, and for trying a world out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chita.store.catalog import Catalog

if TYPE_CHECKING:
    from chita.store.store import Event, Key, Object, Snapshot, Stored, Watch


class MemoryStore:
    """A `Store` with no file behind it."""

    def __init__(self, *, history_events: int = 10_000) -> None:
        self._catalog = Catalog(history_events=history_events)

    @property
    def revision(self) -> int:
        """The last write's revision."""
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

    async def create(self, key: Key, value: Object) -> Stored:
        """Store a new object."""
        return self._publish(self._catalog.create(key, value))

    async def update(self, key: Key, value: Object, *, expected: int) -> Stored:
        """Replace an object by compare-and-swap."""
        return self._publish(self._catalog.update(key, value, expected=expected))

    async def delete(self, key: Key, *, expected: int) -> Stored:
        """Remove an object by compare-and-swap."""
        return self._publish(self._catalog.delete(key, expected=expected))

    def watch(self, resource: str, namespace: str = "", *, since: int) -> Watch:
        """Follow the events after *since*."""
        return self._catalog.watch(resource, namespace, since=since)

    def end_watches(self) -> None:
        """End all watches."""
        self._catalog.close()

    async def close(self) -> None:
        """End all watches."""
        self._catalog.close()

    def _publish(self, event: Event) -> Stored:
        self._catalog.publish(event)
        self._catalog.compaction()
        return event.current
