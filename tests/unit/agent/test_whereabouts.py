"""Verdicts are passed on at once, and the address at which a tunnel stands once it is known."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from chita.agent.sessions import Sessions
from chita.agent.whereabouts import Whereabouts
from chita.dataplane.tunnels.wireguard import DeviceState, PeerState
from chita.desired.tunnels import Endpoint
from chita.errors import EngineError
from chita.fabric.health import Direct, Health, Verdict, WayHealth
from chita.model.net import Address
from hybrid import KEYS, fabric_node, hybrid

AT = Address.parse("203.0.113.9")
CLUSTER = hybrid(fabric_node("a1", "aws-x", "10.0.0.11"))
UP = WayHealth(verdict=Verdict.UP)


def device() -> dict[str, DeviceState]:
    peer = PeerState(
        public_key=KEYS["a1"],
        endpoint=Endpoint(AT, 51820),
        allowed=frozenset(),
        keepalive_s=0,
        handshake_s=1,
        received_bytes=0,
        sent_bytes=0,
    )
    return {"chita-wg": DeviceState(private_key=None, port=51820, peers={KEYS["a1"]: peer})}


def test_a_verdict_is_told_at_once_and_its_address_when_it_was_looked_up() -> None:
    async def act() -> None:
        told: list[Health] = []
        both = asyncio.Event()

        def heed(health: Health) -> None:
            told.append(health)
            if len(told) == 2:
                both.set()

        with ThreadPoolExecutor(1) as kernel:
            whereabouts = Whereabouts(Sessions(device, kernel), lambda: CLUSTER, heed)
            task = asyncio.create_task(whereabouts.run())
            whereabouts.changed(Health({Direct("a1"): UP}))
            assert [Health({Direct("a1"): UP})] == told
            await asyncio.wait_for(both.wait(), 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        expected = msgspec.structs.replace(UP, outer=AT)
        assert Health({Direct("a1"): expected}) == told[1]

    asyncio.run(act())


def test_what_cannot_be_read_leaves_what_was_known() -> None:
    """wireguard-go died: the next read may find it again."""
    answers: list[dict[str, DeviceState] | EngineError] = [device(), EngineError("it died")]

    def read() -> dict[str, DeviceState]:
        answer = answers.pop(0)
        if isinstance(answer, EngineError):
            raise answer
        return answer

    async def act() -> None:
        with ThreadPoolExecutor(1) as kernel:
            sessions = Sessions(read, kernel)
            first = await sessions.peers(max_age_s=60)
            assert KEYS["a1"] in first
            assert first == await sessions.peers(max_age_s=60)
            assert 1 == len(answers)
            assert first == await sessions.peers(max_age_s=-1)
            assert not answers

    asyncio.run(act())
