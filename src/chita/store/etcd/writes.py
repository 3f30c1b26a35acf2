"""One write to etcd, and what becomes of it when its answer is missing.

A lost answer leaves open whether etcd did it, did not, or still will: the request may wait in the
log of a member that led a moment ago. So every write also compares the *fence*, a key of its own.
Who misses an answer raises the fence. From then on the write in question can't happen any more, and
whether it has happened is in the events up to there, by its mark. Only then, when it has not, it is
sent again.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import msgspec

from chita.errors import ConflictError, EngineError, UncertainError
from chita.store.etcd import wire
from chita.store.etcd.refusals import EtcdRefusedError
from chita.store.store import Key

if TYPE_CHECKING:
    from chita.store.etcd.client import EtcdClient
    from chita.store.etcd.layout import Layout
    from chita.store.etcd.replica import Replica

TXN = "/v3/kv/txn"
PUT = "/v3/kv/put"


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the object whose revision is *expected*, 0 if there is none; None deletes it."""

    verb: str
    key: Key
    value: bytes | None
    expected: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One sending of a write: the name in its mark, the fence it compares, the replica's loads."""

    name: bytes
    fence: int
    loads: int


class Writer:
    """Writes to etcd."""

    def __init__(self, client: EtcdClient, layout: Layout, replica: Replica) -> None:
        self._client = client
        self._layout = layout
        self._replica = replica
        self._fencing = asyncio.Lock()
        self._has_doubt = False  # the last write stayed open: first see that etcd answers

    async def fresh(self) -> None:
        """Wait until the replica has everything that was acknowledged before.

        Raises:
            EngineError: no majority answers, or the replica's watch does not go on.
        """
        newest = await self._client_newest()
        try:
            async with asyncio.timeout(self._client.timeout_s):
                await self._replica.reached(newest)
        except TimeoutError as error:
            raise EngineError(
                f"{self._client.name}: objects are known up to revision {self._replica.seen}, etcd "
                f"is at {newest}, and no watch brings the rest within {self._client.timeout_s:g} s"
            ) from error

    async def write(self, write: Write) -> int:
        """Return the revision of a write that a majority has on the disk.

        Raises:
            ConflictError: the object is not at the expected revision; reads see the one it is at.
            UncertainError: whether it happened could not be found out.
            EngineError: nothing was written.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + self._client.timeout_s
        has_mark = True
        while True:
            try:
                if self._has_doubt:
                    await self._client_newest()
                    self._has_doubt = False
                revision, has_mark = await self._attempt(write, has_mark=has_mark)
            except UncertainError as error:
                raise UncertainError(f"{_what(write)}: {error}") from error
            except EngineError as error:
                raise EngineError(f"{_what(write)}: {error}; nothing was written") from error
            if revision:
                return revision
            if clock() > end:
                raise EngineError(
                    f"{_what(write)} to {self._client.name}: others' writes stayed open all the "
                    "time, so that it could not be sent; nothing was written; try again"
                )

    async def _attempt(self, write: Write, *, has_mark: bool) -> tuple[int, bool]:
        """Return the revision, 0 when nothing happened and it may be sent again."""
        attempt = Attempt(
            name=secrets.token_bytes(12), fence=self._replica.fence, loads=self._replica.loads
        )
        with self._replica.looking_for(attempt.name):
            try:
                request = self._request(write, attempt, has_mark=has_mark)
                answer = await self._client.send(TXN, request, wire.TxnAnswer)
            except UncertainError as error:
                if not has_mark:
                    raise
                return await self._find_out(attempt, error), has_mark
            except EtcdRefusedError as error:
                # A full etcd takes no key, also no mark, but still deletes.
                if error.has_no_space and write.value is None and has_mark:
                    return 0, False
                raise
        if answer.succeeded:
            return answer.header.revision, has_mark
        found, fence, marked = (answer.newest(index) for index in range(3))
        if found == write.expected:
            self._replica.fence = max(self._replica.fence, fence)
            return 0, has_mark
        await self._lose(max(found, marked))
        where = f"at revision {found}" if found else "gone"
        raise ConflictError(f"another server was faster: it is {where}; read it again")

    def _request(self, write: Write, attempt: Attempt, *, has_mark: bool) -> wire.Body:
        place, mark = self._layout.object(write.key), self._layout.mark(write.key.resource)
        change = wire.remove(place) if write.value is None else wire.put(place, write.value)
        return {
            "compare": [
                wire.is_at(place, write.expected),
                wire.is_at(self._layout.fence, attempt.fence),
            ],
            "success": [change, *([wire.put(mark, attempt.name)] if has_mark else [])],
            "failure": [wire.read(place), wire.read(self._layout.fence), wire.read(mark)],
        }

    async def _find_out(self, attempt: Attempt, error: UncertainError) -> int:
        """Return the revision of a write without answer, 0 when it never happened nor will."""
        try:
            async with asyncio.timeout(2 * self._client.timeout_s):
                await self._replica.reached(await self._raised_fence(attempt.fence))
        except (TimeoutError, EngineError) as cause:
            self._has_doubt = True
            raise UncertainError(
                f"{error}; it may have happened, or may yet: read the object before you write it "
                f"again ({cause or 'no event came in time'})"
            ) from error
        if self._replica.loads != attempt.loads:
            raise UncertainError(f"{error}; its history was compacted: read the object") from error
        return self._replica.sighting(attempt.name)

    async def _raised_fence(self, old: int) -> int:
        """Return the revision of a fence that no write with the *old* one passes."""
        async with self._fencing:
            if self._replica.fence == old:
                request = {"key": self._layout.fence, "value": secrets.token_bytes(12)}
                # May be repeated: each time does what once does.
                answer = await self._client.ask(PUT, request, wire.Acknowledged)
                self._replica.fence = max(self._replica.fence, answer.header.revision)
            return self._replica.fence

    async def _lose(self, revision: int) -> None:
        """Wait until who lost can read what won."""
        try:
            async with asyncio.timeout(self._client.timeout_s):
                await self._replica.reached(revision)
        except TimeoutError:
            return

    async def _client_newest(self) -> int:
        return await self._replica.newest()


def _what(write: Write) -> str:
    return f"{write.verb} {write.key.resource} {write.key.namespace}/{write.key.name}"
