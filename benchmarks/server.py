"""The API server: how long a write takes, how many there are a second, when watchers know.

    .venv/bin/python benchmarks/server.py

A real server process on 127.0.0.1, TLS and client certificates; the client is Python too and shares
the machine. Milliseconds of wall time. Beside each figure stands its floor: what one fsynced SQLite
transaction of the same size takes on this disk.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from server_process import ServerProcess, running_server

WRITES = 400
WRITERS = 9
WATCHED = (
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/services",
    "/api/v1/namespaces",
    "/api/v1/serviceaccounts",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/projectcalico.org/v3/networkpolicies",
    "/apis/projectcalico.org/v3/tiers",
    "/apis/projectcalico.org/v3/networksets",
    "/apis/projectcalico.org/v3/ippools",
    "/apis/projectcalico.org/v3/hostendpoints",
    "/apis/projectcalico.org/v3/ipamblocks",
    "/apis/chita.dev/v1alpha1/fabricnodes",
)
V3 = "/apis/projectcalico.org/v3"
POLICIES = f"{V3}/globalnetworkpolicies"
AGENTS = 10


def quantiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": round(cuts[49] * 1e3, 2), "p99": round(cuts[98] * 1e3, 2)}


def sqlite_floor(directory: Path) -> dict[str, float]:
    """Measure one fsynced transaction of an object's size."""
    connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE object (name INTEGER PRIMARY KEY, value BLOB)")
    taken = []
    for number in range(WRITES):
        begin = time.perf_counter()
        connection.execute("INSERT INTO object VALUES (?, ?)", (number, b"x" * 600))
        taken.append(time.perf_counter() - begin)
    connection.close()
    return quantiles(taken)


def handle(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "IPAMHandle",
        "metadata": {"name": name},
        "spec": {"handleID": name, "block": {"10.244.0.0/26": 1}, "deleted": False},
    }


def policy(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"selector": "app == 'web'", "order": 1, "ingress": [{"action": "Allow"}]},
    }


class Client:
    """One session as the administrator."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def create(self, path: str, body: dict[str, Any]) -> float:
        """Create an object; return how long it took, in seconds."""
        begin = time.perf_counter()
        async with self.session.post(self.url + path, json=body) as answer:
            text = await answer.read()
            if answer.status != 201:
                raise RuntimeError(text.decode())
        return time.perf_counter() - begin

    async def watch(self, path: str, ready: asyncio.Semaphore, seen: asyncio.Queue[float]) -> None:
        """Follow a collection for ever: say when it is in sync, and the time of each event."""
        query = {
            "watch": "1",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "allowWatchBookmarks": "true",
        }
        async with self.session.get(self.url + path, params=query) as answer:
            async for line in answer.content:
                if b"initial-events-end" in line:
                    ready.release()
                elif b"measured-" in line:
                    seen.put_nowait(time.perf_counter())


async def measure(server: ServerProcess) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(ssl=server.tls(server.admin), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(session, server.url)
        for number in range(50):
            await client.create(f"{V3}/ipamhandles", handle(f"warm-{number}"))
        one = [
            await client.create(f"{V3}/ipamhandles", handle(f"one-{number}"))
            for number in range(WRITES)
        ]

        async def writer(which: int) -> None:
            for number in range(100):
                await client.create(f"{V3}/ipamhandles", handle(f"many-{which}-{number}"))

        begin = time.perf_counter()
        await asyncio.gather(*(writer(which) for which in range(WRITERS)))
        per_second = WRITERS * 100 / (time.perf_counter() - begin)
        return {
            "write_ms": quantiles(one),
            "nine_writers_per_second": round(per_second),
            "write_to_all_watchers_ms": quantiles(await to_watchers(client)),
        }


async def to_watchers(client: Client) -> list[float]:
    """Return the times from sending a policy to the last of ten watchers having it."""
    ready, seen = asyncio.Semaphore(0), asyncio.Queue[float]()
    paths = [path for path in (*WATCHED, POLICIES) for _ in range(AGENTS)]
    watches = [asyncio.create_task(client.watch(path, ready, seen)) for path in paths]
    for _ in watches:
        await ready.acquire()
    taken = []
    for number in range(WRITES // 2):
        begin = time.perf_counter()
        await client.create(POLICIES, policy(f"measured-{number}"))
        taken.append(max([await seen.get() for _ in range(AGENTS)]) - begin)
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    return taken


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        floor = sqlite_floor(directory)
        with running_server(directory) as server:
            at_start = resident_mb(server.process.pid)
            figures = asyncio.run(measure(server))
            memory = {"start": at_start, "after": resident_mb(server.process.pid)}
    print(json.dumps({**figures, "sqlite_commit_ms": floor, "server_rss_mb": memory}, indent=2))


if __name__ == "__main__":
    main()
