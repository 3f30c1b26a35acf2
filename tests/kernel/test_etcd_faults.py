"""The store on an etcd that fails: what was acknowledged is there, and each event came once.

A writer notes every acknowledgement; after the fault the objects, as a new server reads them, and
the events that a watcher saw are compared with the notes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chita.errors import ConflictError, EngineError, ExpiredError, UncertainError
from chita.store.etcd.etcd import EtcdStore
from chita.store.etcd.settings import EtcdSettings
from chita.store.store import Event, EventType, Key
from etcd_process import Member, needs_etcd, running_etcd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = [needs_etcd, pytest.mark.kernel, pytest.mark.slow]
TIMEOUT_S = 3.0


def settings(members: Sequence[Member]) -> EtcdSettings:
    urls = tuple(member.url for member in members)
    return EtcdSettings(endpoints=urls, timeout_s=TIMEOUT_S, compaction_s=0)


@asynccontextmanager
async def opened(members: Sequence[Member]) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(settings(members), history_events=100_000)
    try:
        yield store
    finally:
        await store.close()


class Notes:
    """What a writer was told: by name the acknowledged number, and writes that stayed open."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.revisions: list[int] = []
        self.open: dict[str, int] = {}
        self.refused = 0


async def write_until(stop: asyncio.Event, store: EtcdStore, name: str, notes: Notes) -> None:
    """Count up one object's number as fast as the store takes it."""
    key = Key("pods", "default", name)
    for number in itertools.count(1):
        if stop.is_set():
            return
        value = {"metadata": {"name": name}, "n": number}
        found = store.get(key)
        try:
            if found is None:
                stored = await store.create(key, value)
            else:
                stored = await store.update(key, value, expected=found.revision)
        except UncertainError:
            notes.open[name] = number
        except (ConflictError, EngineError):
            notes.refused += 1
        else:
            notes.acknowledged[name] = number
            notes.revisions.append(stored.revision)


async def collect(store: EtcdStore, since: int, events: list[Event]) -> None:
    watch = store.watch("pods", since=since)
    while batch := await watch.next():
        events += batch


async def until(condition: Any, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.02)


def leader_of(members: Sequence[Member]) -> Member:
    for member in members:
        status = member.call("/v3/maintenance/status", {})
        if status["leader"] == status["header"]["member_id"]:
            return member
    raise AssertionError("no leader")


async def check(members: Sequence[Member], notes: Notes, events: Sequence[Event]) -> None:
    """Nothing acknowledged is lost, no event is lost or told twice."""
    seen = [event.current.revision for event in events]
    assert sorted(set(seen)) == seen
    assert set(notes.revisions) <= set(seen)
    async with opened(members) as store:
        for name, number in notes.acknowledged.items():
            found = store.get(Key("pods", "default", name))
            assert found is not None
            assert found.object["n"] in {number, notes.open.get(name, number)}
            latest = [e for e in events if e.current.key.name == name][-1]
            assert latest.current.revision == found.revision


@pytest.mark.parametrize("fault", ["leader-killed", "follower-killed", "leader-silent", "moved"])
def test_a_member_fails_under_load(fault: str, tmp_path: Path) -> None:
    """Two servers write through a change of members; all goes on, with what was acknowledged."""

    async def body(members: list[Member]) -> None:
        leader = await asyncio.to_thread(leader_of, members)
        follower = next(member for member in members if member is not leader)
        # The first server begins at the member that fails, the second at another.
        failing = follower if fault == "follower-killed" else leader
        ordered = [failing, *(member for member in members if member is not failing)]
        async with opened(ordered) as first, opened(ordered[::-1]) as second:
            notes, events, others = Notes(), list[Event](), list[Event]()
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                watchers = [
                    tasks.create_task(collect(first, first.revision, events)),
                    tasks.create_task(collect(second, second.revision, others)),
                ]
                writers = [
                    tasks.create_task(write_until(stop, store, f"{store is first}-{n}", notes))
                    for store in (first, second)
                    for n in range(3)
                ]
                await until(lambda: len(notes.acknowledged) == 6)
                match fault:
                    case "leader-silent":
                        failing.pause()
                    case "moved":
                        target = follower.call("/v3/maintenance/status", {})["header"]["member_id"]
                        await asyncio.to_thread(
                            leader.call, "/v3/maintenance/transfer-leadership", {"targetID": target}
                        )
                    case _:
                        failing.kill()
                then = len(notes.revisions)
                before = dict(notes.acknowledged)
                await until(
                    lambda: (
                        all(notes.acknowledged[n] > before[n] + 5 for n in before)
                        and len(notes.revisions) > then + 60
                    )
                )
                stop.set()
                await asyncio.wait(writers)
                await first.fresh()
                await second.fresh()
                assert first.revision == second.revision
                for watcher in watchers:
                    watcher.cancel()
            assert [e.current.revision for e in events] == [e.current.revision for e in others]
            await check(ordered[1:], notes, events)

    with running_etcd(tmp_path, 3) as members:
        asyncio.run(body(members))


def test_no_majority_refuses_in_bounded_time(tmp_path: Path) -> None:
    """Writes say so with endpoint and mend, reads go on from memory, and all goes on after."""

    async def body(members: list[Member]) -> None:
        key = Key("pods", "default", "a")
        async with opened(members) as store:
            stored = await store.create(key, {"n": 1})
            for member in members[1:]:
                member.kill()
            start = time.monotonic()
            with pytest.raises(UncertainError, match="read the object before") as first:
                await store.update(key, {"n": 2}, expected=stored.revision)
            assert time.monotonic() - start < 5 * TIMEOUT_S
            assert members[0].url in str(first.value)
            # The second is not even sent: that it did not happen is certain.
            with pytest.raises(EngineError, match="nothing was written") as second:
                await store.update(key, {"n": 3}, expected=stored.revision)
            assert not isinstance(second.value, UncertainError)
            assert "majority" in str(second.value)
            with pytest.raises(EngineError, match="majority"):
                await store.fresh()
            assert store.get(key) is stored
            for member in members[1:]:
                member.start()
            await asyncio.to_thread(members[0].wait)
            await store.fresh()
            found = store.get(key)
            assert found is not None
            assert found.object["n"] in {1, 2}
            after = await store.update(key, {"n": 4}, expected=found.revision)
            assert after.object["n"] == 4

    with running_etcd(tmp_path, 3) as members:
        asyncio.run(body(members))


def test_compaction_below_a_watcher(tmp_path: Path) -> None:
    """Who missed what etcd compacted meanwhile is told 410, and the objects are the right ones."""

    async def body(member: Member) -> None:
        keys = [Key("pods", "default", name) for name in "abc"]
        async with opened([member]) as late, opened([member]) as writer:
            stored = [await writer.create(key, {"n": 1}) for key in keys]
            await late.fresh()
            watch = late.watch("pods", since=late.revision)
            late._tasks[0].cancel()  # a server that is cut off
            await asyncio.wait(late._tasks[:1])
            await writer.delete(keys[0], expected=stored[0].revision)
            last = await writer.update(keys[1], {"n": 2}, expected=stored[1].revision)
            await asyncio.to_thread(
                member.call, "/v3/kv/compaction", {"revision": last.revision, "physical": True}
            )
            late._tasks[0] = asyncio.create_task(late._replica.follow())
            with pytest.raises(ExpiredError):
                await asyncio.wait_for(watch.next(), 10)
            assert [i.key.name for i in late.list("pods").items] == ["b", "c"]
            assert late.revision >= last.revision
            # The new state is followed.
            again = late.watch("pods", since=late.revision)
            await writer.create(keys[0], {"n": 3})
            (event,) = await asyncio.wait_for(again.next(), 10)
            assert event.type is EventType.ADDED

    with running_etcd(tmp_path) as (member,):
        asyncio.run(body(member))


def test_a_full_database(tmp_path: Path) -> None:
    """Writes are refused with the mend, deletions work, and nothing acknowledged is lost."""

    async def body(member: Member) -> None:
        async with opened([member]) as store:
            big = {"text": "x" * 200_000}
            kept: list[Key] = []

            async def fill() -> None:
                for number in range(200):
                    key = Key("pods", "default", f"p{number}")
                    await store.create(key, big)
                    kept.append(key)

            with pytest.raises(EngineError, match="alarm disarm") as refused:
                await fill()
            assert not isinstance(refused.value, UncertainError)
            assert "nothing was written" in str(refused.value)
            assert member.url in str(refused.value)
            assert [i.key for i in store.list("pods").items] == sorted(kept)
            for key in kept[:20]:
                found = store.get(key)
                assert found is not None
                await store.delete(key, expected=found.revision)
            # The mend of the message, by etcd's own interface.
            gone = member.call("/v3/kv/compaction", {"revision": store.revision, "physical": True})
            assert gone["header"]
            member.call("/v3/maintenance/defragment", {})
            whose = gone["header"]["member_id"]
            alarm = {"action": "DEACTIVATE", "memberID": whose, "alarm": "NOSPACE"}
            member.call("/v3/maintenance/alarm", alarm)
            await store.create(kept[0], {"n": 1})
        async with opened([member]) as store:
            left = sorted([kept[0], *kept[20:]])
            assert [i.key for i in store.list("pods").items] == left

    # The database is 16 MiB when it is full; etcd writes it in steps.
    with running_etcd(tmp_path, 1, [f"--quota-backend-bytes={16 << 20}"]) as (member,):
        asyncio.run(body(member))


def test_endpoints_of_two_clusters_are_refused(tmp_path: Path) -> None:
    """A fail-over to a strange cluster would lose everything without a word."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    async def body(members: list[Member]) -> None:
        async with opened(members) as store:
            members[0].kill()
            with pytest.raises(EngineError, match="different clusters"):
                await store.create(Key("pods", "default", "a"), {"n": 1})

    with running_etcd(tmp_path / "one") as one, running_etcd(tmp_path / "two") as two:
        asyncio.run(body([*one, *two]))


def test_another_layout_is_left_alone(tmp_path: Path) -> None:
    async def body(member: Member) -> None:
        value = {"key": "L2NoaXRhL2xheW91dA==", "value": "OTk="}  # /chita/layout: 99
        member.call("/v3/kv/put", value)
        with pytest.raises(EngineError, match="layout '99'"):
            await EtcdStore.open(settings([member]))
        absent = msgspec.structs.replace(settings([member]), endpoints=("http://127.0.0.1:1",))
        with pytest.raises(EngineError, match=r"127\.0\.0\.1:1.*majority"):
            await EtcdStore.open(absent)

    with running_etcd(tmp_path) as (member,):
        asyncio.run(body(member))
