"""The distributed store: objects in etcd, one transaction a write, reads from memory.

How a write whose answer is missing is settled, and what several servers on one etcd promise, is
argued in docs/adr/0022-etcd.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Self

from chita.errors import ConflictError, EngineError
from chita.store.catalog import Catalog
from chita.store.catalogued import CatalogReads
from chita.store.etcd import wire
from chita.store.etcd.client import EtcdClient
from chita.store.etcd.layout import VERSION, Layout, value_of
from chita.store.etcd.refusals import EtcdRefusedError
from chita.store.etcd.replica import Replica
from chita.store.etcd.writes import TXN, Write, Writer
from chita.store.store import with_revision
from chita.telemetry.log import logger

if TYPE_CHECKING:
    from chita.store.etcd.settings import EtcdSettings
    from chita.store.store import Key, Object, Stored

COMPACTION = "/v3/kv/compaction"
log = logger("etcd")


class EtcdStore(CatalogReads):
    """A `Store` in etcd. Make it with `open`, inside the event loop that uses it."""

    def __init__(
        self, client: EtcdClient, replica: Replica, writer: Writer, catalog: Catalog
    ) -> None:
        super().__init__(catalog)
        self._client = client
        self._replica = replica
        self._writer = writer
        self._tasks = [asyncio.create_task(replica.follow(), name="etcd-watch")]

    @classmethod
    async def open(cls, settings: EtcdSettings, *, history_events: int = 10_000) -> Self:
        """Read everything below the settings' prefix, and follow it from there.

        Raises:
            EngineError: etcd does not answer, or what is there is not ours.
            InputError: a certificate file is not usable.
        """
        client, layout = EtcdClient(settings), Layout(settings.prefix)
        catalog = Catalog(history_events=history_events)
        replica = Replica(client, layout, catalog, history_events=history_events)
        try:
            await _claim(client, layout)
            await replica.load()
        except BaseException:
            await client.close()
            raise
        store = cls(client, replica, Writer(client, layout, replica), catalog)
        if settings.compaction_s:
            store.compact_every(settings.compaction_s)
        return store

    def compact_every(self, period_s: float) -> None:
        """Drop from etcd, every *period_s*, the history that is older than that."""
        self._tasks.append(asyncio.create_task(self._compact(period_s), name="etcd-compaction"))

    async def fresh(self) -> None:
        """Wait until this server has seen what any server was acknowledged.

        Raises:
            EngineError: no majority of etcd answers, or its watch is behind.
        """
        await self._writer.fresh()

    async def create(self, key: Key, value: Object) -> Stored:
        """Store a new object; return when a majority has it on the disk and reads see it."""
        if self._catalog.get(key) is not None:
            raise ConflictError(f"create {_named(key)}: it exists")
        write = Write(verb="create", key=key, value=value_of(value), expected=0)
        return await self._written(write, value)

    async def update(self, key: Key, value: Object, *, expected: int) -> Stored:
        """Replace an object by compare-and-swap; return when a majority has it on the disk."""
        await self._expect(key, expected, "update")
        write = Write(verb="update", key=key, value=value_of(value), expected=expected)
        return await self._written(write, value)

    async def delete(self, key: Key, *, expected: int) -> Stored:
        """Remove an object by compare-and-swap; return when a majority has that on the disk."""
        before = await self._expect(key, expected, "delete")
        write = Write(verb="delete", key=key, value=None, expected=expected)
        return await self._written(write, before.object)

    async def close(self) -> None:
        """End all watches, let go of etcd."""
        self.end_watches()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _written(self, write: Write, value: Object) -> Stored:
        try:
            revision = await self._writer.write(write)
        except ConflictError as error:
            raise ConflictError(f"{write.verb} {_named(write.key)}: {error}") from error
        try:
            async with asyncio.timeout(self._client.timeout_s):
                await self._replica.reached(revision)
        except TimeoutError:
            log.warning("acknowledged, not seen yet", key=_named(write.key), revision=revision)
        found = self._catalog.get(write.key)
        if found is not None and found.revision == revision:
            return found
        return with_revision(write.key, value, revision)

    async def _expect(self, key: Key, expected: int, verb: str) -> Stored:
        if expected > self.revision:
            await self.fresh()  # the writer has read another server that was faster
        latest = self._catalog.get(key)
        if latest is None or latest.revision != expected:
            found = "gone" if latest is None else f"at revision {latest.revision}"
            raise ConflictError(
                f"{verb} {_named(key)} at revision {expected}: it is {found}; read it again"
            )
        return latest

    async def _compact(self, period_s: float) -> NoReturn:
        while True:
            revision = self._replica.seen
            await asyncio.sleep(period_s)
            with suppress(EtcdRefusedError):  # another server was faster
                try:
                    request = {"revision": revision}
                    await self._client.ask(COMPACTION, request, wire.Acknowledged)
                except EngineError as error:
                    log.warning("etcd was not compacted, trying again", reason=str(error))


async def _claim(client: EtcdClient, layout: Layout) -> None:
    """Make the keys that every write compares with; leave alone what another layout wrote.

    Raises:
        EngineError: etcd does not answer, or a newer program wrote there.
    """
    request = {
        "compare": [wire.is_at(layout.version, 0)],
        "success": [wire.put(layout.version, VERSION), wire.put(layout.fence, b"0")],
        "failure": [{"request_range": wire.range_of(layout.version)}],
    }
    # May be repeated: whoever comes second finds the version and changes nothing.
    answer = await client.ask(TXN, request, wire.TxnAnswer)
    if answer.succeeded:
        return
    found = answer.responses[0].response_range
    version = found.kvs[0].value if found is not None and found.kvs else b""
    if version != VERSION:
        raise EngineError(
            f"{layout.prefix.decode()} of {client.name}: it has layout "
            f"{version.decode(errors='replace')!r}, this program reads {VERSION.decode()}; use the "
            "program that wrote it, or another --etcd-prefix"
        )


def _named(key: Key) -> str:
    return f"{key.resource} {key.namespace}/{key.name}"
