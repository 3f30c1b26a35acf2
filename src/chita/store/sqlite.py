"""The durable store: one SQLite file, one writer thread, one fsync for many writes.

The layout and the choice of ``synchronous=FULL`` are argued in docs/adr/0004-sqlite-layout.md.
The file holds the current objects and the recent history; both are read once, when it is opened.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Self

import msgspec

from chita.errors import EngineError
from chita.store.catalog import Catalog
from chita.store.catalogued import CataloguedStore
from chita.store.store import Event, EventType, Key, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE object (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
);
CREATE TABLE history (
    revision INTEGER PRIMARY KEY, type TEXT NOT NULL,
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL
);
"""
MAX_BATCH = 256  # writes in one transaction: bounds how long the first of them waits


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A checked write on its way to the disk.

    *generation* counts the failed transactions before it: a write that was checked against the
    outcome of one that then failed must fail too.
    """

    event: Event
    written: asyncio.Future[None]
    generation: int
    compacted: int  # forget the history up to here


class SqliteStore(CataloguedStore):
    """A `Store` in one file. Make it with `open`, inside the event loop that uses it."""

    def __init__(self, connection: sqlite3.Connection, catalog: Catalog) -> None:
        super().__init__(catalog)
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._generation = 0
        self._last: asyncio.Future[None] | None = None
        self._writer = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, history_events: int = 10_000) -> Self:
        """Open or create the file at *path* and read it whole.

        Raises:
            EngineError: it can't be read, is not ours, or another process holds it.
        """
        try:
            path.touch(mode=0o600)  # SQLite gives the WAL the same mode
            connection = _connect(path)
            catalog = Catalog(history_events=history_events)
            catalog.load(_objects(connection), _history(connection))
        except (sqlite3.Error, OSError) as error:
            raise EngineError(
                f"open {path}: {error}; is another chita server running on it?"
            ) from error
        return cls(connection, catalog)

    async def close(self) -> None:
        """End all watches, finish the queued writes, fold the WAL into the file."""
        self.end_watches()
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)

    async def _settle(self) -> None:
        if self._last is not None:
            await asyncio.wait([self._last])

    async def _keep(self, event: Event) -> None:
        written = self._loop.create_future()
        self._last = written
        self._queue.put(
            Write(
                event=event,
                written=written,
                generation=self._generation,
                compacted=self._catalog.compaction(),
            )
        )
        # A client that hangs up must not undo a write that is already queued.
        await asyncio.shield(written)

    def _run(self) -> None:
        """Write down what is queued, all in one transaction, until told to stop."""
        failed = -1
        running = True
        while running:
            batch, running = self._take()
            refusal: Exception | None = None
            writes = [write for write in batch if write.generation > failed]
            try:
                self._transact(writes)
            except Exception as error:  # noqa: BLE001 - a dead thread would hang all writers
                refusal = error
                failed = writes[-1].generation
            stale = [write for write in batch if write not in writes]
            self._loop.call_soon_threadsafe(self._finish, writes, stale, refusal)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _take(self) -> tuple[Sequence[Write], bool]:
        """Wait for a write, then take what else is there; False when told to stop."""
        first = self._queue.get()
        batch: list[Write] = []
        while first is not None:
            batch.append(first)
            if len(batch) == MAX_BATCH or self._queue.empty():
                return batch, True
            first = self._queue.get()
        return batch, False

    def _transact(self, writes: Sequence[Write]) -> None:
        if not writes:
            return
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                _write(connection, write.event)
            connection.execute("DELETE FROM history WHERE revision <= ?", (writes[-1].compacted,))

    def _finish(
        self, writes: Sequence[Write], stale: Sequence[Write], refusal: Exception | None
    ) -> None:
        """Publish what is on the disk, or forget it; in the event loop's thread."""
        if refusal is None:
            for write in writes:
                self._catalog.publish(write.event)
                _resolve(write.written, None)
        else:
            self._generation += 1
            self._catalog.abandon()
            stale = [*writes, *stale]
        for write in stale:
            reason = refusal or "a write before it failed"
            _resolve(
                write.written,
                EngineError(f"write to the store's file: {reason}; is the disk full?"),
            )


def _resolve(future: asyncio.Future[None], error: EngineError | None) -> None:
    if future.done():  # its reader was cancelled together with the loop
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=2, cached_statements=16
    )
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # one server per file; no shm file
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise EngineError(
            f"open {path}: it has layout {version}, this program reads {SCHEMA_VERSION}; "
            "use the program that wrote it"
        )
    return connection


def _objects(connection: sqlite3.Connection) -> Iterator[Stored]:
    query = "SELECT resource, namespace, name, revision, value FROM object"
    for resource, namespace, name, revision, value in connection.execute(query):
        yield Stored(Key(resource, namespace, name), revision, value)


def _history(connection: sqlite3.Connection) -> Iterator[Event]:
    latest: dict[Key, Stored] = {}
    query = "SELECT revision, type, resource, namespace, name, value FROM history ORDER BY revision"
    for revision, type_, resource, namespace, name, value in connection.execute(query):
        key = Key(resource, namespace, name)
        current = Stored(key, revision, value)
        current.supersede()
        event = Event(type=EventType(type_), current=current, previous=latest.pop(key, None))
        if event.type is not EventType.DELETED:
            latest[key] = current
        yield event


def _write(connection: sqlite3.Connection, event: Event) -> None:
    current = event.current
    key = (current.key.resource, current.key.namespace, current.key.name)
    if event.type is EventType.DELETED:
        connection.execute(
            "DELETE FROM object WHERE resource = ? AND namespace = ? AND name = ?", key
        )
    else:
        connection.execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)",
            (*key, current.revision, current.data),
        )
    connection.execute(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
        (current.revision, event.type.value, *key, current.data),
    )
