"""A thousand node records: what it costs one agent to take them all, and to take one change.

In a lab of its own with one node, so that nothing else is computed meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from chita.api.client import ApiClient
from chita.api.kinds import resource_of
from chita.convert.documents import Object
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.desired.tunnels import wireguard_device
from chita.lab.cluster import Lab
from chita.lab.layout import Layout
from chita.lab.netns import netns_path
from chita.lab.objects import create_or_replace
from chita.lab.scenarios.bench import Silence
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.world import parse_world

NODES = 1000
_CHANGES = 20
_PER_LOCATION = 50
_PARALLEL = 16
_PATIENCE_S = 60.0
_LAYOUT = Layout(directory=Path("/run/chita-lab-records"), api_port=16445, prefix="chita-tr-")
_HERE = "here"
_WORLD: Object = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": _HERE, "labels": {"topology.kubernetes.io/region": "r"}},
    "spec": {"providerID": "aws:///r-a/i-0"},
    "status": {"addresses": [{"type": "ExternalIP", "address": "198.18.1.11"}]},
}
_SYNC_MS = re.compile(r'event="kernel in step".* ms=([0-9.]+)')
_FABRIC_NODE = {"apiVersion": "chita.dev/v1alpha1", "kind": "FabricNode"}


def thousand(times: int) -> list[Figure]:
    """Write the records, start the agent anew, then change one record after the other."""
    programs, starts, changes, sizes = [], [], [], []
    with _one_node() as lab:
        asyncio.run(_load(lab))
        for _ in range(times):
            lab.processes.stop(f"agent-{_HERE}")
            _forget_tunnels(lab)
            log = lab.processes.log(f"agent-{_HERE}")
            log.write_bytes(b"")
            started = time.monotonic()
            lab.start_agent(lab.topology.node(_HERE))
            _wait(lab, "every record is a path", lambda status: len(status["paths"]) >= NODES)
            # Paths are told of when they are decided; the kernel holds them a moment later.
            _wait(lab, "the kernel is in step", lambda _, log=log: bool(_sync_times_ms(log)))  # type: ignore[misc]
            starts.append(time.monotonic() - started)
            programs.append(max(_sync_times_ms(log)) / 1000)
        changes += _changes_ms(lab)
        sizes.append(lab.status(_HERE)["rss_bytes"] / 1e6)
    return [
        Figure(
            what=f"longest sync while {NODES} records arrive",
            unit="s",
            values=tuple(programs),
            mark=Mark(worst_at_most=2),
        ),
        Figure(what="agent start until all are in the kernel", unit="s", values=tuple(starts)),
        Figure(
            what="sync after one record changed",
            unit="ms",
            values=tuple(changes),
            mark=Mark(median_at_most=20),
        ),
        Figure(
            what="resident memory",
            unit="MB",
            values=tuple(sizes),
            mark=Mark(worst_at_most=150),
        ),
    ]


@contextmanager
def _one_node() -> Iterator[Lab]:
    lab = Lab(parse_world([("records", json.dumps(_WORLD))]), _LAYOUT, Silence())
    try:
        lab.up([])
        yield lab
    finally:
        lab.down()


async def _load(lab: Lab) -> None:
    """Write a Node, a FabricNode and two blocks of addresses for each of a thousand nodes."""
    turnstile = asyncio.Semaphore(_PARALLEL)

    async def write(client: ApiClient, obj: Object) -> None:
        async with turnstile:
            await create_or_replace(client, obj)

    async with lab.client() as client, asyncio.TaskGroup() as tasks:
        for number in range(NODES):
            for obj in _objects(number):
                tasks.create_task(write(client, obj), name=f"write node {number}")


def _forget_tunnels(lab: Lab) -> None:
    """Remove the device, its peers, nexthops and routes: who starts has them all to write."""
    WireguardGo(
        wireguard_device(0),
        directory=lab.layout.node(_HERE).run,
        namespace=netns_path(lab.topology.node(_HERE).namespace),
    ).remove()


def _objects(number: int) -> Iterator[Object]:
    name, location = f"node-{number:04}", f"aws-r{number // _PER_LOCATION}"
    private = f"10.{number // 250}.{number % 250}.11"
    yield {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"chita.dev/location": location}},
        "status": {"addresses": [{"type": "InternalIP", "address": private}]},
    }
    yield {
        **_FABRIC_NODE,
        "metadata": {"name": name},
        "spec": {
            "location": location,
            "interfaces": [{"address": private, "subnet": f"{private[:-2]}0/24"}],
            "endpoints": [_public(number)] if number % 2 else [],
            "gatewayWeight": number % 2,
            "vtepMAC": f"02:00:00:00:{number // 256:02x}:{number % 256:02x}",
            "wireMTU": 1500,
            "wireguard": {
                "port": 51820,
                "publicKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            },
        },
    }
    for family, cidr in (
        (4, f"10.{128 + number // 1024}.{number % 1024 // 4}.{number % 4 * 64}/26"),
        (6, f"fd00:10:244:f:{number:x}::/122"),
    ):
        size = 64
        yield {
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPAMBlock",
            "metadata": {"name": f"{name}-v{family}"},
            "spec": {
                "cidr": cidr,
                "affinity": f"host:{name}",
                "allocations": [None] * size,
                "unallocated": list(range(size)),
                "attributes": [],
                "deleted": False,
            },
        }


def _public(number: int) -> str:
    return f"198.19.{number // 250}.{number % 250 + 1}"


def _changes_ms(lab: Lab) -> list[float]:
    """Return what the agent took for each of some changes of one record: where it is dialled."""
    taken = []
    for turn in range(_CHANGES):
        number = 1 + 2 * turn
        before = lab.status(_HERE)["syncs"]

        async def change(number: int = number) -> None:
            async with lab.client() as client:
                body = {"spec": {"endpoints": [_public(number + NODES)]}}
                name = f"node-{number:04}"
                await client.patch(resource_of(_FABRIC_NODE), name, body)

        asyncio.run(change())
        _wait(lab, f"change {turn} of a record", partial(_has_synced_since, before))
        taken.append(lab.status(_HERE)["last_sync_ms"])
    return taken


def _has_synced_since(syncs: int, status: dict[str, Any]) -> bool:
    return bool(status["syncs"] > syncs)


def _sync_times_ms(log: Path) -> list[float]:
    """Return how long each sync of an agent took, as its log has it."""
    return [float(ms) for ms in _SYNC_MS.findall(log.read_text(encoding="utf-8"))]


def _wait(lab: Lab, what: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
    def is_ready() -> bool:
        status = lab.status(_HERE)
        return bool(status["in_sync"]) and is_so(status)

    lab.wait(what, f"agent-{_HERE}", is_ready, s=_PATIENCE_S)
