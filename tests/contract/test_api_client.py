"""ApiClient and follow() against a real server: paging, watching, outages, errors."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api_clients import admin, free_port, next_batch
from chita.api import client as api_client
from chita.api.auth import read_kubeconfig
from chita.api.client import MAX_SEGMENT_BYTES, ApiClient, PatchType
from chita.api.kinds import CALICO, CORE, Resource
from chita.api.refusals import UNTRUSTED
from chita.api.watch import Batch, Changed, Deleted, Interrupted, Listed, Resumed, follow
from chita.errors import ApiError, ConflictError, ExpiredError, NotFoundError
from chita.model.kinds import Scope
from server_process import ServerProcess, running_server

pytestmark = pytest.mark.slow

SETS = CALICO["GlobalNetworkSet"]
UNSERVED = Resource(
    group="absent.example", version="v1", kind="Ghost", plural="ghosts", scope=Scope.CLUSTER
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def network_set(name: str, *nets: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {"nets": list(nets)},
    }


def names(batch: Batch) -> list[str]:
    assert isinstance(batch, Listed)
    return [item["metadata"]["name"] for item in batch.items]


def test_life_of_an_object(server: ServerProcess) -> None:
    """Create, get, update, patch, apply, table, delete; what goes wrong is said by class."""

    async def act() -> None:
        async with admin(server) as client:
            stored = await client.create(network_set("life", "192.0.2.0/24"))
            with pytest.raises(ConflictError, match="life"):
                await client.create(network_set("life"))
            assert (await client.get(SETS, "life"))["spec"] == {"nets": ["192.0.2.0/24"]}
            stored["spec"]["nets"] = ["198.51.100.0/24"]
            newer = await client.update(stored)
            with pytest.raises(ConflictError, match="409"):
                await client.update(stored)
            patched = await client.patch(SETS, "life", {"metadata": {"labels": {"a": "b"}}})
            assert patched["metadata"]["labels"] == {"a": "b"}
            applied = await client.patch(
                SETS,
                "life",
                network_set("life", "203.0.113.0/24"),
                patch_type=PatchType.APPLY,
                query={"fieldManager": "test", "force": "true"},
            )
            assert applied["spec"]["nets"] == ["203.0.113.0/24"]
            table = await client.table(SETS, name="life")
            assert [row["cells"][0] for row in table["rows"]] == ["life"]
            with pytest.raises(ConflictError):
                await client.delete(
                    SETS, "life", resource_version=newer["metadata"]["resourceVersion"]
                )
            await client.delete(SETS, "life")
            with pytest.raises(NotFoundError, match="life"):
                await client.get(SETS, "life")
            with pytest.raises(NotFoundError):
                await client.delete(SETS, "life")
            with pytest.raises(ApiError, match=r"spec\.nets") as refused:
                await client.create(network_set("bad", "no network"))
            assert refused.value.status == 422

    asyncio.run(act())


def test_list_pages(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages make one list; each item says its kind; a selector narrows it."""
    monkeypatch.setattr(api_client, "PAGE_SIZE", 3)

    async def act() -> None:
        async with admin(server) as client:
            for number in range(8):
                await client.create(network_set(f"page-{number}", page=str(number % 2)))
            listed = await client.list(SETS, label_selector="page")
            assert [item["metadata"]["name"] for item in listed.items] == [
                f"page-{number}" for number in range(8)
            ]
            assert {item["kind"] for item in listed.items} == {"GlobalNetworkSet"}
            assert listed.resource_version.isdigit()
            odd = await client.list(SETS, label_selector="page=1")
            assert len(odd.items) == 4
            for item in listed.items:
                await client.delete(SETS, item["metadata"]["name"])

    asyncio.run(act())


def test_segments_fit_every_network(server: ServerProcess) -> None:
    """TCP_MAXSEG is set on the sockets themselves: hosts behind 1280-byte wires reach the API."""

    async def act() -> list[int]:
        async with admin(server) as client:
            await client.list(CORE["Namespace"])
            sizes = []
            for it in _sockets_to(server.url):
                with it:
                    sizes.append(it.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
            return sizes

    sizes = asyncio.run(act())

    assert sizes
    # The kernel takes its own headers' options off: never more than what was asked for.
    assert all(536 <= size <= MAX_SEGMENT_BYTES for size in sizes)


def _sockets_to(url: str) -> list[socket.socket]:
    """Return copies of this process's sockets that are connected to *url*."""
    port = int(url.rpartition(":")[2])
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            copy = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue  # no socket
        if copy.family == socket.AF_INET and _peer_port(copy) == port:
            found.append(copy)
        else:
            copy.close()
    return found


def _peer_port(connected: socket.socket) -> int:
    try:
        port: int = connected.getpeername()[1]
    except OSError:
        return 0
    return port


@asynccontextmanager
async def following(client: ApiClient, resource: Resource) -> AsyncIterator[Any]:
    async with aclosing(follow(client, resource)) as batches:
        yield batches


def test_follow(server: ServerProcess) -> None:
    """First what there is, then each change as it happens, deletions with the last state."""

    async def act() -> None:
        async with admin(server) as client, following(client, SETS) as batches:
            await client.create(network_set("before"))
            assert names(await next_batch(batches)) == ["before"]
            waiting = asyncio.ensure_future(next_batch(batches))
            await client.create(network_set("after"))
            batch = await waiting
            assert isinstance(batch, Changed)
            assert batch.object["metadata"]["name"] == "after"
            await client.delete(SETS, "before")
            batch = await next_batch(batches)
            assert isinstance(batch, Deleted)
            assert batch.object["metadata"]["name"] == "before"
            assert batch.object["kind"] == "GlobalNetworkSet"
            await client.delete(SETS, "after")

    asyncio.run(act())


def test_a_kind_the_server_does_not_have_is_empty(server: ServerProcess) -> None:
    async def act() -> Batch:
        async with admin(server) as client, following(client, UNSERVED) as batches:
            return await next_batch(batches)

    assert names(asyncio.run(act())) == []


async def first_event(client: ApiClient, version: str) -> object:
    async with client.watch(SETS, version) as events:
        return await anext(events)


def test_watch_of_the_forgotten_past(server: ServerProcess) -> None:
    """410 is an ExpiredError, whether it comes as a status or as an event."""

    async def act() -> None:
        async with admin(server) as client:
            with pytest.raises(ExpiredError):
                await first_event(client, "99999999")

    asyncio.run(act())


def test_outages(tmp_path: Path) -> None:
    """A killed server: interrupted, then resumed from where it was, without a new list.

    Only when the server has forgotten that version is everything listed again.
    """
    port = free_port()
    listen = ["--listen", f"127.0.0.1:{port}"]

    async def act() -> None:
        with running_server(tmp_path, *listen, "--history", "100") as first:
            config = msgspec.structs.replace(
                read_kubeconfig(first.kubeconfig), server=f"https://127.0.0.1:{port}"
            )
            async with ApiClient(config) as client, following(client, SETS) as batches:
                assert names(await next_batch(batches)) == []
                await client.create(network_set("one"))
                assert isinstance(await next_batch(batches), Changed)
                first.kill()
                down = await next_batch(batches)
                assert isinstance(down, Interrupted)
                assert down.resource == SETS
                with pytest.raises(ApiError, match="no answer") as failed:
                    await client.get(SETS, "one")
                assert failed.value.status == 0

                with running_server(tmp_path, *listen, "--history", "100") as second:
                    async with admin(second) as other:
                        await other.create(network_set("two"))
                    seen = await next_batch(batches, Resumed)
                    assert isinstance(seen, Resumed)
                    change = await next_batch(batches)
                    assert isinstance(change, Changed)
                    assert change.object["metadata"]["name"] == "two"
                    second.kill()
                assert isinstance(await next_batch(batches), Interrupted)

                with running_server(tmp_path, *listen, "--history", "100") as third:
                    # Before the follower is back, more happens than the server remembers.
                    async with admin(third) as other:
                        for number in range(75):
                            await other.create(network_set(f"many-{number}"))
                            await other.delete(SETS, f"many-{number}")
                    relisted = await next_batch(batches, Listed)
                    assert names(relisted) == ["one", "two"]

    asyncio.run(act())


def test_a_server_of_another_authority(server: ServerProcess, tmp_path: Path) -> None:
    """A replaced CA is told apart from an outage, and the message has the mend."""

    async def act() -> None:
        with running_server(tmp_path) as other:
            config = msgspec.structs.replace(read_kubeconfig(other.kubeconfig), server=server.url)
            async with ApiClient(config) as client:
                with pytest.raises(ApiError, match="use the CA certificate") as failed:
                    await client.list(CORE["Node"])
                assert failed.value.reason == UNTRUSTED

    asyncio.run(act())
