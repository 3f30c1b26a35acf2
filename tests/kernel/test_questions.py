"""Agents ask each other over a tunnel, and nobody else is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import msgspec
import pytest

from chita.agent.questions import Questions
from chita.agent.sessions import Sessions
from chita.dataplane.tunnels.wireguard import DeviceState, PeerState
from chita.desired.tunnels import Endpoint
from chita.lab.netns import entered
from chita.model.cluster import ClusterState
from chita.model.net import Address
from hybrid import KEYS, fabric_node, hybrid
from network_namespace import fresh_namespaces, needs_root, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

SEEN = Endpoint(Address.parse("203.0.113.7"), 61000)
CLUSTER: ClusterState = hybrid(
    fabric_node("a1", "aws-x", "10.0.0.11"),
    fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11"),
)
"""Mesh addresses 100.64.0.1 and .2, fd00:100:64::1 and ::2."""


def device(handshake_s: int) -> DeviceState:
    peer = PeerState(
        public_key=KEYS["a1"],
        endpoint=SEEN,
        allowed=frozenset(),
        keepalive_s=0,
        handshake_s=handshake_s,
        received_bytes=0,
        sent_bytes=0,
    )
    return DeviceState(private_key=None, port=51820, peers={KEYS["a1"]: peer})


@asynccontextmanager
async def asking_and_answering(
    link: str, family: int, handshake_s: int
) -> AsyncIterator[list[Questions]]:
    """Yield the questions of a1 and of b1, which are joined by devices named *link*."""
    with fresh_namespaces(2) as namespaces, ThreadPoolExecutor(1) as kernel:
        one, other = namespaces
        run_inside(one, "ip", "link", "add", link, "type", "veth", "peer", "name", "far",
                   "netns", other.name)  # fmt: skip
        run_inside(other, "ip", "link", "set", "far", "name", link)
        for number, namespace in enumerate(namespaces, 1):
            run_inside(namespace, "ip", "link", "set", link, "up")
            run_inside(namespace, "ip", "address", "add", f"100.64.0.{number}/24", "dev", link)
            run_inside(namespace, "ip", "address", "add", f"fd00:100:64::{number}/64", "dev", link,
                       "nodad")  # fmt: skip
        cluster = hybrid(*CLUSTER.fabric_nodes.values())
        if family == 6:
            for name, node in cluster.nodes.items():
                only = node.mesh_addresses[1:]
                cluster.nodes[name] = msgspec.structs.replace(node, mesh_addresses=only)
        sessions = Sessions(lambda: {"chita-wg": device(handshake_s)}, kernel)
        both = [Questions(name, lambda: cluster, sessions) for name in ("a1", "b1")]
        for questions, namespace in zip(both, namespaces, strict=True):
            with entered(namespace):
                await questions.follow()
        yield both


@pytest.mark.parametrize(
    ("link", "family", "handshake_s", "expected"),
    [
        pytest.param("chita-wg", 4, 1, SEEN, id="ipv4"),
        pytest.param("chita-wg", 6, 1, SEEN, id="ipv6"),
        pytest.param("chita-wg", 4, 0, None, id="dialled-but-no-session"),
        pytest.param("eth9", 4, 1, None, id="not-out-of-a-tunnel"),
    ],
)
@pytest.mark.slow
def test_the_answer_is_where_the_tunnel_sees_us(
    link: str, family: int, handshake_s: int, expected: Endpoint | None
) -> None:
    async def act() -> Endpoint | None:
        async with asking_and_answering(link, family, handshake_s) as (asker, answerer):
            tasks = [asyncio.create_task(it.run()) for it in (asker, answerer)]
            try:
                return await asker.seen_at("b1")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    assert expected == asyncio.run(act())
