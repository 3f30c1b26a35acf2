"""A server's memory of etcd: loaded once, then kept equal by one watch over all of our keys.

The watch resumes at another member from the revision it has seen, so that no event is lost or told
twice. Silence says nothing: a member that was cut off from the others is silent too. So the newest
mark is read from a majority every `CHECK_S`, and a stream that does not bring it is given up.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from chita.errors import EngineError
from chita.store.etcd import wire
from chita.store.etcd.refusals import NoAnswerError
from chita.store.etcd.snapshot import RANGE, read_content, read_history
from chita.store.store import Event, EventType, with_revision
from chita.telemetry.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chita.store.catalog import Catalog
    from chita.store.etcd.client import EtcdClient
    from chita.store.etcd.layout import Layout
    from chita.store.etcd.stream import WatchStream
    from chita.store.store import Stored

CHECK_S = 2.0  # silence after which the newest mark is read
LAG_S = 0.5  # silence of a stream that is known to be behind
PAUSE_S = 0.05  # before a broken watch is opened again; doubles
MAX_PAUSE_S = 1.0
log = logger("etcd")


class LostHistoryError(EngineError):
    """What was seen and what etcd can tell do not meet: everything must be read again."""


class Replica:
    """The catalog's writer.

    Attributes:
        seen: the revision up to which the catalog is complete.
        fence: the fence's newest known revision.
        loads: how often everything was read; events in between may never have been seen.
    """

    def __init__(
        self, client: EtcdClient, layout: Layout, catalog: Catalog, *, history_events: int
    ) -> None:
        self.seen = 0
        self.fence = 0
        self.loads = 0
        self._client = client
        self._layout = layout
        self._catalog = catalog
        self._history_events = history_events
        self._expected = 0  # a revision that is known to exist
        self._news = asyncio.Event()
        self._sightings: dict[bytes, int] = {}

    async def load(self) -> None:
        """Read everything; who watches the catalog has to list again.

        Raises:
            EngineError: etcd does not answer.
        """
        content = await read_content(self._client, self._layout)
        since = max(1, content.revision - self._history_events)
        history = await read_history(self._client, self._layout, content, since=since)
        self._catalog.replace(
            content.objects, history.events, compacted=history.compacted, revision=content.revision
        )
        self.seen = self._expected = content.revision
        self.fence = content.fence
        self.loads += 1
        self._tell()

    async def follow(self) -> NoReturn:
        """Keep the catalog equal to etcd."""
        pause = PAUSE_S
        while True:
            before = self.seen
            try:
                await self._watch()
            except LostHistoryError as error:
                log.warning("history lost, reading all objects again", reason=str(error))
                await self._reload()
            except EngineError as error:
                log.warning("etcd watch broke, resuming", reason=str(error), revision=self.seen)
            except Exception:
                # A replica that stopped would answer old objects for ever.
                log.exception("etcd watch failed, resuming", revision=self.seen)
            pause = PAUSE_S if self.seen > before else min(pause * 2, MAX_PAUSE_S)
            await asyncio.sleep(pause)

    async def reached(self, revision: int) -> None:
        """Return when the catalog has everything up to *revision*."""
        self._expected = max(self._expected, revision)
        while self.seen < revision:
            await self._news.wait()

    async def newest(self) -> int:
        """Return the revision of the last write, as a majority knows it now.

        Raises:
            EngineError: no majority answers.
            LostHistoryError: etcd has gone back behind what it told before.
        """
        request = wire.range_from(self._layout.marks, keys_only=True)
        seen = self.seen
        answer = await self._client.ask(RANGE, request, wire.RangeAnswer)
        if answer.header.revision < seen:
            raise LostHistoryError(
                f"{self._client.name} is at revision {answer.header.revision} and was at {seen}: "
                "it was restored from a backup"
            )
        return max((kv.mod_revision for kv in answer.kvs), default=0)

    @contextmanager
    def looking_for(self, name: bytes) -> Iterator[None]:
        """Notice the mark of the write *name* while the context lasts."""
        self._sightings[name] = 0
        try:
            yield
        finally:
            del self._sightings[name]

    def sighting(self, name: bytes) -> int:
        """Return the revision of the write *name*, 0 when its mark has not come."""
        return self._sightings[name]

    async def _reload(self) -> None:
        try:
            await self.load()
        except EngineError as error:
            log.warning("reading all objects failed, trying again", reason=str(error))

    async def _watch(self) -> NoReturn:
        # From *seen*, not behind it: see `read_history`. What was seen is skipped.
        request = wire.range_from(self._layout.prefix, start_revision=self.seen)
        async with self._client.watch(request) as stream:
            while True:
                is_behind = self.seen < self._expected
                try:
                    answers = await stream.next(LAG_S if is_behind else CHECK_S)
                except TimeoutError:
                    await self._check_silence(stream)
                    continue
                for answer in answers:
                    await self._take(answer)

    async def _check_silence(self, stream: WatchStream) -> None:
        if self.seen < self._expected:
            raise NoAnswerError(
                f"{stream.endpoint}: its watch is silent at revision {self.seen}, and "
                f"{self._expected} is known"
            )
        try:
            self._expected = max(self._expected, await self.newest())
        except LostHistoryError:
            raise
        except EngineError as error:
            log.warning("etcd does not answer, objects may be old", reason=str(error))

    async def _take(self, answer: wire.WatchAnswer) -> None:
        if answer.canceled:
            if answer.compact_revision:
                raise LostHistoryError(
                    f"etcd compacted up to {answer.compact_revision}, seen was {self.seen}"
                )
            raise NoAnswerError(f"watch: etcd ended it: {answer.cancel_reason}")
        if answer.created and answer.header.revision < self.seen:
            await self.newest()  # is this member behind, or has all of etcd gone back?
        fresh = [change for change in answer.events if change.kv.mod_revision > self.seen]
        if not fresh:
            return
        for change in fresh:
            self._apply(change)
        self.seen = fresh[-1].kv.mod_revision
        self._catalog.compaction()
        self._tell()

    def _apply(self, change: wire.WatchEvent) -> None:
        kv = change.kv
        if kv.key == self._layout.fence:
            self.fence = max(self.fence, kv.mod_revision)
        elif kv.key.startswith(self._layout.marks):
            if kv.value in self._sightings:
                self._sightings[kv.value] = kv.mod_revision
        elif (event := self._event(change)) is not None:
            self._catalog.publish(event)

    def _event(self, change: wire.WatchEvent) -> Event | None:
        key = self._layout.key(change.kv.key)
        if key is None:
            return None
        previous = self._catalog.get(key)
        current: Stored | None
        if change.is_deletion:
            if previous is None:
                return None
            gone = with_revision(key, previous.object, change.kv.mod_revision)
            return Event(type=EventType.DELETED, current=gone, previous=previous)
        current = self._layout.stored(change.kv)
        if current is None:
            log.warning("key is no object, left out", key=change.kv.key.decode(errors="replace"))
            return None
        type_ = EventType.ADDED if previous is None else EventType.MODIFIED
        return Event(type=type_, current=current, previous=previous)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
