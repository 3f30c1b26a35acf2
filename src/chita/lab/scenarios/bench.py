"""The lab as scenarios see it: places to send from, what agents say, conditions to wait for."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Any

import msgspec

from chita.api.kinds import resource_of
from chita.desired.paths import Path
from chita.errors import ChitaError, EngineError
from chita.lab.attach import attached_pods, pod_key
from chita.lab.cluster import Lab
from chita.lab.faults import Fault
from chita.lab.faulty import break_lab, heal_lab
from chita.lab.layout import Layout
from chita.lab.netns import netns_path, run_in
from chita.lab.settled import Pair, other_than, promised
from chita.lab.streams import Plan, Results, Stream, Transfer
from chita.lab.world import DEFAULT_WORLD, read_world
from chita.model.net import Address

EXTRA_WORLD = FilePath(__file__).with_name("world.yaml")
LAYOUT = Layout(directory=FilePath("/run/chita-lab-scenarios"), api_port=16444, prefix="chita-tm-")
"""Named like tests, so that the sweep of a user's lab spares it."""

SETTLE_S = 60.0
"""How long the network may take to be as it was before a fault."""

_POLL_S = 0.02
_SHOWN = 4
_ports = itertools.count(20000)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that traffic is measured from and to."""

    name: str
    node: str
    namespace: str
    """Path of its network namespace."""
    addresses: dict[int, Address]
    """By family."""
    mtu_bytes: int
    """Of its interface."""


class Silence:
    """Hears of the lab's steps and says nothing."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """It is done."""


class Bench:
    """A lab that is up, with an end on each node in each of two namespaces."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.notes: list[str] = []
        """What the running scenario has to say beside its figures."""
        self.nodes = [node.name for node in lab.topology.nodes]
        self._ends = self._find_ends()

    def refresh(self) -> None:
        """Learn the pods' addresses again."""
        self._ends = self._find_ends()

    def _find_ends(self) -> dict[tuple[str, str], End]:
        cluster = asyncio.run(self.lab.cluster())
        ends: dict[tuple[str, str], End] = {}
        for pod in attached_pods(self.lab.world.of_kind("Pod")):
            namespace, node = pod["metadata"].get("namespace"), pod["spec"]["nodeName"]
            if namespace in {"measure-a", "measure-b"}:
                workload = cluster.workloads.get(pod_key(pod))
                if workload is None:
                    continue
                ends[namespace[-1], node] = End(
                    name=workload.key,
                    node=node,
                    namespace=str(netns_path(self.lab.topology.pod_namespace(pod))),
                    addresses={address.family: address for address in workload.addresses},
                    mtu_bytes=_interface_mtu(self.lab.topology.pod_namespace(pod)),
                )
        return ends

    def end(self, node: str, side: str = "a") -> End:
        """Return the end on *node* in the namespace ``measure-<side>``."""
        return self._ends[side, node]

    def pairs(self) -> list[tuple[str, str]]:
        """Return every ordered pair of nodes."""
        return list(itertools.permutations(self.nodes, 2))

    def status(self, node: str) -> dict[str, Any]:
        """Return what the agent of *node* says of itself."""
        return self.lab.status(node)

    def path(self, here: str, there: str) -> dict[str, Any]:
        """Return how the agent of *here* says that it reaches *there*."""
        path: dict[str, Any] = self.status(here)["paths"][there]
        return path

    def records(self) -> dict[str, dict[str, Any]]:
        """Return every node's FabricNode, as the API has it."""

        async def read() -> dict[str, dict[str, Any]]:
            async with self.lab.client() as client:
                kind = {"apiVersion": "chita.dev/v1alpha1", "kind": "FabricNode"}
                listed = await client.list(resource_of(kind))
                return {item["metadata"]["name"]: item for item in listed.items}

        return asyncio.run(read())

    def relays(self, here: str, there: str) -> list[str]:
        """Return the gateways that *here* uses towards *there*, best first.

        Raises:
            EngineError: it uses none.
        """
        path = self.path(here, there)
        if path["kind"] != "relayed":
            message = f"{here} reaches {there} by {path['kind']}, not by a gateway"
            raise EngineError(f"{message}: {path['reason']}")
        return list(path.get("relays") or [path["relay"]])

    def stream(
        self,
        here: str,
        there: str,
        *,
        family: int = 4,
        per_second: float = 100,
        size_bytes: int = 64,
    ) -> Stream:
        """Return datagrams from the end of *here* to the other namespace's end of *there*."""
        port = next(_ports)
        source, destination = self.end(here, "a"), self.end(there, "b")
        return Stream(
            name=f"{here} to {there} port {port} IPv{family}",
            source_namespace=source.namespace,
            destination_namespace=destination.namespace,
            destination=str(destination.addresses[family]),
            port=port,
            per_second=per_second,
            size_bytes=size_bytes,
        )

    def both_ways(
        self, here: str, there: str, *, flows: int = 4, per_second: float = 100
    ) -> tuple[Stream, ...]:
        """Return *flows* streams in each direction, half of them over IPv6."""
        return tuple(
            self.stream(source, destination, family=family, per_second=per_second)
            for source, destination in ((here, there), (there, here))
            for family in itertools.islice(itertools.cycle((4, 6)), flows)
        )

    def transfer(
        self, here: str, there: str, *, family: int = 4, bits_per_second: float | None = None
    ) -> Transfer:
        """Return a TCP connection from *here* to *there*, kept full unless a rate is given."""
        port = next(_ports)
        source, destination = self.end(here, "a"), self.end(there, "b")
        return Transfer(
            name=f"TCP {here} to {there} IPv{family}",
            source_namespace=source.namespace,
            destination_namespace=destination.namespace,
            destination=str(destination.addresses[family]),
            port=port,
            bits_per_second=bits_per_second,
        )

    def broken(self, fault: Fault) -> float:
        """Make *fault*; return when, seconds since the epoch."""
        at_s = time.time()
        break_lab(self.lab, fault)
        return at_s

    @staticmethod
    def now() -> float:
        """Return seconds that only count up."""
        return time.monotonic()

    def watch(self, seconds: float) -> None:
        """Let traffic run for *seconds*: the window in which a recovery is looked for."""
        time.sleep(seconds)

    def until(self, what: str, is_so: Callable[[], bool], *, s: float = 30.0) -> float:
        """Return how many seconds it took until *is_so*.

        Raises:
            EngineError: longer than *s*.
        """
        started = time.monotonic()
        last = ""
        while True:
            try:
                if is_so():
                    return time.monotonic() - started
            except ChitaError as error:
                last = f" ({error})"
            if time.monotonic() - started > s:
                raise EngineError(f"not {what} after {s:g} s{last}")
            time.sleep(_POLL_S)

    def settle(self) -> None:
        """Mend every fault; return when agents are in sync and all paths are what they should be.

        That is: of the kind that the records promise where nothing is broken, and with the relays.

        Raises:
            EngineError: they are not, after a minute; the message names the paths.
        """
        heal_lab(self.lab)
        self.lab.wait_for_agents()
        self.until(
            "every watch of every agent resumed",
            lambda: not any(self.status(node)["interrupted"] for node in self.nodes),
            s=SETTLE_S,
        )
        self.refresh()
        wanted = self._promised()
        try:
            self.until("as promised", lambda: not other_than(wanted, self.status), s=SETTLE_S)
        except EngineError as error:
            others = other_than(wanted, self.status)
            shown = "; ".join(itertools.islice(others, _SHOWN))
            raise EngineError(f"{len(others)} paths are not as they should be: {shown}") from error

    def ready(self, here: str, there: str) -> None:
        """Mend every fault; return when one pair's paths, both ways, are what they should be.

        Raises:
            EngineError: they are not, after a minute.
        """
        heal_lab(self.lab)
        wanted = {
            pair: path
            for pair, path in self._promised().items()
            if pair in {(here, there), (there, here)}
        }
        self.until(
            f"{here} and {there} as promised",
            lambda: not other_than(wanted, self.status),
            s=SETTLE_S,
        )

    def _promised(self) -> dict[Pair, Path]:
        return promised(asyncio.run(self.lab.cluster()), self.nodes)

    def chita(self, *arguments: str, s: float = 60) -> str:
        """Run ``chita`` as the administrator would; return what it prints.

        Raises:
            EngineError: it failed.
        """
        layout = self.lab.layout
        answer = subprocess.run(
            [sys.executable, "-m", "chita", *arguments],
            env={**os.environ, "KUBECONFIG": str(layout.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=s,
        )
        if answer.returncode:
            said = answer.stderr.strip() or answer.stdout.strip()
            raise EngineError(f"chita {' '.join(arguments)}: {said}")
        return answer.stdout


@contextmanager
def standing_bench(progress: Callable[[str], None]) -> Iterator[Bench]:
    """Yield a bench on the default world; remove it whatever happens."""
    files = [DEFAULT_WORLD, EXTRA_WORLD]
    lab = Lab(read_world(files), LAYOUT, Silence())
    try:
        progress("bringing the lab up")
        lab.up([str(file) for file in files])
        bench = Bench(lab)
        bench.settle()
        yield bench
    finally:
        lab.down()


def _interface_mtu(namespace: str) -> int:
    shown = json.loads(run_in(netns_path(namespace), ["ip", "-j", "link", "show", "eth0"]))
    mtu: int = shown[0]["mtu"]
    return mtu


def gap_since(results: Results, at_s: float) -> float:
    """Return the longest time without an arrival on any stream that ended after *at_s*."""
    return max(
        (
            gap.seconds
            for stream in results.streams
            for gap in stream.gaps
            if gap.at_s + gap.seconds > at_s
        ),
        default=0.0,
    )


def plan_of(streams: Iterable[Stream] = (), transfers: Iterable[Transfer] = ()) -> Plan:
    """Return the plan of *streams* and *transfers*."""
    return Plan(streams=tuple(streams), transfers=tuple(transfers))
