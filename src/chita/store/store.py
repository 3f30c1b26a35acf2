"""What the API server asks of a store: objects by key, compare-and-swap, and events by revision.

The protocol follows etcd's model (one counter for the whole store, each write takes the next
number), because the Kubernetes API's ``resourceVersion`` and watch are defined by it. Reads are
plain calls: every store keeps its current objects in memory, so that a list never waits for a
disk. Writes are awaited: when one returns, it is as durable as the store can make it, and reads
see it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = dict[str, Any]  # raw JSON of one API object


class Key(msgspec.Struct, frozen=True, order=True):
    """Where an object is kept; keys sort by resource, then namespace, then name.

    *resource* is the plural with its group, such as ``tiers.projectcalico.org``, or ``pods`` in
    the core group. *namespace* is empty for an object of the whole cluster.
    """

    resource: str
    namespace: str
    name: str


class EventType(StrEnum):
    """The event types of a Kubernetes watch that a write can cause."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Stored:
    """One version of one object: its JSON, encoded once and shared by every reader.

    The decoded form is kept only while this is the current version, so that the history costs
    its bytes and nothing more.
    """

    __slots__ = ("_object", "_superseded", "data", "key", "revision")

    def __init__(self, key: Key, revision: int, data: bytes, decoded: Object | None = None) -> None:
        self.key = key
        self.revision = revision
        self.data = data
        self._object = decoded
        self._superseded = False

    @property
    def object(self) -> Object:
        """The decoded object, shared: readers never change it (see `copy`)."""
        if self._object is not None:
            return self._object
        decoded = self.copy()
        if not self._superseded:
            self._object = decoded
        return decoded

    def copy(self) -> Object:
        """Decode anew: the result is the caller's to change."""
        decoded: Object = msgspec.json.decode(self.data)
        return decoded

    def supersede(self) -> None:
        """Let go of the decoded form: this version is history now."""
        self._superseded = True
        self._object = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One write. A deletion's *current* is the last state, with the deletion's revision.

    *previous* is None for ADDED; for the others None means that it is no longer known, because
    the history before it was compacted and the store was opened again since.
    """

    type: EventType
    current: Stored
    previous: Stored | None


class Snapshot(msgspec.Struct, frozen=True):
    """Objects in key order as they were at *revision*."""

    revision: int
    items: Sequence[Stored]


class Watch(Protocol):
    """A position in one resource's events; it holds no queue, so a slow reader costs nothing."""

    async def next(self) -> Sequence[Event]:
        """Wait for events; return them in order, none when the watch was ended.

        Raises:
            ExpiredError: the history at this position was compacted.
        """

    def settled(self) -> int:
        """Return the revision up to which the reader has seen everything, 0 if it has not."""

    def close(self) -> None:
        """Wake the reader a last time: `next` then returns no events."""


class Store(Protocol):
    """Objects by key with one revision counter. The values passed in become the store's own."""

    @property
    def revision(self) -> int:
        """The revision of the last write that readers can see."""

    @property
    def compacted(self) -> int:
        """The newest revision that was compacted: no watch resumes before it."""

    def get(self, key: Key) -> Stored | None:
        """Return the object, or None."""

    def list(
        self, resource: str, namespace: str = "", *, after: Key | None = None, at: int | None = None
    ) -> Snapshot:
        """Return a resource's objects in key order, of one namespace unless it is empty.

        Args:
            resource: the first part of the keys.
            namespace: only this namespace's objects; empty for all.
            after: only objects whose keys are greater.
            at: the objects as they were at this revision, not as they are.

        Raises:
            ExpiredError: the history back to *at* is not there any more, or never was.
        """

    async def fresh(self) -> None:
        """Return when reads see every write that anyone was acknowledged before this call.

        Raises:
            EngineError: the store can't find out; reads answer what it last knew.
        """

    async def create(self, key: Key, value: Object) -> Stored:
        """Store a new object, with its revision in ``metadata.resourceVersion``.

        Raises:
            ConflictError: the key is taken.
            UncertainError: the store got no answer; the write may have happened.
            EngineError: the store could not write; nothing changed.
        """

    async def update(self, key: Key, value: Object, *, expected: int) -> Stored:
        """Replace the object whose revision is *expected*.

        Raises:
            ConflictError: another write was faster: the revision is not *expected*.
            UncertainError: the store got no answer; the write may have happened.
            EngineError: the store could not write; nothing changed.
        """

    async def delete(self, key: Key, *, expected: int) -> Stored:
        """Remove the object whose revision is *expected*; return it with the deletion's revision.

        Raises:
            ConflictError: another write was faster: the revision is not *expected*.
            UncertainError: the store got no answer; the write may have happened.
            EngineError: the store could not write; nothing changed.
        """

    def watch(self, resource: str, namespace: str = "", *, since: int) -> Watch:
        """Follow the events after revision *since*.

        Raises:
            ExpiredError: *since* was compacted, or lies in the future (another store's number).
        """

    def end_watches(self) -> None:
        """End all watches: their readers get no events once more, then stop."""

    async def close(self) -> None:
        """End all watches, finish the writes on their way, let go of the files."""


def with_revision(key: Key, value: Mapping[str, Any], revision: int) -> Stored:
    """Return *value* as stored at *revision*, which it carries as its ``resourceVersion``."""
    decoded = dict(value)
    decoded["metadata"] = {**decoded.get("metadata", {}), "resourceVersion": str(revision)}
    return Stored(key, revision, msgspec.json.encode(decoded), decoded)
