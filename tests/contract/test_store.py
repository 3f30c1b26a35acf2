"""One suite for every store: what `chita.store.store.Store` promises."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.errors import ConflictError, EngineError, ExpiredError
from chita.store.etcd.etcd import EtcdStore
from chita.store.etcd.settings import EtcdSettings
from chita.store.memory import MemoryStore
from chita.store.sqlite import SqliteStore
from chita.store.store import EventType, Key
from etcd_process import needs_etcd, running_etcd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from chita.store.store import Event, Store

    Scenario = Callable[[Store], Coroutine[Any, Any, None]]

HISTORY = 20


def key(name: str, namespace: str = "", resource: str = "pods") -> Key:
    return Key(resource, namespace, name)


def value(n: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "n": n}


@asynccontextmanager
async def opened(place: Path | EtcdSettings | None) -> AsyncIterator[Store]:
    """Yield the store of a file, of an etcd, or of nothing."""
    store: Store
    match place:
        case None:
            store = MemoryStore(history_events=HISTORY)
        case EtcdSettings():
            store = await EtcdStore.open(place, history_events=HISTORY)
        case path:
            store = SqliteStore.open(path, history_events=HISTORY)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of an etcd; each test takes another prefix of it."""
    with running_etcd(tmp_path_factory.mktemp("etcd")) as (member,):
        yield member.url


PREFIXES = itertools.count()
ETCD = pytest.param("etcd", marks=[needs_etcd, pytest.mark.slow])


@pytest.fixture(params=["memory", "sqlite", ETCD])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | EtcdSettings | None:
    """Return where a new store keeps its objects."""
    match request.param:
        case "memory":
            return None
        case "sqlite":
            return tmp_path / "store.db"
    url: str = request.getfixturevalue("etcd")
    return EtcdSettings(endpoints=(url,), prefix=f"/chita-{next(PREFIXES)}/")


@pytest.fixture
def run(place: Path | EtcdSettings | None) -> Callable[[Scenario], None]:
    """Return what runs a scenario on a new store."""

    def run_on(scenario: Scenario) -> None:
        async def body() -> None:
            async with opened(place) as store:
                await asyncio.wait_for(scenario(store), 20)

        asyncio.run(body())

    return run_on


def told(events: Sequence[Event]) -> list[tuple[str, str, int]]:
    return [(e.type.value, e.current.key.name, e.current.revision) for e in events]


def test_create_get_and_revision(run: Callable[[Scenario], None]) -> None:
    """Each write takes the next number; the object carries it as its resource version."""

    async def scenario(store: Store) -> None:
        base = store.revision
        first = await store.create(key("a"), value())
        second = await store.create(key("b"), value())

        assert (first.revision, second.revision, store.revision) == (base + 1, base + 2, base + 2)
        assert first.object["metadata"]["resourceVersion"] == str(base + 1)
        assert store.get(key("a")) is first
        assert store.get(key("c")) is None
        with pytest.raises(ConflictError):
            await store.create(key("a"), value())
        assert store.revision == base + 2

    run(scenario)


def test_compare_and_swap(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        first = await store.create(key("a"), value())
        second = await store.update(key("a"), value(1), expected=first.revision)

        with pytest.raises(ConflictError, match=f"at revision {second.revision}"):
            await store.update(key("a"), value(2), expected=first.revision)
        with pytest.raises(ConflictError):
            await store.delete(key("a"), expected=first.revision)
        gone = await store.delete(key("a"), expected=second.revision)
        with pytest.raises(ConflictError, match="gone"):
            await store.update(key("a"), value(3), expected=second.revision)
        assert (gone.revision, gone.object["n"]) == (second.revision + 1, 1)
        assert store.get(key("a")) is None

    run(scenario)


def test_concurrent_writers_of_one_revision(run: Callable[[Scenario], None]) -> None:
    """Exactly one wins, and who lost can at once read what won."""

    async def scenario(store: Store) -> None:
        first = await store.create(key("a"), value())

        async def write(n: int) -> int | None:
            try:
                return (await store.update(key("a"), value(n), expected=first.revision)).revision
            except ConflictError:
                found = store.get(key("a"))
                assert found is not None
                assert found.revision > first.revision
                return None

        results = await asyncio.gather(*(write(n) for n in range(1, 9)))
        assert [r for r in results if r is not None] == [first.revision + 1]

    run(scenario)


def test_list_orders_and_limits(run: Callable[[Scenario], None]) -> None:
    """Key order; one namespace or all; behind a key; other resources never."""

    async def scenario(store: Store) -> None:
        for name, namespace in (("b", "x"), ("a", "y"), ("a", "x"), ("c", "xx")):
            await store.create(key(name, namespace), value())
        await store.create(key("a", "x", "services"), value())

        def names(**rest: Any) -> list[tuple[str, str]]:
            items = store.list("pods", **rest).items
            return [(i.key.namespace, i.key.name) for i in items]

        assert names() == [("x", "a"), ("x", "b"), ("xx", "c"), ("y", "a")]
        assert names(namespace="x") == [("x", "a"), ("x", "b")]
        assert names(after=key("b", "x")) == [("xx", "c"), ("y", "a")]
        assert names(namespace="x", after=key("a", "x")) == [("x", "b")]
        assert names(namespace="none") == []

    run(scenario)


def test_list_of_the_past(run: Callable[[Scenario], None]) -> None:
    """A page behind the first shows the objects as they were, whatever happened since."""

    async def scenario(store: Store) -> None:
        base = store.revision
        for name in "abc":
            await store.create(key(name), value(1))
        then = store.revision
        await store.update(key("a"), value(2), expected=base + 1)
        await store.delete(key("b"), expected=base + 2)
        await store.create(key("d"), value(4))

        past = store.list("pods", at=then)
        assert [(i.key.name, i.copy()["n"]) for i in past.items] == [("a", 1), ("b", 1), ("c", 1)]
        assert past.revision == then
        with pytest.raises(ExpiredError):
            store.list("pods", at=base + 99)

    run(scenario)


def test_watch_from_a_revision(run: Callable[[Scenario], None]) -> None:
    """Every event after the revision, once, in order, of the resource and namespace only."""

    async def scenario(store: Store) -> None:
        base = store.revision
        await store.create(key("a", "x"), value())
        watch = store.watch("pods", since=base)
        late = store.watch("pods", "x", since=base + 1)
        events = await watch.next()
        assert told(events) == [("ADDED", "a", base + 1)]
        assert watch.settled() == base + 1

        waiting = asyncio.create_task(late.next())
        await store.create(key("b", "y"), value())
        await store.create(key("b", "x", "services"), value())
        await store.update(key("a", "x"), value(1), expected=base + 1)
        await store.delete(key("a", "x"), expected=base + 4)
        seen = list(await waiting)
        while len(seen) < 2:
            seen += await late.next()
        events = await watch.next()

        assert told(seen) == [("MODIFIED", "a", base + 4), ("DELETED", "a", base + 5)]
        assert told(events) == [("ADDED", "b", base + 2), *told(seen)]
        assert watch.settled() == store.revision == base + 5
        previous = events[1].previous
        assert previous is not None
        assert previous.copy()["n"] == 0
        watch.close()
        assert list(await watch.next()) == []

    run(scenario)


def test_compaction_expires(run: Callable[[Scenario], None]) -> None:
    """A watch too far back is refused, a reader that fell behind is told, the present goes on."""

    async def scenario(store: Store) -> None:
        base = store.revision
        revision = (await store.create(key("a"), value())).revision
        slow = store.watch("pods", since=revision)
        for n in range(HISTORY * 2):
            revision = (await store.update(key("a"), value(n), expected=revision)).revision

        assert store.compacted > base
        with pytest.raises(ExpiredError):
            store.watch("pods", since=base + 1)
        with pytest.raises(ExpiredError):
            store.watch("pods", since=revision + 1)
        with pytest.raises(ExpiredError):
            await slow.next()
        with pytest.raises(ExpiredError):
            store.list("pods", at=base + 1)
        recent = store.watch("pods", since=revision - 2)
        assert len(await recent.next()) == 2

    run(scenario)


def test_end_of_watches(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        waiting = asyncio.create_task(store.watch("pods", since=store.revision).next())
        await asyncio.sleep(0)
        store.end_watches()

        assert list(await waiting) == []

    run(scenario)


@pytest.mark.parametrize("place", ["sqlite", ETCD], indirect=True)
def test_reopened_store_is_the_same(place: Path | EtcdSettings) -> None:
    """Objects, revision and history survive; a watch goes on from any revision of it."""

    async def body() -> None:
        async with opened(place) as store:
            base = store.revision
            for name in "abc":
                await store.create(key(name), value(1))
            await store.update(key("a"), value(2), expected=base + 1)
            await store.delete(key("b"), expected=base + 2)
        async with opened(place) as store:
            assert store.revision == base + 5
            found = store.list("pods").items
            assert [(i.key.name, i.revision, i.object["n"]) for i in found] == [
                ("a", base + 4, 2),
                ("c", base + 3, 1),
            ]
            events = await store.watch("pods", since=base + 2).next()
            expected = [
                ("ADDED", "c", base + 3),
                ("MODIFIED", "a", base + 4),
                ("DELETED", "b", base + 5),
            ]
            assert expected == told(events)
            assert events[1].previous is not None
            assert events[1].previous.copy()["n"] == 1
            past = store.list("pods", at=base + 3).items
            assert [i.key.name for i in past] == ["a", "b", "c"]
            revision = (await store.create(key("d"), value())).revision
            for n in range(HISTORY * 2):
                revision = (await store.update(key("d"), value(n), expected=revision)).revision
            compacted = store.compacted
        async with opened(place) as store:
            assert compacted <= store.compacted < revision
            assert store.revision == revision
            event, *_ = await store.watch("pods", since=store.compacted).next()
            assert event.type is EventType.MODIFIED

    asyncio.run(body())


def test_the_past_of_a_compacted_file_is_known_in_part(tmp_path: Path) -> None:
    """What was before an object's first remembered change is gone: None, or 410 for a list."""
    path = tmp_path / "store.db"

    async def body() -> None:
        async with opened(path) as store:
            revision = (await store.create(key("d"), value())).revision
            for n in range(HISTORY * 2):
                revision = (await store.update(key("d"), value(n), expected=revision)).revision
            compacted = store.compacted
        async with opened(path) as store:
            assert compacted == store.compacted
            event, *_ = await store.watch("pods", since=compacted).next()
            assert event.previous is None
            with pytest.raises(ExpiredError):
                store.list("pods", at=compacted)

    asyncio.run(body())


def test_a_refused_transaction_changes_nothing(tmp_path: Path) -> None:
    """When the disk refuses, the write and those built on it fail; the next one works."""

    async def body() -> None:
        async with opened(tmp_path / "store.db") as opened_store:
            assert isinstance(opened_store, SqliteStore)
            store = opened_store
            await store.create(key("a"), value())
            pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
            store._connection.execute(f"PRAGMA max_page_count = {pages}")
            large = {"metadata": {"name": "x"}, "text": "x" * 1_000_000}
            results = await asyncio.gather(
                store.update(key("a"), large, expected=1),
                store.create(key("b"), large),
                return_exceptions=True,
            )
            assert [type(r) for r in results] == [EngineError, EngineError]
            assert store.revision == 1
            store._connection.execute("PRAGMA max_page_count = 1000000")
            again = await store.update(key("a"), value(5), expected=1)
            assert again.revision == 2

    asyncio.run(body())


def test_refuses_a_file_that_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    async def body() -> None:
        with pytest.raises(EngineError, match="layout 99"):
            SqliteStore.open(path)
        path.write_bytes(b"no database at all" * 100)
        with pytest.raises(EngineError, match=r"store\.db"):
            SqliteStore.open(path)

    asyncio.run(body())


STEP = st.tuples(st.sampled_from("cud"), st.sampled_from("abc"), st.integers(0, 3))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_watch_replays_to_the_list(steps: list[tuple[str, str, int]]) -> None:
    """Folding a watch's events over any past list gives the present one."""

    async def body() -> None:
        store = MemoryStore(history_events=1000)
        past = [store.list("pods")]
        for verb, name, n in steps:
            found = store.get(key(name))
            if verb == "c" and found is None:
                await store.create(key(name), value(n))
            elif verb == "u" and found is not None:
                await store.update(key(name), value(n), expected=found.revision)
            elif verb == "d" and found is not None:
                await store.delete(key(name), expected=found.revision)
            past.append(store.list("pods"))
        final = {i.key: i.data for i in store.list("pods").items}
        for snapshot in past:
            objects = {i.key: i.data for i in store.list("pods", at=snapshot.revision).items}
            assert objects == {i.key: i.data for i in snapshot.items}
            if snapshot.revision < store.revision:
                for event in await store.watch("pods", since=snapshot.revision).next():
                    if event.type is EventType.DELETED:
                        del objects[event.current.key]
                    else:
                        objects[event.current.key] = event.current.data
            assert objects == final

    asyncio.run(body())
