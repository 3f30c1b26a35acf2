"""What a server reads from etcd when it starts: the objects, and the events before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chita.errors import EngineError
from chita.store.etcd import wire
from chita.store.etcd.refusals import EtcdRefusedError
from chita.store.store import Event, EventType, Stored, with_revision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.store.etcd.client import EtcdClient
    from chita.store.etcd.layout import Layout

RANGE = "/v3/kv/range"
PAGE = 1000  # keys in one answer
ATTEMPTS = 5  # a compaction between two pages starts the reading anew


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Everything below the prefix as it was at *revision*.

    *newest* is the revision of the last write, at most *revision*; *fence* that of the fence.
    """

    objects: Sequence[Stored]
    revision: int
    newest: int
    fence: int


class History(msgspec.Struct, frozen=True):
    """The events after revision *compacted*, in order."""

    events: Sequence[Event]
    compacted: int


async def read_content(client: EtcdClient, layout: Layout) -> Content:
    """Read all of our keys as of one moment.

    Raises:
        EngineError: etcd does not answer, or compacts faster than can be read.
    """
    for _ in range(ATTEMPTS):
        try:
            return await _pages(client, layout)
        except EtcdRefusedError as error:
            if not error.is_compacted:
                raise
    raise EngineError(
        f"read {layout.prefix.decode()} of {client.name}: compacted {ATTEMPTS} times while it was "
        "read; raise etcd's --auto-compaction-retention to some minutes"
    )


async def _pages(client: EtcdClient, layout: Layout) -> Content:
    objects: list[Stored] = []
    revision = newest = fence = 0
    start, more = b"", True
    while more:
        request = wire.range_from(layout.prefix, start, limit=PAGE, revision=revision)
        answer = await client.ask(RANGE, request, wire.RangeAnswer)
        revision = revision or answer.header.revision
        for kv in answer.kvs:
            stored = layout.stored(kv)
            if stored is not None:
                objects.append(stored)
            elif kv.key == layout.fence:
                fence = kv.mod_revision
            elif kv.key.startswith(layout.marks):
                newest = max(newest, kv.mod_revision)
        more = answer.more
        if answer.kvs:
            start = answer.kvs[-1].key + b"\0"
    return Content(objects=objects, revision=revision, newest=newest, fence=fence)


async def read_history(
    client: EtcdClient, layout: Layout, content: Content, *, since: int
) -> History:
    """Read the events after *since*, or after what etcd compacted, up to *content*.

    A watch from the past tells them; that the mark of the last write has come says that there are
    no more. Where that does not work out, there is no history: clients list again.
    """
    events: list[Event] = []
    if content.newest <= since:
        return History(events, since)
    # From *since* and not behind it: etcd only refuses what lies before its compaction, and keeps
    # no deletion of that very revision.
    request = {**wire.range_from(layout.prefix, start_revision=since), "prev_kv": True}
    latest: dict[bytes, Stored] = {}
    try:
        async with client.watch(request) as stream:
            while True:
                for answer in await stream.next(client.timeout_s):
                    if answer.canceled and answer.compact_revision > since:
                        since = answer.compact_revision
                        return await read_history(client, layout, content, since=since)
                    for change in answer.events:
                        if since < change.kv.mod_revision <= content.revision:
                            event = _past_event(layout, change, latest)
                            events += [event] if event is not None else []
                    if answer.events and answer.events[-1].kv.mod_revision >= content.newest:
                        return History(events, since)
    except (EngineError, TimeoutError):
        return History([], content.revision)


def _past_event(
    layout: Layout, change: wire.WatchEvent, latest: dict[bytes, Stored]
) -> Event | None:
    key = layout.key(change.kv.key)
    if key is None:
        return None
    previous = latest.pop(change.kv.key, None)
    if previous is None and change.prev_kv is not None:
        previous = layout.stored(change.prev_kv)
    if change.is_deletion:
        if previous is None:
            return None
        gone = with_revision(key, previous.copy(), change.kv.mod_revision)
        gone.supersede()
        return Event(type=EventType.DELETED, current=gone, previous=previous)
    current = layout.stored(change.kv)
    if current is None:
        return None
    latest[change.kv.key] = current
    is_new = change.kv.create_revision == change.kv.mod_revision
    return Event(
        type=EventType.ADDED if is_new else EventType.MODIFIED, current=current, previous=previous
    )
