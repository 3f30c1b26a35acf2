"""A watch as HTTP: one JSON object a line, for as long as the client wants.

Source: Kubernetes API concepts, "Efficient detection of changes", "Watch bookmarks" and "Streaming
lists". An object that leaves the selection is DELETED to that watcher, one that enters is ADDED.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from chita.errors import ExpiredError
from chita.server import representation
from chita.server.status import status_of
from chita.store.store import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chita.server.representation import View
    from chita.server.selectors import Filter
    from chita.store.store import Event, Store, Stored, Watch

BOOKMARK_EVERY_S = 60.0
LOOK_EVERY_S = 5.0  # whether the client is still there
DEFAULT_TIMEOUT_S = 1800.0  # as apiserver: this to twice this, so that clients spread out
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}
MAX_CHUNK_BYTES = 256 * 1024
GONE = (ConnectionError, ConnectionResetError)


class WatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks of a watch. *since* None starts with the objects there are."""

    view: View
    selection: Filter
    namespace: str
    since: int | None
    wants_bookmarks: bool
    wants_end_mark: bool  # of the initial events (sendInitialEvents)
    timeout_s: float


async def stream(request: web.BaseRequest, store: Store, asked: WatchRequest) -> web.StreamResponse:
    """Answer *request* with events until the client, the time or the server ends it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        await _events(request, response, store, asked)
        await response.write_eof()
    except ExpiredError as error:
        text = msgspec.json.encode(status_of(error))
        await response.write(_line(b"ERROR", text))
        await response.write_eof()
    except GONE:
        pass  # the client hung up, which is how watches usually end
    return response


async def _events(
    request: web.BaseRequest, response: web.StreamResponse, store: Store, asked: WatchRequest
) -> None:
    since = asked.since
    if since is None:
        snapshot = store.list(asked.view.kind.resource, asked.namespace)
        since = snapshot.revision
        items = (item for item in snapshot.items if asked.selection.matches(item.object))
        await _write(response, (_object(asked.view, b"ADDED", item) for item in items))
        if asked.wants_end_mark:
            await response.write(_bookmark(asked.view, since, INITIAL_EVENTS_END))
    watch = store.watch(asked.view.kind.resource, asked.namespace, since=since)
    try:
        await _follow(request, response, watch, asked)
    finally:
        watch.close()


async def _follow(
    request: web.BaseRequest, response: web.StreamResponse, watch: Watch, asked: WatchRequest
) -> None:
    clock = asyncio.get_running_loop().time
    end, next_mark = clock() + asked.timeout_s, clock() + BOOKMARK_EVERY_S
    while (now := clock()) < end:
        try:
            async with asyncio.timeout(min(LOOK_EVERY_S, end - now)):
                events = await watch.next()
        except TimeoutError:
            if request.transport is None or request.transport.is_closing():
                return
        else:
            if not events:  # the server is stopping
                break
            await _write(response, _lines(asked, events))
        if clock() >= next_mark and asked.wants_bookmarks and (revision := watch.settled()):
            await response.write(_bookmark(asked.view, revision, {}))
            next_mark = clock() + BOOKMARK_EVERY_S
    if asked.wants_bookmarks and (revision := watch.settled()):
        await response.write(_bookmark(asked.view, revision, {}))


async def _write(response: web.StreamResponse, lines: Iterable[bytes]) -> None:
    """Write lines, joined into few chunks: each costs a TLS record."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size > MAX_CHUNK_BYTES:
            await response.write(b"".join(chunk))
            chunk, size = [], 0
    if chunk:
        await response.write(b"".join(chunk))


def _lines(asked: WatchRequest, events: Iterable[Event]) -> Iterator[bytes]:
    for event in events:
        type_ = _type_for(asked.selection, event)
        if type_ is not None:
            yield _object(asked.view, type_.value.encode(), event.current)


def _type_for(selection: Filter, event: Event) -> EventType | None:
    """Return what an event is to a watcher that sees only its selection."""
    if selection.is_empty:
        return event.type
    matches = selection.matches(event.current.object)
    if event.type is not EventType.MODIFIED:
        return event.type if matches else None
    # An unknown past: MODIFIED or DELETED of an object the watcher may not have is harmless.
    matched = event.previous is None or selection.matches(event.previous.object)
    match matched, matches:
        case True, True:
            return EventType.MODIFIED
        case False, True:
            return EventType.ADDED
        case True, False:
            return EventType.DELETED
    return None


def _object(view: View, type_: bytes, stored: Stored) -> bytes:
    return _line(type_, representation.one(view, stored))


def _bookmark(view: View, revision: int, annotations: dict[str, str]) -> bytes:
    return _line(b"BOOKMARK", representation.bookmark(view, revision, annotations))


def _line(type_: bytes, text: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_, text)


def timeout(seconds: int) -> float:
    """Return how long a watch lasts that asks for *seconds*, 0 when it does not say."""
    return float(seconds) if seconds else DEFAULT_TIMEOUT_S * (1 + random.random())
