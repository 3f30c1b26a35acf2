"""Reflection: how gateways see this node through the NAT in front of it, asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn, Protocol

import msgspec

from chita.agent.record import OwnRecord
from chita.desired.tunnels import Endpoint
from chita.fabric.nat import UNJUDGED, WITNESSES, Judgement, judged, published, settled
from chita.fabric.witnesses import witnesses
from chita.model.cluster import ClusterState
from chita.telemetry.log import logger

INTERVAL_S = 30.0
"""How often those are asked who have answered."""
FIRST_S = 2.0
"""How soon they are asked first, and then twice as late each time until two have answered; it is
looked that often whether they are to be asked."""

_LOG = logger("reflection")


class Asking(Protocol):
    """What is needed of `chita.agent.questions.Questions`."""

    async def seen_at(self, node: str) -> Endpoint | None:
        """Return where the tunnel of *node* sees ours."""


async def keep_judged(  # noqa: PLR0913 - the parts it stands between, and two intervals
    record: OwnRecord,
    cluster: Callable[[], ClusterState],
    questions: Asking,
    changed: Callable[[], None],
    *,
    first_s: float = FIRST_S,
    interval_s: float = INTERVAL_S,
) -> NoReturn:
    """Have *record* say what NAT there is, for ever; call *changed* when that is news.

    Who can be dialled asks nobody: what it has to say of itself is known.
    """
    loop = asyncio.get_running_loop()
    last, pause_s = UNJUDGED, first_s
    due_s, port = 0.0, 0
    while True:
        await asyncio.sleep(first_s)
        own = record.value
        if own is None or own.endpoints or own.name not in cluster().nodes:
            last, pause_s, due_s = UNJUDGED, first_s, 0.0
            continue
        if loop.time() < due_s and own.wireguard_port == port:
            continue  # on another port the mapping is another one too
        port = own.wireguard_port
        sightings = await _sightings(cluster(), own.name, questions)
        now = judged(
            sightings,
            own=[held.address for held in own.interfaces],
            listen_port=own.wireguard_port,
        )
        current = published(own)
        holds = settled(current, last, now)
        last = now
        pause_s = min(2 * pause_s, interval_s) if now == UNJUDGED else interval_s
        due_s = loop.time() + pause_s
        if holds != current:
            _tell(holds)
            record.observed = msgspec.structs.replace(record.observed, judgement=holds)
            changed()


async def _sightings(cluster: ClusterState, node: str, questions: Asking) -> list[Endpoint]:
    """Return the first answers, as many as are needed."""
    found: list[Endpoint] = []
    for name in witnesses(cluster, node):
        seen = await questions.seen_at(name)
        if seen is not None:
            found.append(seen)
        if len(found) == WITNESSES:
            break
    return found


def _tell(judgement: Judgement) -> None:
    seen = judgement.reflexive
    at = f"{seen.address} port {seen.port}" if seen is not None else "another port by each"
    _LOG.info("nat judged", nat=judgement.nat.value, seen_at=at)
