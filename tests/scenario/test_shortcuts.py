"""Two busy ordinary nodes of a large fabric: a tunnel of their own within seconds, nothing lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path as File

import pytest

from chita.cli.agents import node_paths
from chita.desired.paths import Path, PathKind
from chita.errors import ApiError
from chita.fabric.candidates import reflexive
from chita.lab.cluster import Lab
from chita.lab.layout import Layout
from chita.lab.netns import entered, netns_path
from chita.lab.world import read_world
from scenario_lab import Quiet

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

WORLD = File(__file__).with_name("large-fabric.yaml")
LAYOUT = Layout(directory=File("/run/chita-lab-shortcuts"), api_port=16517, prefix="chita-tc-")
EAST, WEST = "east-2", "west-2"
PORT, SIZE, EVERY_S = 9000, 1000, 0.004
"""A quarter of a megabyte a second, twice what makes a pair busy."""

SOON_S = 15.0
"""Three times what it takes."""


@pytest.fixture(scope="module")
def lab(_needs_root: None) -> Iterator[Lab]:
    world = read_world([WORLD])
    assert not world.problems
    made = Lab(world, LAYOUT, Quiet())
    try:
        made.up([str(WORLD)])
        made.wait("the judgement of both NATs", f"agent-{EAST}", lambda: are_nats_known(made))
        yield made
    finally:
        made.down()


def are_nats_known(lab: Lab) -> bool:
    records = asyncio.run(lab.cluster()).fabric_nodes
    return all(reflexive(records[name]) is not None for name in (EAST, WEST))


class Stream:
    """Numbered datagrams from one pod to the other, which counts them."""

    def __init__(self, lab: Lab) -> None:
        taker = asyncio.run(lab.cluster()).workloads["bulk/taker"]
        self._to = str(next(it for it in taker.addresses if it.family == 4))
        with entered(netns_path(lab.netns_of("bulk/giver"))):
            self._giver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with entered(netns_path(lab.netns_of("bulk/taker"))):
            self._taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._taker.bind((self._to, PORT))
        self._taker.setblocking(False)
        self.sent = self.taken = 0

    def close(self) -> None:
        self._giver.close()
        self._taker.close()

    def run_until(self, is_done: Callable[[], bool], limit_s: float) -> float:
        """Send until it is done, asked four times a second, and return how long that took."""
        began = time.monotonic()
        ask_s = began
        while (now := time.monotonic()) - began < limit_s:
            self._giver.sendto(self.sent.to_bytes(SIZE), (self._to, PORT))
            self.sent += 1
            self._take()
            if now >= ask_s:
                ask_s = now + 0.25
                if is_done():
                    return time.monotonic() - began
            time.sleep(EVERY_S)
        pytest.fail(f"not done after {limit_s:g} s, {self.taken} of {self.sent} taken")

    def drain(self) -> None:
        """Take what is still on its way."""
        deadline = time.monotonic() + 2
        while self.taken < self.sent and time.monotonic() < deadline:
            self._take()
            time.sleep(0.01)

    def _take(self) -> None:
        try:
            while self._taker.recv(SIZE):
                self.taken += 1
        except BlockingIOError:
            pass


@pytest.fixture(scope="module")
def stream(lab: Lab) -> Iterator[Stream]:
    made = Stream(lab)
    yield made
    made.close()


def path(lab: Lab, source: str, destination: str) -> Path:
    return node_paths(lab.status(source))[destination]


def is_short(lab: Lab) -> bool:
    """Whether both ends send to each other by their own tunnel."""
    return all(
        path(lab, one, other).kind is PathKind.PUNCHED
        for one, other in [(EAST, WEST), (WEST, EAST)]
    )


def test_a_busy_pair_meets_directly(lab: Lab, stream: Stream) -> None:
    """Before, it meets at a gateway; the reasons say so."""
    before = path(lab, EAST, WEST)
    took_s = stream.run_until(lambda: is_short(lab), 30)
    stream.run_until(lambda: True, 1)
    stream.drain()
    after = path(lab, EAST, WEST)

    assert before.kind is PathKind.RELAYED
    assert "too little traffic was seen for a shortcut" in before.reason
    assert "a shortcut, for the two are busy" in after.reason
    assert stream.sent == stream.taken
    assert took_s < SOON_S


def test_an_agent_that_is_restarted_loses_nothing(lab: Lab, stream: Stream) -> None:
    """It forgets, so the pair meets at gateways for a moment, and then directly again."""
    lab.processes.stop(f"agent-{EAST}")
    lab.start_agent(next(it for it in lab.topology.nodes if it.name == EAST))
    seen: set[PathKind] = set()

    def is_through() -> bool:
        try:
            seen.add(path(lab, WEST, EAST).kind)
            return PathKind.RELAYED in seen and is_short(lab)
        except ApiError:  # it does not answer yet
            return False

    stream.run_until(is_through, 60)
    stream.drain()

    assert stream.sent == stream.taken
