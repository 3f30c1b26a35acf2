"""The part that all stores share: objects in memory, checks of a write, recent events, watches.

A write goes through two steps. `create`, `update` and `delete` check it and give it a revision;
`publish` makes it visible. Between the two a durable store writes it down. Checks see the writes
that are still on their way, so two of them can't both win the same compare-and-swap.

Everything here runs in the event loop's thread and never awaits between check and revision.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from chita.errors import ConflictError, ExpiredError
from chita.store.store import Event, EventType, Key, Snapshot, Stored, with_revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chita.store.store import Object

LAST_CHARACTER = "\U0010ffff"  # sorts behind every name


class Shelf:
    """One resource: its objects, their keys in order, and its events since the compaction."""

    __slots__ = ("dropped", "log", "objects", "order", "readers")

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.order: list[Key] = []
        self.log: list[Event] = []
        self.dropped = 0  # events compacted away: log[i] has position dropped + i
        self.readers: set[CatalogWatch] = set()

    def apply(self, event: Event) -> None:
        """Take over what *event* did; the log is not touched."""
        key = event.current.key
        before = self.objects.get(key)
        if before is not None:
            before.supersede()
        if event.type is EventType.DELETED:
            event.current.supersede()
            if before is not None:
                del self.objects[key]
                del self.order[bisect_left(self.order, key)]
            return
        if before is None:
            insort(self.order, key)
        self.objects[key] = event.current

    def forget(self) -> None:
        """Drop everything; all positions in the log lie before what comes next."""
        self.objects.clear()
        self.order.clear()
        self.dropped += len(self.log) + 1
        self.log.clear()


class CatalogWatch:
    """A reader's position in a shelf's log."""

    def __init__(self, catalog: Catalog, shelf: Shelf, namespace: str, position: int) -> None:
        self._catalog = catalog
        self._shelf = shelf
        self._namespace = namespace
        self._position = position
        self._wake = asyncio.Event()
        self._closed = False
        shelf.readers.add(self)

    async def next(self) -> Sequence[Event]:
        """Wait for events; return them in order, none when the watch was ended."""
        while True:
            shelf = self._shelf
            index = self._position - shelf.dropped
            if index < 0:
                raise ExpiredError(
                    "watch: the reader is slower than the history is long; list again",
                    status=410,
                    reason="Expired",
                )
            events: Sequence[Event] = shelf.log[index:]
            self._position += len(events)
            if self._namespace:
                events = [e for e in events if e.current.key.namespace == self._namespace]
            if events or self._closed:
                return events
            self._wake.clear()
            await self._wake.wait()

    def settled(self) -> int:
        """Return the store's revision when the reader has seen everything, else 0."""
        at_end = self._position == self._shelf.dropped + len(self._shelf.log)
        return self._catalog.revision if at_end else 0

    def wake(self) -> None:
        """Tell the reader that there may be something new."""
        self._wake.set()

    def close(self) -> None:
        """Let the reader's `next` return, with no events if there are none."""
        self._closed = True
        self._shelf.readers.discard(self)
        self._wake.set()


class Catalog:
    """All shelves, the revision counter and the writes on their way.

    Args:
        history_events: how many events to keep for watches to resume from. Each write is one.
    """

    def __init__(self, *, history_events: int) -> None:
        self.revision = 0
        self.compacted = 0
        self._history_events = history_events
        self._last = 0  # the newest revision given to a write, visible or not
        self._shelves: dict[str, Shelf] = {}
        self._pending: dict[Key, Event] = {}

    def load(self, objects: Iterable[Stored], history: Iterable[Event]) -> None:
        """Take over what a durable store kept. *history* is in revision order, without gaps."""
        for stored in objects:
            shelf = self._shelf(stored.key.resource)
            shelf.objects[stored.key] = stored
            shelf.order.append(stored.key)
        for shelf in self._shelves.values():
            shelf.order.sort()
        for event in history:
            self.compacted = self.compacted or event.current.revision - 1
            self._shelf(event.current.key.resource).log.append(event)
            self.revision = self._last = event.current.revision

    def replace(
        self, objects: Iterable[Stored], history: Iterable[Event], *, compacted: int, revision: int
    ) -> None:
        """Take over another store's objects as of *revision*, and its events since *compacted*.

        Whoever watches has missed what lies between: his `next` raises `ExpiredError`.
        """
        for shelf in self._shelves.values():
            shelf.forget()
        self.load(objects, history)
        self.compacted, self.revision, self._last = compacted, revision, revision
        for shelf in self._shelves.values():
            for reader in shelf.readers:
                reader.wake()

    def get(self, key: Key) -> Stored | None:
        """Return the visible object, or None."""
        return self._shelf(key.resource).objects.get(key)

    def list(
        self, resource: str, namespace: str = "", *, after: Key | None = None, at: int | None = None
    ) -> Snapshot:
        """Return the objects in key order; see `Store.list`."""
        shelf = self._shelf(resource)
        if at is not None and at != self.revision:
            past = self._objects_at(shelf, at)
            return Snapshot(
                at, [past[k] for k in _window(sorted(past), resource, namespace, after)]
            )
        keys = _window(shelf.order, resource, namespace, after)
        return Snapshot(self.revision, [shelf.objects[key] for key in keys])

    def create(self, key: Key, value: Object) -> Event:
        """Give a new object its revision, or raise `ConflictError`."""
        if self._latest(key) is not None:
            raise ConflictError(f"create {key.resource} {key.namespace}/{key.name}: it exists")
        return self._change(EventType.ADDED, key, value, None)

    def update(self, key: Key, value: Object, *, expected: int) -> Event:
        """Give a new version its revision, or raise `ConflictError`."""
        return self._change(EventType.MODIFIED, key, value, self._expect(key, expected, "update"))

    def delete(self, key: Key, *, expected: int) -> Event:
        """Give a deletion its revision, or raise `ConflictError`."""
        before = self._expect(key, expected, "delete")
        return self._change(EventType.DELETED, key, before.object, before)

    def publish(self, event: Event) -> None:
        """Make a write visible and wake its readers. Events come in revision order."""
        key = event.current.key
        shelf = self._shelf(key.resource)
        shelf.apply(event)
        shelf.log.append(event)
        self.revision = event.current.revision
        if self._pending.get(key) is event:
            del self._pending[key]
        for reader in shelf.readers:
            reader.wake()

    def abandon(self) -> None:
        """Forget the writes on their way: the disk refused one, and all later ones build on it."""
        self._pending.clear()
        self._last = self.revision

    def compaction(self) -> int:
        """Compact when a quarter more events than asked for are kept; return the new bound."""
        if self.revision - self.compacted > self._history_events * 5 // 4:
            self.compact(self.revision - self._history_events)
        return self.compacted

    def compact(self, bound: int) -> None:
        """Forget the events up to revision *bound*."""
        self.compacted = max(self.compacted, min(bound, self.revision))
        for shelf in self._shelves.values():
            count = bisect_right(shelf.log, self.compacted, key=_revision)
            del shelf.log[:count]
            shelf.dropped += count

    def watch(self, resource: str, namespace: str = "", *, since: int) -> CatalogWatch:
        """Follow the events after *since*; see `Store.watch`."""
        self._check_history(since)
        shelf = self._shelf(resource)
        index = bisect_right(shelf.log, since, key=_revision)
        return CatalogWatch(self, shelf, namespace, shelf.dropped + index)

    def close(self) -> None:
        """End all watches."""
        for shelf in self._shelves.values():
            for reader in list(shelf.readers):
                reader.close()

    def _shelf(self, resource: str) -> Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = Shelf()
        return shelf

    def _latest(self, key: Key) -> Stored | None:
        pending = self._pending.get(key)
        if pending is None:
            return self.get(key)
        return None if pending.type is EventType.DELETED else pending.current

    def _expect(self, key: Key, expected: int, verb: str) -> Stored:
        latest = self._latest(key)
        if latest is None or latest.revision != expected:
            found = "gone" if latest is None else f"at revision {latest.revision}"
            raise ConflictError(
                f"{verb} {key.resource} {key.namespace}/{key.name} at revision {expected}: "
                f"it is {found}; read it again"
            )
        return latest

    def _change(self, type_: EventType, key: Key, value: Object, previous: Stored | None) -> Event:
        self._last += 1
        current = with_revision(key, value, self._last)
        event = Event(type=type_, current=current, previous=previous)
        self._pending[key] = event
        return event

    def _check_history(self, revision: int) -> None:
        if self.compacted <= revision <= self.revision:
            return
        raise ExpiredError(
            f"too old resource version: {revision} ({self.compacted})"
            if revision < self.compacted
            else f"resource version {revision} is newer than this store's {self.revision}",
            status=410,
            reason="Expired",
        )

    def _objects_at(self, shelf: Shelf, revision: int) -> dict[Key, Stored]:
        """Undo the events after *revision*, newest first."""
        self._check_history(revision)
        objects = dict(shelf.objects)
        for event in reversed(shelf.log):
            if event.current.revision <= revision:
                break
            if event.type is EventType.ADDED:
                del objects[event.current.key]
            elif event.previous is not None:
                objects[event.current.key] = event.previous
            else:
                raise ExpiredError(
                    f"the objects at revision {revision} are only known in part; list again",
                    status=410,
                    reason="Expired",
                )
        return objects


def _revision(event: Event) -> int:
    return event.current.revision


def _window(keys: Sequence[Key], resource: str, namespace: str, after: Key | None) -> Sequence[Key]:
    """Return the keys of *namespace* (all if empty) behind *after*."""
    low, high = 0, len(keys)
    if namespace:
        low = bisect_left(keys, Key(resource, namespace, ""))
        high = bisect_right(keys, Key(resource, namespace, LAST_CHARACTER))
    if after is not None:
        low = max(low, bisect_right(keys, after))
    return keys[low:high]
